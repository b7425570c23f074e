import { DecodeError } from '@lucid-sessions/wire';

/** Bytes decompressed so far: the decompressor's own memory, or its place in that of the kernels (`engine.ts`) while it has one. */
export class History {
  bytes: Uint8Array;
  /** What it has in the kernels' memory; its own may be shorter, with zeros to come. */
  readonly bytesMax: number;
  /** All from here on is still zeros. */
  usedBytes: number;

  constructor(bytesMax: number, bytesCount = bytesMax) {
    this.bytes = new Uint8Array(bytesCount);
    this.bytesMax = bytesMax;
    this.usedBytes = bytesCount === bytesMax ? bytesMax : 0;
  }

  /** Into memory of its own, as much as it needs. */
  leave(): void {
    this.bytes = this.bytes.slice(0, this.usedBytes);
  }

  /** Makes its own memory reach to `end`. */
  reach(end: number): void {
    const { bytes } = this;
    if (end <= bytes.length) return;
    this.bytes = new Uint8Array(Math.min(this.bytesMax, Math.max(end, bytes.length * 2)));
    this.bytes.set(bytes);
  }
}

export function historyOverrun(): DecodeError {
  return new DecodeError('limit', 'compressed data decompresses past the end of the history');
}

export function matchOverrun(): DecodeError {
  return new DecodeError('invalid', 'a match runs over the end of the history');
}

/**
 * A replicating copy (3.1.8.2) to `to`: it may read what it has just written, or what an earlier round left behind `to`, but no
 * compressor lets a match run over the history's end. The history's length is a power of two.
 */
export function copyMatch(history: Uint8Array, to: number, distance: number, length: number): void {
  const from = (to - distance) & (history.length - 1);
  if (length > history.length - to) throw historyOverrun();
  if (length > history.length - from) throw matchOverrun();
  copyRepeating(history, from, to, length);
}

/** Byte by byte, forwards: what is written may be read. */
export function copyRepeating(history: Uint8Array, from: number, to: number, length: number): void {
  // Most matches are short: calling costs more than they do.
  if (length > 32 && (from + length <= to || from > to)) {
    history.copyWithin(to, from, from + length);
    return;
  }
  for (let index = 0; index < length; index += 1) history[to + index] = history[from + index]!;
}
