import type { Rectangle } from '../pixels.ts';
import { decodeAlone, type H264Decoder, H264MissingError, type YuvFrame } from './h264-decoder.ts';
import { nalIdrSlice, nalSps, nalType, splitNals } from './h264-nal.ts';

/** A decoder that holds a picture back longer than this has nothing to give for that access unit. */
const outputWaitMs = 1000;

interface AccessUnitFacts {
  /** `avc1.PPCCLL` of the sequence parameter set, null when the access unit has none. */
  codec: string | null;
  key: boolean;
}

export function inspectAccessUnit(bytes: Uint8Array): AccessUnitFacts {
  const nals = splitNals(bytes);
  const sps = nals.findLast((nal) => nalType(nal) === nalSps && nal.length > 3);
  const hex = sps && Array.from(sps.subarray(1, 4), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { codec: hex === undefined ? null : `avc1.${hex}`, key: nals.some((nal) => nalType(nal) === nalIdrSlice) };
}

/** Access units handed to the browser ahead of the pictures that came back. */
const aheadMax = 24;

/** Pictures that are waited for, in the order their access units were given. */
interface Expected {
  readonly timestamp: number;
  readonly area: Rectangle | null;
  readonly come: (frame: YuvFrame | null) => void;
}

/** [WebCodecs] as a browser has it, or a package for Node; and a clock. */
export interface WebCodecs {
  readonly VideoDecoder: typeof VideoDecoder;
  readonly EncodedVideoChunk: typeof EncodedVideoChunk;
  /** It holds the last pictures back until it is flushed, at the end of a run; nothing can be predicted from them then. */
  readonly holdsBack?: boolean;
  /** Calls `run` after `ms`; answers what cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** H.264 by WebCodecs. */
export class WebCodecsH264 implements H264Decoder {
  readonly #codecs: WebCodecs;
  #decoder: VideoDecoder | null = null;
  #failure: Error | null = null;
  #codec = '';
  /** How the profile asked for last is decoded. */
  #asked: { codec: string; config: VideoDecoderConfig | null } | null = null;
  #timestamp = 0;
  /** Samples of the last picture: used again for the next, as new memory costs more than the copy. */
  #memory = new Uint8Array(0);
  #chroma = new Uint8Array(0);
  #expected: Expected[] = [];
  #cancelTimer: () => void = () => {};
  /** Pictures are read one after the other, into the same memory. */
  #reading: Promise<void> = Promise.resolve();

  constructor(codecs: WebCodecs) {
    this.#codecs = codecs;
  }

  decode(accessUnit: Uint8Array): Promise<YuvFrame | null> {
    return decodeAlone(this, accessUnit);
  }

  async decodeRun(
    accessUnits: readonly Uint8Array[],
    wanted: (index: number) => Rectangle | null,
    take: (index: number, frame: YuvFrame | null) => void,
  ): Promise<void> {
    const coming: Promise<void>[] = [];
    for (const [index, accessUnit] of accessUnits.entries()) {
      const { codec, key } = inspectAccessUnit(accessUnit);
      if (codec !== null && (this.#decoder === null || key)) {
        // A decoder that is set up anew forgets what it was given.
        if (this.#codec !== codec) await coming.at(-1);
        await this.#configure(codec).catch(async (error: unknown) => {
          // What was given before this is done with first.
          this.close();
          await Promise.all(coming);
          throw error;
        });
      }
      await coming[index - aheadMax];
      const come = this.#expect(wanted(index));
      coming.push(come.then((frame) => take(index, frame)));
      const decoder = this.#decoder;
      // Nothing can be decoded before the first key frame.
      if (decoder === null || this.#failure) this.#nothingComes();
      else {
        const type = key ? 'key' : 'delta';
        decoder.decode(new this.#codecs.EncodedVideoChunk({ type, timestamp: this.#timestamp, data: accessUnit }));
      }
    }
    if (this.#codecs.holdsBack && this.#decoder?.state === 'configured') await this.#decoder.flush().catch(() => {});
    await Promise.all(coming);
    // Black is what it would show, and nobody would know why.
    if (this.#failure?.name === 'NotSupportedError')
      throw new H264MissingError(`WebCodecs has no decoder for ${this.#codec} here`, { cause: this.#failure });
  }

  close(): void {
    this.#nothingComes();
    if (this.#decoder && this.#decoder.state !== 'closed') this.#decoder.close();
    this.#decoder = null;
  }

  async #configure(codec: string): Promise<void> {
    if (this.#decoder !== null && this.#codec === codec && !this.#failure) return;
    const config = await this.#configOf(codec);
    this.close();
    this.#failure = null;
    this.#codec = codec;
    const decoder = new this.#codecs.VideoDecoder({
      output: (frame) => this.#output(frame),
      error: (error) => {
        this.#failure = error;
        this.#nothingComes();
      },
    });
    decoder.configure(config);
    this.#decoder = decoder;
  }

  /** How a stream's profile is decoded here. Throws `H264MissingError` where it isn't. */
  async #configOf(codec: string): Promise<VideoDecoderConfig> {
    if (this.#asked?.codec !== codec) this.#asked = { codec, config: await this.#ask(codec) };
    const { config } = this.#asked;
    if (config === null) throw new H264MissingError(`WebCodecs has no decoder for ${codec} here`);
    return config;
  }

  async #ask(codec: string): Promise<VideoDecoderConfig | null> {
    const { VideoDecoder } = this.#codecs;
    // The picture must be the one of this very access unit, in its own samples: no reordering, no copy through a GPU if that can be had.
    for (const hardwareAcceleration of ['prefer-software', 'no-preference'] as const) {
      const config = { codec, optimizeForLatency: true, hardwareAcceleration };
      // A package may not have the question: then it is asked by configuring it.
      if (VideoDecoder.isConfigSupported === undefined) return config;
      const answer = await VideoDecoder.isConfigSupported(config).catch(() => null);
      if (answer?.supported === true) return config;
    }
    return null;
  }

  #expect(area: Rectangle | null): Promise<YuvFrame | null> {
    this.#timestamp += 1;
    return new Promise((come) => {
      this.#expected.push({ timestamp: this.#timestamp, area, come });
      this.#wait();
    });
  }

  /** Whoever is waited for longest has so much time from now on. */
  #wait(): void {
    this.#cancelTimer();
    if (this.#expected.length > 0) this.#cancelTimer = this.#codecs.after(outputWaitMs, () => this.#nothingComes());
  }

  #nothingComes(): void {
    const expected = this.#expected;
    this.#expected = [];
    this.#cancelTimer();
    for (const { come } of expected) come(null);
  }

  #output(frame: VideoFrame): void {
    const at = this.#expected.findIndex(({ timestamp }) => timestamp === frame.timestamp);
    if (at < 0) {
      frame.close();
      return;
    }
    // Those before it gave nothing.
    for (const { come } of this.#expected.splice(0, at)) come(null);
    const { area, come } = this.#expected.shift()!;
    this.#wait();
    this.#reading = this.#reading.then(async () => {
      try {
        come(await this.#planes(frame, area));
      } catch {
        come(null);
      } finally {
        frame.close();
      }
      // What takes the picture runs before the next one is read over it.
      await Promise.resolve();
    });
  }

  /** The frame's samples over its whole coded size: AVC444 keeps samples in what the stream says to crop. */
  async #planes(frame: VideoFrame, area: Rectangle | null): Promise<YuvFrame | null> {
    if (frame.format !== 'I420' && frame.format !== 'NV12') return null;
    const width = wholeMacroblocks(frame.visibleRect?.width ?? 0, frame.codedWidth);
    const height = wholeMacroblocks(frame.visibleRect?.height ?? 0, frame.codedHeight);
    const luma = width * height;
    if (this.#memory.length !== luma * 1.5) this.#memory = new Uint8Array(luma * 1.5);
    const memory = this.#memory;
    const half = width / 2;
    const picture = { width, height, y: memory.subarray(0, luma), strideY: width, strideUv: half };
    const [u, v] = [memory.subarray(luma, luma * 1.25), memory.subarray(luma * 1.25)];
    const rect = area && evenArea(area, width, height);
    if (rect === null) return { ...picture, u, v };
    const place = (start: number, stride: number, x: number, y: number) => ({ offset: start + y * stride + x, stride });
    const [x, y] = [rect.x / 2, rect.y / 2];
    if (frame.format === 'I420') {
      const layout = [place(0, width, rect.x, rect.y), place(luma, half, x, y), place(luma * 1.25, half, x, y)];
      await frame.copyTo(memory, { rect, layout });
    } else {
      // Both chroma planes come as one, sample by sample in turn.
      if (this.#chroma.length !== luma * 1.5) this.#chroma = new Uint8Array(luma * 1.5);
      await frame.copyTo(this.#chroma, {
        rect,
        layout: [place(0, width, rect.x, rect.y), place(luma, width, rect.x, y)],
      });
      memory.set(this.#chroma.subarray(0, luma));
      splitChroma(this.#chroma.subarray(luma), width, half, height / 2, { u, v });
    }
    return { ...picture, u, v };
  }
}

/** Whole blocks of chroma inside the picture; null where nothing is left. */
function evenArea(area: Rectangle, width: number, height: number): (DOMRectInit & { x: number; y: number }) | null {
  const x = Math.max(0, area.left) & ~1;
  const y = Math.max(0, area.top) & ~1;
  const right = Math.min(width, (area.left + area.width + 1) & ~1);
  const bottom = Math.min(height, (area.top + area.height + 1) & ~1);
  return right > x && bottom > y ? { x, y, width: right - x, height: bottom - y } : null;
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
