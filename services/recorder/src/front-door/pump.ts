/** Bytes from one peer into the relay and what comes out to the other, never faster than either side takes them. */
import type { Peer } from '../peer/peer.ts';

export interface PumpEnds {
  from: Peer;
  to: Peer;
  /** Takes what `from` sent (valid during the call only); what it returns goes to `to`. */
  onBytes: (bytes: Uint8Array) => readonly Uint8Array[];
  /** False while the recording can't take more: reading waits. */
  hasRoom: () => boolean;
}

/** How often a pump that waits for room in the recording looks again. */
const roomPollMs = 5;

export class Pump {
  readonly #ends: PumpEnds;
  #waitsForPeer = false;
  #roomTimer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(ends: PumpEnds) {
    this.#ends = ends;
    ends.to.onRoom = () => {
      this.#waitsForPeer = false;
      this.#resume();
    };
  }

  start(): void {
    this.#ends.from.read((bytes) => this.#take(bytes));
  }

  /** Bytes of the gateway's own for `to`, in order behind what was pumped. */
  send(bytes: Uint8Array): void {
    this.#ends.to.write(bytes);
  }

  /** No more bytes from here on; what arrives is thrown away. */
  stop(): void {
    this.#stopped = true;
    if (this.#roomTimer !== null) clearTimeout(this.#roomTimer);
    this.#ends.from.resume();
  }

  #take(bytes: Uint8Array): boolean {
    if (this.#stopped) return true;
    const views = this.#ends.onBytes(bytes);
    // The session may have ended over these very bytes.
    if (this.#stopped) return true;
    for (const view of views) this.#waitsForPeer = !this.#ends.to.write(view);
    if (this.#waitsForPeer) return false;
    if (this.#ends.hasRoom()) return true;
    this.#roomTimer ??= setTimeout(() => this.#resume(), roomPollMs);
    return false;
  }

  #resume(): void {
    if (this.#roomTimer !== null) clearTimeout(this.#roomTimer);
    this.#roomTimer = null;
    if (this.#stopped || this.#waitsForPeer) return;
    if (this.#ends.hasRoom()) this.#ends.from.resume();
    else this.#roomTimer = setTimeout(() => this.#resume(), roomPollMs);
  }
}
