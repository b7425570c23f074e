/** Bytes from one socket into the relay and what comes out into the other, never faster than either side takes them. */
import type { Socket } from 'node:net';

export interface PumpEnds {
  from: Socket;
  to: Socket;
  /** Takes what `from` sent; what it returns goes to `to`. */
  onBytes: (bytes: Uint8Array) => readonly Uint8Array[];
  /** False while the recording can't take more: reading waits. */
  hasRoom: () => boolean;
  onEnd: () => void;
}

/** How often a pump that waits for room in the recording looks again. */
const roomPollMs = 5;

export class Pump {
  readonly #ends: PumpEnds;
  #waitsForDrain = false;
  #roomTimer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(ends: PumpEnds) {
    this.#ends = ends;
    const { from, to } = ends;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => ends.onEnd());
    to.on('drain', () => {
      this.#waitsForDrain = false;
      this.#resume();
    });
  }

  start(): void {
    this.#resume();
  }

  /** No more bytes from here on; what arrives is thrown away. */
  stop(): void {
    this.#stopped = true;
    if (this.#roomTimer !== null) clearTimeout(this.#roomTimer);
    this.#ends.from.resume();
  }

  #take(bytes: Uint8Array): void {
    if (this.#stopped) return;
    const { to, onBytes, hasRoom } = this.#ends;
    const views = onBytes(bytes);
    // The session may have ended over these very bytes.
    if (this.#stopped) return;
    let takesMore = true;
    if (views.length === 1) takesMore = to.write(views[0]!);
    else if (views.length > 1) {
      to.cork();
      for (const view of views) takesMore = to.write(view);
      to.uncork();
    }
    if (!takesMore) this.#waitsForDrain = true;
    if (this.#waitsForDrain || !hasRoom()) this.#pause();
  }

  #pause(): void {
    this.#ends.from.pause();
    if (!this.#waitsForDrain) this.#roomTimer ??= setTimeout(() => this.#resume(), roomPollMs);
  }

  #resume(): void {
    if (this.#roomTimer !== null) clearTimeout(this.#roomTimer);
    this.#roomTimer = null;
    if (this.#stopped || this.#waitsForDrain) return;
    if (this.#ends.hasRoom()) this.#ends.from.resume();
    else this.#roomTimer = setTimeout(() => this.#resume(), roomPollMs);
  }
}
