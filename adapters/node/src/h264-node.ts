/** The H.264 decoder of this machine: ffmpeg, else a WebCodecs package that was installed beside the product. */
import { spawn } from 'node:child_process';
import { type H264Decoder, H264MissingError, type Rectangle, type YuvFrame } from '@lucid-sessions/graphics';
import { createFfmpegH264Decoder } from './h264-ffmpeg.ts';
import { createWebCodecsH264Decoder, loadWebCodecs, webCodecsPackage } from './h264-webcodecs.ts';

export const h264Missing = (): H264MissingError =>
  new H264MissingError(
    `no H.264 decoder is installed: install ffmpeg (apt install ffmpeg, brew install ffmpeg), or put "npm install ${webCodecsPackage}" beside lucid-sessions`,
  );

export interface H264Choice {
  /** `ffmpeg` or the package's name. */
  readonly name: string;
  readonly create: () => H264Decoder;
}

export interface H264Options {
  readonly ffmpegPath?: string;
  /** The package with WebCodecs. */
  readonly webCodecs?: string;
}

/** Null where there is none. */
export async function findH264Decoder(options: H264Options = {}): Promise<H264Choice | null> {
  const { ffmpegPath = 'ffmpeg', webCodecs = webCodecsPackage } = options;
  if (await starts(ffmpegPath)) return { name: 'ffmpeg', create: () => createFfmpegH264Decoder({ ffmpegPath }) };
  const codecs = await loadWebCodecs(webCodecs);
  return codecs === null ? null : { name: webCodecs, create: () => createWebCodecsH264Decoder(codecs) };
}

/** On a machine that is short of processor time it took ten seconds: that is no program missing. */
const startMsMax = 60_000;

function starts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(path, ['-version'], { stdio: 'ignore', timeout: startMsMax });
    child.on('error', () => resolve(false));
    child.on('exit', (code) => resolve(code === 0));
  });
}

const lookAgainMs = 60_000;
let found: { choice: Promise<H264Choice | null>; atMs: number } | null = null;

/** Looked for once it is needed; where there was none, again after a while: somebody may have installed one. */
export async function ownH264Decoder(): Promise<H264Choice | null> {
  found ??= { choice: findH264Decoder(), atMs: performance.now() };
  const { choice, atMs } = found;
  const chosen = await choice;
  if (chosen === null && performance.now() - atMs > lookAgainMs) found = null;
  return chosen;
}

/** The `createH264Decoder` of a session decoder in Node. Its calls throw `h264Missing()` where there is no decoder. */
export function createH264Decoder(choose: () => Promise<H264Choice | null> = ownH264Decoder): H264Decoder {
  return new ChosenH264Decoder(choose);
}

class ChosenH264Decoder implements H264Decoder {
  readonly #choose: () => Promise<H264Choice | null>;
  #decoder: H264Decoder | null = null;
  #closed = false;

  constructor(choose: () => Promise<H264Choice | null>) {
    this.#choose = choose;
  }

  async #chosen(): Promise<H264Decoder> {
    if (this.#decoder !== null) return this.#decoder;
    const choice = await this.#choose();
    if (choice === null) throw h264Missing();
    this.#decoder = choice.create();
    if (this.#closed) this.#decoder.close();
    return this.#decoder;
  }

  async decode(accessUnit: Uint8Array): Promise<YuvFrame | null> {
    return (await this.#chosen()).decode(accessUnit);
  }

  async decodeRun(
    accessUnits: readonly Uint8Array[],
    wanted: (index: number) => Rectangle | null,
    take: (index: number, frame: YuvFrame | null) => void,
  ): Promise<void> {
    await (await this.#chosen()).decodeRun!(accessUnits, wanted, take);
  }

  close(): void {
    this.#closed = true;
    this.#decoder?.close();
  }
}
