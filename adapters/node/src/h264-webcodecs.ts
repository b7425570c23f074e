/**
 * H.264 by a package that brings WebCodecs to Node. `@napi-rs/webcodecs` holds parts under the GPL, so it is no dependency: it
 * is used where somebody has installed it beside the product.
 */
import {
  decodeAlone,
  type H264Decoder,
  inspectAccessUnit,
  type Rectangle,
  type WebCodecs,
  WebCodecsH264,
  type YuvFrame,
} from '@lucid-sessions/graphics';
import { DecodeError } from '@lucid-sessions/wire';

export const webCodecsPackage = '@napi-rs/webcodecs';

/** Null where the package is not installed, or holds nothing for this machine. */
export async function loadWebCodecs(name: string = webCodecsPackage): Promise<WebCodecs | null> {
  try {
    const loaded = (await import(name)) as Partial<WebCodecs>;
    const { VideoDecoder, EncodedVideoChunk } = loaded;
    if (VideoDecoder === undefined || EncodedVideoChunk === undefined) return null;
    return { VideoDecoder, EncodedVideoChunk, holdsBack: true, after };
  } catch {
    return null;
  }
}

function after(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

/** Access units since the last key picture, all together. */
const keptUnitsMax = 20_000;
const keptBytesMax = 256 * 1024 * 1024;

/**
 * The package decodes in several threads and holds the last pictures back until it is flushed, which makes it forget what
 * others refer to. So each run begins again at the last key picture: right for every call, cheap for long runs, dear for
 * pictures that are asked for one by one (docs/operations.md).
 */
export function createWebCodecsH264Decoder(codecs: WebCodecs): H264Decoder {
  return new RunningFromKeys(codecs);
}

class RunningFromKeys implements H264Decoder {
  readonly #codecs: WebCodecs;
  /** From the last key picture on, with the parameter sets it needs in front. */
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #parameters: Uint8Array | null = null;
  #closed = false;

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
    if (this.#closed) throw new Error('open a new h.264 decoder: this one was closed');
    const before = [...this.#kept];
    for (const unit of accessUnits) this.#keep(unit.slice());
    const decoder = new WebCodecsH264(this.#codecs);
    try {
      await decoder.decodeRun(
        [...before, ...accessUnits],
        (index) => (index < before.length ? null : wanted(index - before.length)),
        (index, frame) => {
          if (index >= before.length) take(index - before.length, frame);
        },
      );
    } finally {
      decoder.close();
    }
  }

  #keep(unit: Uint8Array): void {
    const { codec, key } = inspectAccessUnit(unit);
    if (codec !== null) this.#parameters = unit;
    if (key) {
      this.#kept = codec === null && this.#parameters !== null ? [this.#parameters] : [];
      this.#keptBytes = 0;
    }
    this.#kept.push(unit);
    this.#keptBytes += unit.length;
    if (this.#kept.length > keptUnitsMax || this.#keptBytes > keptBytesMax)
      throw new DecodeError('limit', 'the h.264 stream has no key picture for too long: install ffmpeg to see it');
  }

  close(): void {
    this.#closed = true;
    this.#kept = [];
  }
}
