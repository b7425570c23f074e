/**
 * Writing to a socket from memory that is reused at once. A TLS socket that is idle encrypts (or copies) what it is given
 * before `write` returns; while it is busy, bytes are gathered here and go out together.
 */
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/** Beyond it the source is asked to wait. */
const gatheredBytesHigh = 128 * 1024;
/** One more read of the source fits behind that. */
const gatherBytes = 192 * 1024;
/** Gathering buffers for the next burst, for all sockets together: a socket that keeps up holds none. */
const spare: Buffer[] = [];
const spareMax = 128;

function takeBuffer(bytes: number): Buffer {
  if (bytes > gatherBytes) return Buffer.allocUnsafeSlow(2 * bytes);
  return spare.pop() ?? Buffer.allocUnsafeSlow(gatherBytes);
}

function giveBuffer(buffer: Buffer): void {
  if (spare.length < spareMax && buffer.length === gatherBytes) spare.push(buffer);
}

export class SocketWriter {
  readonly #socket: Duplex;
  readonly #onRoom: () => void;
  readonly #onWritten: () => void;
  /** What is no TLS keeps a reference to what it could not send at once. */
  readonly #keepsReferences: boolean;
  #busy = false;
  #gathered: Buffer | null = null;
  #gatheredBytes = 0;
  #full = false;

  /** `onRoom` is called when a write had answered false and more is welcome again. */
  constructor(socket: Duplex, onRoom: () => void) {
    this.#socket = socket;
    this.#onRoom = onRoom;
    this.#keepsReferences = !(socket instanceof TLSSocket);
    this.#onWritten = () => this.#written();
  }

  /** Takes `bytes`, which may be reused when this returns. False: the peer is slower than this; wait for `onRoom`. */
  write(bytes: Uint8Array): boolean {
    if (!this.#busy) {
      this.#send(bytes);
      return true;
    }
    this.#gather(bytes);
    this.#full ||= this.#gatheredBytes >= gatheredBytesHigh;
    return !this.#full;
  }

  /** Hands everything over to the socket, whatever it costs. For the last words before `end`. */
  flush(): void {
    if (this.#gathered === null || this.#socket.destroyed) return;
    this.#socket.write(Buffer.from(this.#gathered.subarray(0, this.#gatheredBytes)));
    this.#release();
  }

  #send(bytes: Uint8Array): void {
    const { writableLength, writableCorked } = this.#socket;
    const consumedAtOnce = !this.#keepsReferences && writableLength === 0 && writableCorked === 0;
    this.#busy = true;
    this.#socket.write(consumedAtOnce ? bytes : Buffer.from(bytes), this.#onWritten);
  }

  #gather(bytes: Uint8Array): void {
    const needed = this.#gatheredBytes + bytes.length;
    if (this.#gathered === null || this.#gathered.length < needed) {
      const larger = takeBuffer(needed);
      if (this.#gathered !== null) {
        larger.set(this.#gathered.subarray(0, this.#gatheredBytes));
        giveBuffer(this.#gathered);
      }
      this.#gathered = larger;
    }
    this.#gathered.set(bytes, this.#gatheredBytes);
    this.#gatheredBytes = needed;
  }

  #release(): void {
    if (this.#gathered !== null) giveBuffer(this.#gathered);
    this.#gathered = null;
    this.#gatheredBytes = 0;
  }

  #written(): void {
    this.#busy = false;
    if (this.#gathered !== null) {
      this.#send(this.#gathered.subarray(0, this.#gatheredBytes));
      this.#release();
    }
    if (!this.#full) return;
    this.#full = false;
    this.#onRoom();
  }
}
