import { concatBytes, DecodeError } from '@lucid-sessions/wire';

/**
 * What a picture or video taken out of a recording says of where it is from, as JSON in its own metadata. Nobody signs it, and whoever
 * edits the file can edit it: it leads to the recording, which proves what was shown, and `pixels_sha256` is what drawing it again must give.
 */
export interface RecordingTrace {
  v: 1;
  session_id: string;
  /** Of the signed manifest, hex; null while there is none. */
  merkle_root: string | null;
  /** µs since the session's start; equal for a picture. */
  from_us: number;
  to_us: number;
  /** `pixelsBytes` of the picture, SHA-256 in hex; null where they were not at hand. */
  pixels_sha256: string | null;
}

export const TRACE_KEYWORD = 'lucid-sessions';

export const traceText = ({ v, session_id, merkle_root, from_us, to_us, pixels_sha256 }: RecordingTrace): string =>
  JSON.stringify({ v, session_id, merkle_root, from_us, to_us, pixels_sha256 });

/** What `pixels_sha256` is taken of: width and height (u32 big-endian), then red, green and blue of each pixel, row by row. */
export function pixelsBytes(picture: { width: number; height: number; data: ArrayLike<number> }): Uint8Array {
  const { width, height, data } = picture;
  const bytes = new Uint8Array(8 + width * height * 3);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  for (let from = 0, to = 8; to < bytes.length; from += 4, to += 3) {
    bytes[to] = data[from]!;
    bytes[to + 1] = data[from + 1]!;
    bytes[to + 2] = data[from + 2]!;
  }
  return bytes;
}

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Signature and IHDR, which is first. */
const BEGINNING_BYTES = 8 + 25;
const CHUNKS_MAX = 10_000;

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

const isPng = (png: Uint8Array): boolean =>
  png.length >= BEGINNING_BYTES && SIGNATURE.every((byte, at) => png[at] === byte);

/** The picture with the trace in an iTXt chunk (PNG 11.3.3.4) behind IHDR. Throws `DecodeError` when it is no PNG. */
export function withTrace(png: Uint8Array, trace: RecordingTrace): Uint8Array {
  if (!isPng(png)) throw new DecodeError('invalid', 'it is no PNG');
  // Keyword, no compression, no language, no translated keyword.
  const content = new TextEncoder().encode(`${TRACE_KEYWORD}\0\0\0\0\0${traceText(trace)}`);
  const chunk = new Uint8Array(12 + content.length);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set(new TextEncoder().encode('iTXt'), 4);
  chunk.set(content, 8);
  view.setUint32(8 + content.length, crc32(chunk.subarray(4, 8 + content.length)));
  return concatBytes(png.subarray(0, BEGINNING_BYTES), chunk, png.subarray(BEGINNING_BYTES));
}

/** The text of a trace in a PNG, null where there is none. Throws `DecodeError` when it is no PNG. */
export function traceOf(png: Uint8Array): string | null {
  if (!isPng(png)) throw new DecodeError('invalid', 'it is no PNG');
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const prefix = `iTXt${TRACE_KEYWORD}\0\0\0\0\0`;
  for (let at = 8, count = 0; at + 12 <= png.length && count < CHUNKS_MAX; count += 1) {
    const length = view.getUint32(at);
    const end = at + 8 + length;
    if (end + 4 > png.length) throw new DecodeError('invalid', 'a chunk of the PNG is cut');
    const text = new TextDecoder().decode(png.subarray(at + 4, Math.min(end, at + 4 + prefix.length)));
    if (text === prefix) {
      if (view.getUint32(end) !== crc32(png.subarray(at + 4, end)))
        throw new DecodeError('invalid', 'the text of the PNG is damaged');
      return new TextDecoder().decode(png.subarray(at + 4 + prefix.length, end));
    }
    at = end + 4;
  }
  return null;
}
