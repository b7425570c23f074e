import assert from 'node:assert/strict';
import type { FrameTap } from '@lucid-sessions/relay';

export interface TappedFrame {
  flags: number;
  channelId: number;
  bytes: Buffer;
  timeUs: number;
}

/** Keeps copies of every frame in the order they began; checks the tap's rules on the way. */
export class RecordingTap implements FrameTap {
  readonly #all: (TappedFrame & { filled: number })[] = [];
  readonly #open: (TappedFrame & { filled: number })[] = [];

  /** Whole frames. */
  get frames(): TappedFrame[] {
    return this.#all.filter((frame) => frame.filled === frame.bytes.length);
  }

  frame(kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    assert.equal(kind, 0);
    this.#all.push({ flags, channelId, bytes: Buffer.from(bytes), timeUs, filled: bytes.length });
  }

  begin(flags: number, channelId: number, length: number, timeUs: number): void {
    assert.equal(this.#open[flags & 1], undefined);
    const frame = { flags, channelId, bytes: Buffer.alloc(length), timeUs, filled: 0 };
    this.#all.push(frame);
    this.#open[flags & 1] = frame;
  }

  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const frame = this.#open[direction];
    assert.ok(frame);
    assert.ok(frame.filled + bytes.length <= frame.bytes.length);
    frame.bytes.set(bytes, frame.filled);
    frame.filled += bytes.length;
    if (frame.filled === frame.bytes.length) delete this.#open[direction];
  }
}
