import assert from 'node:assert/strict';
import { createPixelBuffer, type PixelBuffer } from '@lucid-sessions/graphics';
import type { CodecAnswer, CodecCommand, FreeRdpCodecs } from '@lucid-sessions/testkit';
import { DecodeError } from '@lucid-sessions/wire';

/** Numbers that look random and are the same in every run: a stream is known by its number. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  /** 0 to `below` − 1. */
  of(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % below;
  }

  one<T>(values: readonly T[]): T {
    return values[this.of(values.length)]!;
  }

  often(oneIn: number): boolean {
    return this.of(oneIn) === 0;
  }

  list<T>(length: number, make: (index: number) => T): T[] {
    return Array.from({ length }, (_, index) => make(index));
  }

  color(): number {
    return (0xff000000 | this.of(1 << 24)) >>> 0;
  }

  bytes(length: number, below = 256): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.of(below));
  }

  /** Runs, repetitions and noise, as compressors like and dislike it. */
  data(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    const below = 1 + this.of(255);
    for (let at = 0; at < length; ) {
      const kind = this.of(4);
      const end = Math.min(length, at + 1 + this.of(kind === 0 ? 400 : kind === 1 ? 80 : 30));
      const distance = 1 + this.of(Math.max(1, at));
      const value = this.of(256);
      for (; at < end; at += 1)
        bytes[at] = kind === 0 && at > 0 ? bytes[at - distance]! : kind === 1 ? value : this.of(below);
    }
    return bytes;
  }

  /** Flat areas, gradients, noise, and specks. */
  picture(width: number, height: number): PixelBuffer {
    const picture = createPixelBuffer(width, height);
    const kind = this.of(4);
    const colors = this.list(1 + this.of(6), () => this.color());
    for (let y = 0; y < height; y += 1)
      for (let x = 0; x < width; x += 1) {
        const flat = colors[(Math.floor(x / (3 + kind)) + Math.floor(y / (2 + kind * 3))) % colors.length]!;
        const gradient = 0xff000000 | ((x * 255) / width) | (((y * 255) / height) << 8) | (((x + y) & 255) << 16);
        const speck = (kind === 2 && this.often(3)) || (kind === 3 && this.often(40));
        picture.words[y * width + x] = speck ? this.color() : (kind === 1 ? gradient : flat) >>> 0;
      }
    return picture;
  }

  /** A few bytes changed, sometimes the end missing. */
  damaged(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const copy = new Uint8Array(bytes);
    if (copy.length > 0) for (let left = this.of(4); left >= 0; left -= 1) copy[this.of(copy.length)] = this.of(256);
    return this.often(6) ? copy.subarray(0, this.of(copy.length + 1)) : copy;
  }
}

export type Decode = (command: CodecCommand) => Uint8Array | Uint8ClampedArray;

export interface Comparison {
  /** Messages both decoded, to the same. */
  same: number;
  bothRefuse: number;
  onlyOurs: number;
  onlyTheirs: number;
  /** FreeRDP did not survive the stream. */
  crashed: number;
}

export interface CompareOptions {
  /** How far channels may be apart: where a codec's arithmetic leaves rounding open. */
  readonly tolerance?: number;
  /** Alpha is compared too. */
  readonly alpha?: boolean;
}

/**
 * Gives the same streams to FreeRDP and to ours, message by message until one refuses. What both decode must be the same; `begin` makes
 * our decoder for a stream.
 */
export function compare(
  freeRdp: FreeRdpCodecs,
  streams: readonly (readonly CodecCommand[])[],
  begin: (stream: readonly CodecCommand[]) => Decode,
  options: CompareOptions = {},
): Comparison {
  const result = { same: 0, bothRefuse: 0, onlyOurs: 0, onlyTheirs: 0, crashed: 0 };
  const theirs = freeRdp.run(streams);
  for (const [number, stream] of streams.entries()) {
    if (stream.length === 0) continue;
    const decode = begin(stream);
    for (const [index, command] of stream.entries()) {
      const answer = theirs[number]![index];
      const kind = answer === undefined ? 'crashed' : judge(command, answer, decode, options, `${number}.${index}`);
      result[kind] += 1;
      if (kind !== 'same') break;
    }
  }
  return result;
}

function judge(
  command: CodecCommand,
  answer: CodecAnswer,
  decode: Decode,
  { tolerance = 0, alpha = true }: CompareOptions,
  where: string,
): keyof Comparison {
  let ours: Uint8Array | Uint8ClampedArray;
  try {
    ours = decode(command);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return answer.status > 0 ? 'onlyTheirs' : 'bothRefuse';
  }
  if (answer.status <= 0) return 'onlyOurs';
  assert.equal(ours.length, answer.bytes.length, `${command.operation}, stream ${where}: length`);
  for (let at = 0; at < ours.length; at += 1) {
    if (!alpha && (at & 3) === 3) continue;
    if (Math.abs(ours[at]! - answer.bytes[at]!) > tolerance)
      assert.fail(
        `${command.operation}, stream ${where}, ${command.a}x${command.b}, byte ${at}: ${ours[at]} is ${answer.bytes[at]} in ` +
          `FreeRDP; ${Buffer.from(command.bytes.subarray(0, 200)).toString('hex')}`,
      );
  }
  return 'same';
}
