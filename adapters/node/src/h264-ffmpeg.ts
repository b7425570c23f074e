import { type ChildProcess, spawn } from 'node:child_process';
import {
  decodeAlone,
  type H264Decoder,
  nalAccessUnitDelimiter,
  nalSps,
  nalType,
  picturesCount,
  type Rectangle,
  readSequenceParameters,
  type SequenceParameters,
  splitNals,
  type YuvFrame,
} from '@lucid-sessions/graphics';
import { DecodeError } from '@lucid-sessions/wire';
import { openProgramOutput, type ProgramOutput } from './ffmpeg-output.ts';

export type FfmpegErrorCode = 'not_installed' | 'failed' | 'timed_out' | 'closed';

/** Why ffmpeg gave no picture although the bytes may be good. */
export class FfmpegError extends Error {
  override readonly name = 'FfmpegError';
  readonly code: FfmpegErrorCode;
  constructor(code: FfmpegErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface FfmpegH264Options {
  /** The program, looked up in PATH. */
  readonly ffmpegPath?: string;
  /** How long one access unit may take, the start of the program included. */
  readonly pictureTimeoutMs?: number;
}

/** After a complaint of ffmpeg's a picture comes soon or not at all. */
const complaintTimeoutMs = 500;
const complaintCharactersMax = 300;
const startCode = Uint8Array.of(0, 0, 0, 1);
/** Tells the parser that the access unit before it is whole, so its picture comes without waiting for the next. */
const accessUnitDelimiter = Uint8Array.of(0, 0, 0, 1, nalAccessUnitDelimiter, 0xf0);

/**
 * Pictures at once and as they were coded: no probing, no reordering, no cropping, no change of range or size. One thread for the
 * raw video encoder too, or it would hold back a picture.
 */
const ffmpegArguments = [
  ...['-hide_banner', '-loglevel', 'error', '-protocol_whitelist', 'pipe'],
  ...['-probesize', '32', '-analyzeduration', '0', '-fpsprobesize', '0'],
  ...['-flags', 'low_delay', '-threads', '1', '-apply_cropping', '0', '-f', 'h264', '-i', 'pipe:0'],
  ...[
    '-fps_mode',
    'passthrough',
    '-threads',
    '1',
    '-c:v',
    'rawvideo',
    '-f',
    'rawvideo',
    '-flush_packets',
    '1',
    'pipe:1',
  ],
];

/**
 * Decodes one H.264 stream in a long-lived ffmpeg process: the `createH264Decoder` of a graphics pipeline in Node. A new size starts a
 * new process. An access unit ffmpeg can't decode is a `DecodeError`; a program that is missing, ends or hangs a `FfmpegError`.
 */
export function createFfmpegH264Decoder(options: FfmpegH264Options = {}): H264Decoder {
  return new FfmpegH264Decoder(options.ffmpegPath ?? 'ffmpeg', options.pictureTimeoutMs ?? 10_000);
}

class FfmpegH264Decoder implements H264Decoder {
  readonly #ffmpegPath: string;
  readonly #pictureTimeoutMs: number;
  #stream: FfmpegStream | null = null;
  /** Parameter sets that came without a picture go in front of the next one. */
  #held: Uint8Array[] = [];
  #closed = false;

  constructor(ffmpegPath: string, pictureTimeoutMs: number) {
    this.#ffmpegPath = ffmpegPath;
    this.#pictureTimeoutMs = pictureTimeoutMs;
  }

  decode(accessUnit: Uint8Array): Promise<YuvFrame | null> {
    return decodeAlone(this, accessUnit);
  }

  /** Whole pictures, wanted or not: ffmpeg gives no less. */
  async decodeRun(
    accessUnits: readonly Uint8Array[],
    _wanted: (index: number) => Rectangle | null,
    take: (index: number, frame: YuvFrame | null) => void,
  ): Promise<void> {
    if (this.#closed) throw new FfmpegError('closed', 'open a new h.264 decoder: this one was closed');
    const coming: Promise<void>[] = [];
    try {
      for (const [index, accessUnit] of accessUnits.entries()) {
        await coming[index - aheadMax];
        const nals = splitNals(accessUnit).filter((nal) => nalType(nal) !== nalAccessUnitDelimiter);
        const sps = nals.find((nal) => nalType(nal) === nalSps);
        if (sps) await this.#useParameters(readSequenceParameters(sps), coming);
        const come = this.#decode(nals, (frame) => take(index, frame));
        coming.push(come);
        // Whoever waits for all of them hears of it.
        come.catch(() => undefined);
      }
      await Promise.all(coming);
    } catch (error) {
      // What ffmpeg still holds belongs to no later access unit.
      this.#endStream();
      throw error;
    }
  }

  async #decode(nals: readonly Uint8Array[], take: (frame: YuvFrame | null) => void): Promise<void> {
    const pictures = picturesCount(nals);
    if (pictures === 0) {
      this.#held = nals.slice(0, heldNalsMax).map((nal) => nal.slice());
      take(null);
      return;
    }
    const stream = this.#stream;
    if (!stream) throw new DecodeError('invalid', 'an h.264 stream starts without a sequence parameter set');
    const bytes = joined([...this.#held, ...nals]);
    this.#held = [];
    await stream.decode(bytes, pictures, take);
  }

  close(): void {
    this.#closed = true;
    this.#endStream();
  }

  /** A new size starts a new process: only when the one before has given all that is `coming`. */
  async #useParameters(
    { codedWidth, codedHeight }: SequenceParameters,
    coming: readonly Promise<void>[],
  ): Promise<void> {
    if (this.#stream?.width === codedWidth && this.#stream.height === codedHeight) return;
    await Promise.all(coming);
    // Closed while it waited: no process is started that nobody would end.
    if (this.#closed) throw new FfmpegError('closed', 'the h.264 decoder was closed');
    this.#endStream();
    const stream = new FfmpegStream(codedWidth, codedHeight, this.#pictureTimeoutMs);
    this.#stream = stream;
    await stream.start(this.#ffmpegPath);
  }

  #endStream(): void {
    this.#stream?.end();
    this.#stream = null;
  }
}

const heldNalsMax = 64;
/** Access units ffmpeg is given ahead of the pictures that came back. */
const aheadMax = 8;

function joined(nals: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([...nals.flatMap((nal) => [startCode, nal]), accessUnitDelimiter]);
}

/** An access unit whose picture is on its way. */
interface Waiting {
  bytesLeft: number;
  take(frame: YuvFrame): void;
  resolve(): void;
  reject(error: Error): void;
}

/** One ffmpeg process for pictures of one size. */
class FfmpegStream {
  readonly width: number;
  readonly height: number;
  readonly #pictureTimeoutMs: number;
  #process: ChildProcess | null = null;
  #output: ProgramOutput | null = null;
  readonly #pictureBytes: number;
  /** One byte more than a picture: what comes there was not asked for, or is the next one's. */
  readonly #picture: Uint8Array;
  #filled = 0;
  /** In the order they were sent. */
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;
  #failure: Error | null = null;
  #complaint = '';

  constructor(width: number, height: number, pictureTimeoutMs: number) {
    this.width = width;
    this.height = height;
    this.#pictureTimeoutMs = pictureTimeoutMs;
    this.#pictureBytes = (width * height * 3) / 2;
    this.#picture = new Uint8Array(this.#pictureBytes + 1);
  }

  async start(ffmpegPath: string): Promise<void> {
    const output = await openProgramOutput(
      () => this.#room(),
      (count) => this.#received(count),
    );
    if (this.#failure !== null) {
      closeOutput(output);
      return;
    }
    this.#output = output;
    const child = spawn(ffmpegPath, ffmpegArguments, { stdio: ['pipe', output?.writing ?? 'pipe', 'pipe'] });
    output?.writing.destroy();
    this.#process = child;
    child.on('error', (error) => this.#fail(startError(error, ffmpegPath)));
    child.on('close', () => this.#ended());
    // A process that is gone says so by 'close'; its pipes would only repeat it.
    child.stdin?.on('error', () => undefined);
    output?.reading.on('error', () => undefined);
    output?.reading.on('close', () => this.#ended());
    child.stdout?.on('data', (chunk: Buffer) => this.#copy(chunk));
    child.stderr?.on('data', (chunk: Buffer) => this.#complain(chunk));
  }

  /** When the program is gone and all it said was read. */
  #ended(): void {
    const { exitCode, signalCode } = this.#process!;
    const gone = exitCode !== null || signalCode !== null;
    if (gone && (this.#output === null || this.#output.reading.destroyed))
      this.#fail(new FfmpegError('failed', `ffmpeg ended: ${this.#complaint || 'no word'}`));
  }

  /** `take` is given the picture, in memory the next one will use again. */
  decode(bytes: Uint8Array, picturesExpected: number, take: (frame: YuvFrame) => void): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ bytesLeft: picturesExpected * this.#pictureBytes, take, resolve, reject });
      if (this.#waiting.length === 1) this.#wait(this.#pictureTimeoutMs);
      this.#process?.stdin?.write(bytes);
    });
  }

  /** The picture that is next has so much time from now on. */
  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = this.#waiting.length > 0 ? setTimeout(() => this.#timeOut(), ms) : undefined;
  }

  end(): void {
    this.#fail(new FfmpegError('closed', 'the h.264 decoder was closed'));
    this.#process?.stdin?.destroy();
    this.#process?.kill('SIGKILL');
    closeOutput(this.#output);
  }

  /** Where the next bytes go. Pictures come back to back; of several for one access unit the last stays. */
  #room(): Uint8Array {
    if (this.#filled === this.#pictureBytes) this.#filled = 0;
    const { length, 0: waiting } = this.#waiting;
    const endsAll = length === 1 && waiting!.bytesLeft === this.#pictureBytes - this.#filled;
    return this.#picture.subarray(this.#filled, endsAll ? this.#picture.length : this.#pictureBytes);
  }

  #copy(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#failure === null; ) {
      const room = this.#room();
      const part = chunk.subarray(at, at + room.length);
      room.set(part);
      this.#received(part.length);
      at += part.length;
    }
  }

  #received(count: number): void {
    this.#filled += count;
    const extra = Math.max(0, this.#filled - this.#pictureBytes);
    this.#filled -= extra;
    this.#count(count - extra, extra);
    if (extra === 0 || this.#failure !== null) return;
    this.#picture[0] = this.#picture[this.#pictureBytes]!;
    this.#filled = extra;
    this.#count(extra, 0);
  }

  /** Bytes of one picture came, and so many behind it. */
  #count(bytes: number, extra: number): void {
    const waiting = this.#waiting[0];
    if (waiting === undefined || (extra > 0 && this.#waiting.length === 1)) {
      if (this.#failure === null) this.#stop(new FfmpegError('failed', 'ffmpeg gave more pictures than it was sent'));
      return;
    }
    waiting.bytesLeft -= bytes;
    if (waiting.bytesLeft > 0) return;
    this.#waiting.shift();
    this.#complaint = '';
    this.#wait(this.#pictureTimeoutMs);
    waiting.take(this.#frame());
    waiting.resolve();
  }

  #stop(error: Error): void {
    this.#fail(error);
    this.#process?.kill('SIGKILL');
  }

  #frame(): YuvFrame {
    const { width, height } = this;
    const lumaBytes = width * height;
    const chromaBytes = lumaBytes / 4;
    return {
      width,
      height,
      y: this.#picture.subarray(0, lumaBytes),
      u: this.#picture.subarray(lumaBytes, lumaBytes + chromaBytes),
      v: this.#picture.subarray(lumaBytes + chromaBytes, this.#pictureBytes),
      strideY: width,
      strideUv: width / 2,
    };
  }

  #complain(chunk: Buffer): void {
    const text = `${this.#complaint}${chunk.toString('latin1')}`.replaceAll(/[^\x20-\x7e]+/g, ' ');
    this.#complaint = text.slice(0, complaintCharactersMax);
    this.#wait(Math.min(complaintTimeoutMs, this.#pictureTimeoutMs));
  }

  #timeOut(): void {
    const error = this.#complaint
      ? new DecodeError('invalid', `ffmpeg can't decode an h.264 picture: ${this.#complaint}`)
      : new FfmpegError('timed_out', `ffmpeg gave no picture within ${this.#pictureTimeoutMs} ms`);
    this.#stop(error);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    clearTimeout(this.#timer);
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

function closeOutput(output: ProgramOutput | null): void {
  output?.reading.destroy();
  output?.writing.destroy();
}

function startError(error: NodeJS.ErrnoException, ffmpegPath: string): FfmpegError {
  return error.code === 'ENOENT'
    ? new FfmpegError('not_installed', `install ffmpeg to see h.264 pictures: there is no '${ffmpegPath}'`)
    : new FfmpegError('failed', `ffmpeg can't be started: ${error.message}`);
}
