import type { H264Decoder, YuvFrame } from '@lucid-sessions/rdp/graphics';

const nalSps = 7;
const nalIdr = 5;
/** A decoder that holds a picture back longer than this has nothing to give for that access unit. */
const outputWaitMs = 1000;

/** Calls `visit` with the first byte's offset of every NAL unit of an Annex B byte stream (ITU-T H.264 B.1). */
function visitNals(bytes: Uint8Array, visit: (offset: number) => void): void {
  for (let i = 0; i + 3 < bytes.length; i += 1)
    if (bytes[i] === 0 && bytes[i + 1] === 0 && bytes[i + 2] === 1) visit(i + 3);
}

interface AccessUnitFacts {
  /** `avc1.PPCCLL` of the sequence parameter set, null when the access unit has none. */
  codec: string | null;
  key: boolean;
}

export function inspectAccessUnit(bytes: Uint8Array): AccessUnitFacts {
  const facts: AccessUnitFacts = { codec: null, key: false };
  visitNals(bytes, (at) => {
    const type = bytes[at]! & 0x1f;
    if (type === nalIdr) facts.key = true;
    if (type === nalSps && at + 3 < bytes.length) {
      const hex = [bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!].map((byte) => byte.toString(16).padStart(2, '0'));
      facts.codec = `avc1.${hex.join('')}`;
    }
  });
  return facts;
}

/** H.264 by the browser's WebCodecs. */
export class WebCodecsH264 implements H264Decoder {
  #decoder: VideoDecoder | null = null;
  #failure: Error | null = null;
  #timestamp = 0;
  /** Samples of the last picture: used again for the next, as new memory costs more than the copy. */
  #memory = new Uint8Array(0);
  #waiting: { timestamp: number; take: (frame: VideoFrame | null) => void } | null = null;

  async decode(accessUnit: Uint8Array): Promise<YuvFrame | null> {
    const { codec, key } = inspectAccessUnit(accessUnit);
    if (codec !== null && (this.#decoder === null || key)) this.#configure(codec);
    const decoder = this.#decoder;
    // Nothing can be decoded before the first key frame.
    if (decoder === null || this.#failure) return null;
    this.#timestamp += 1;
    const output = this.#next(this.#timestamp);
    decoder.decode(
      new EncodedVideoChunk({ type: key ? 'key' : 'delta', timestamp: this.#timestamp, data: accessUnit }),
    );
    const frame = await output;
    if (frame === null) return null;
    try {
      return await this.#planes(frame);
    } finally {
      frame.close();
    }
  }

  close(): void {
    this.#waiting?.take(null);
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
  }

  /** The frame's samples over its whole coded size: AVC444 keeps samples in what the stream says to crop. */
  async #planes(frame: VideoFrame): Promise<YuvFrame | null> {
    if (frame.format !== 'I420' && frame.format !== 'NV12') return null;
    const width = wholeMacroblocks(frame.visibleRect?.width ?? 0, frame.codedWidth);
    const height = wholeMacroblocks(frame.visibleRect?.height ?? 0, frame.codedHeight);
    const rect = { x: 0, y: 0, width, height };
    const length = frame.allocationSize({ rect });
    if (this.#memory.length !== length) this.#memory = new Uint8Array(length);
    const bytes = this.#memory;
    const layout = await frame.copyTo(bytes, { rect });
    const plane = (i: number): Uint8Array => bytes.subarray(layout[i]!.offset);
    if (frame.format === 'I420')
      return {
        width,
        height,
        y: plane(0),
        u: plane(1),
        v: plane(2),
        strideY: layout[0]!.stride,
        strideUv: layout[1]!.stride,
      };
    const chroma = { u: new Uint8Array((width / 2) * (height / 2)), v: new Uint8Array((width / 2) * (height / 2)) };
    splitChroma(plane(1), layout[1]!.stride, width / 2, height / 2, chroma);
    return { width, height, y: plane(0), ...chroma, strideY: layout[0]!.stride, strideUv: width / 2 };
  }

  #codec = '';

  #configure(codec: string): void {
    if (this.#decoder !== null && this.#codec === codec && !this.#failure) return;
    this.close();
    this.#failure = null;
    this.#codec = codec;
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#output(frame),
      error: (error) => {
        this.#failure = error;
        this.#waiting?.take(null);
      },
    });
    // The picture must be the one of this very access unit, in its own samples: no reordering, no copy through a GPU.
    this.#decoder.configure({ codec, optimizeForLatency: true, hardwareAcceleration: 'prefer-software' });
  }

  #output(frame: VideoFrame): void {
    if (this.#waiting?.timestamp === frame.timestamp) this.#waiting.take(frame);
    else frame.close();
  }

  #next(timestamp: number): Promise<VideoFrame | null> {
    return new Promise((resolve) => {
      const take = (frame: VideoFrame | null): void => {
        clearTimeout(timer);
        this.#waiting = null;
        resolve(frame);
      };
      const timer = setTimeout(() => take(null), outputWaitMs);
      this.#waiting = { timestamp, take };
    });
  }
}

/** A stream crops less than a macroblock. Decoders may pad the coded size by rows of their own, so it is only the bound. */
function wholeMacroblocks(visible: number, coded: number): number {
  return Math.min((visible + 15) & ~15, coded & ~15);
}

function splitChroma(
  source: Uint8Array,
  stride: number,
  width: number,
  height: number,
  out: { u: Uint8Array; v: Uint8Array },
): void {
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      out.u[y * width + x] = source[y * stride + 2 * x]!;
      out.v[y * width + x] = source[y * stride + 2 * x + 1]!;
    }
}
