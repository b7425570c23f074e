/**
 * A WebM file (Matroska, RFC 8794 and RFC 9559) with one video track, written as it is made: no part is touched again, so a
 * file of any length needs no memory. Clusters are of known size; the segment is not, as in live streams.
 */
import { joinBytes } from '@lucid-sessions/wire';

export interface WebmTrack {
  codec: 'V_VP8' | 'V_VP9' | 'V_AV1';
  width: number;
  height: number;
  durationMs: number;
}

export interface WebmBlock {
  timeMs: number;
  keyFrame: boolean;
  data: Uint8Array;
}

const id = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  info: 0x1549a966,
  tracks: 0x1654ae6b,
  trackEntry: 0xae,
  video: 0xe0,
  cluster: 0x1f43b675,
  simpleBlock: 0xa3,
} as const;

const text = new TextEncoder();

/** Big-endian without leading zero bytes; at least one byte. */
function unsigned(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.unshift(rest % 256);
    rest = Math.floor(rest / 256);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

function float(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value);
  return bytes;
}

/** An element's size as an 8-byte variable-length integer. */
function sizeOf(length: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x01000000 + Math.floor(length / 2 ** 32));
  view.setUint32(4, length % 2 ** 32);
  return bytes;
}

function element(elementId: number, ...content: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = joinBytes(content);
  return joinBytes([unsigned(elementId), sizeOf(body.length), body]);
}

/** The beginning of the file, before any cluster. */
export function webmHeader({ codec, width, height, durationMs }: WebmTrack): Uint8Array<ArrayBuffer> {
  const head = element(
    id.ebml,
    element(0x4286, unsigned(1)), // EBMLVersion
    element(0x42f7, unsigned(1)), // EBMLReadVersion
    element(0x42f2, unsigned(4)), // EBMLMaxIDLength
    element(0x42f3, unsigned(8)), // EBMLMaxSizeLength
    element(0x4282, text.encode('webm')), // DocType
    element(0x4287, unsigned(4)), // DocTypeVersion
    element(0x4285, unsigned(2)), // DocTypeReadVersion
  );
  const info = element(
    id.info,
    element(0x2ad7b1, unsigned(1_000_000)), // TimestampScale: 1 ms
    element(0x4489, float(durationMs)), // Duration
    element(0x4d80, text.encode('Lucid Sessions')), // MuxingApp
    element(0x5741, text.encode('Lucid Sessions')), // WritingApp
  );
  const tracks = element(
    id.tracks,
    element(
      id.trackEntry,
      element(0xd7, unsigned(1)), // TrackNumber
      element(0x73c5, unsigned(1)), // TrackUID
      element(0x83, unsigned(1)), // TrackType: video
      element(0x9c, unsigned(0)), // FlagLacing
      element(0x86, text.encode(codec)), // CodecID
      element(id.video, element(0xb0, unsigned(width)), element(0xba, unsigned(height))),
    ),
  );
  const unknownSize = Uint8Array.from([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
  return joinBytes([head, unsigned(id.segment), unknownSize, info, tracks]);
}

/** Longest cluster: a block's time is relative to its cluster in 16 bits, signed. */
const clusterMsMax = 30_000;

/** Collects encoded frames into clusters. A cluster begins with a key frame where there is one. */
export class WebmClusters {
  #blocks: WebmBlock[] = [];

  /** Takes a frame; gives the finished cluster when this frame begins a new one. Times must not fall. */
  add(block: WebmBlock): Uint8Array<ArrayBuffer> | null {
    const first = this.#blocks[0];
    const full = first !== undefined && (block.keyFrame || block.timeMs - first.timeMs > clusterMsMax);
    const finished = full ? this.finish() : null;
    this.#blocks.push(block);
    return finished;
  }

  /** The last cluster; null when nothing is waiting. */
  finish(): Uint8Array<ArrayBuffer> | null {
    const first = this.#blocks[0];
    if (first === undefined) return null;
    const blocks = this.#blocks.map(({ timeMs, keyFrame, data }) => {
      const head = new Uint8Array(4);
      const view = new DataView(head.buffer);
      view.setUint8(0, 0x81); // track 1
      view.setInt16(1, timeMs - first.timeMs);
      view.setUint8(3, keyFrame ? 0x80 : 0);
      return element(id.simpleBlock, head, data);
    });
    this.#blocks = [];
    return element(id.cluster, element(0xe7, unsigned(first.timeMs)), ...blocks);
  }
}
