/** A peer whose bytes come as messages, as a WebSocket's do: no stream below, no pause on the wire but to answer for what is queued. */
import type { Peer, TakeBytes } from '../../src/peer/peer.ts';
import type { FarEnd } from '../suites/peer.ts';

const queuedBytesMax = 512 * 1024;

/** One direction: messages in order, each delivered in a turn of its own. */
class Line {
  readonly #queue: Uint8Array[] = [];
  onMessage: (bytes: Uint8Array) => void = () => {};
  onEmptied: () => void = () => {};
  onEnd: () => void = () => {};
  #isPaused = true;
  #ends = false;
  #timer: NodeJS.Immediate | null = null;

  get queuedBytes(): number {
    return this.#queue.reduce((sum, { length }) => sum + length, 0);
  }

  push(bytes: Uint8Array): void {
    this.#queue.push(Uint8Array.from(bytes));
    this.#go();
  }

  flow(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#go();
  }

  end(): void {
    this.#ends = true;
    this.#go();
  }

  cut(): void {
    this.#queue.length = 0;
    this.#isPaused = false;
    this.end();
  }

  #go(): void {
    this.#timer ??= setImmediate(() => {
      this.#timer = null;
      if (this.#isPaused) return;
      const next = this.#queue.shift();
      if (next !== undefined) this.onMessage(next);
      if (this.#queue.length > 0) this.#go();
      else {
        this.onEmptied();
        if (this.#ends && this.#queue.length === 0) this.onEnd();
      }
    });
  }
}

export class MessagePeer implements Peer {
  readonly #in: Line;
  readonly #out: Line;
  readonly #left = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();
  onRoom: () => void = () => {};
  isClosed = false;
  #isFull = false;
  #take: TakeBytes | null = null;

  constructor(incoming: Line, outgoing: Line) {
    this.#in = incoming;
    this.#out = outgoing;
    incoming.onEnd = () => this.#left.resolve();
    outgoing.onEmptied = () => {
      if (!this.#isFull) return;
      this.#isFull = false;
      this.onRoom();
    };
  }

  get left(): Promise<void> {
    return this.#left.promise;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  read(take: TakeBytes): void {
    this.#take = take;
    this.#in.onMessage = (bytes) => {
      if (!this.isClosed && this.#take?.(bytes) === false) this.#in.flow(true);
    };
    this.#in.flow(false);
  }

  resume(): void {
    this.#in.flow(false);
  }

  write(bytes: Uint8Array): boolean {
    if (this.isClosed) return true;
    this.#out.push(bytes);
    this.#isFull ||= this.#out.queuedBytes >= queuedBytesMax;
    return !this.#isFull;
  }

  end(): void {
    if (this.isClosed) return;
    this.#out.end();
    this.#close();
  }

  destroy(): void {
    if (this.isClosed) return;
    this.#out.cut();
    this.#close();
  }

  #close(): void {
    this.isClosed = true;
    this.#left.resolve();
    this.#closed.resolve();
  }
}

export function messagePair(): { peer: MessagePeer; far: FarEnd } {
  const toPeer = new Line();
  const fromPeer = new Line();
  const pieces: Uint8Array[] = [];
  const gone = Promise.withResolvers<void>();
  const peer = new MessagePeer(toPeer, fromPeer);
  fromPeer.onMessage = (bytes) => pieces.push(bytes);
  fromPeer.onEnd = () => gone.resolve();
  fromPeer.flow(false);
  const far: FarEnd = {
    send: (bytes) => toPeer.push(bytes),
    received: () => Buffer.concat(pieces),
    pause: () => fromPeer.flow(true),
    resume: () => fromPeer.flow(false),
    end: () => toPeer.end(),
    cut: () => toPeer.cut(),
    gone: gone.promise,
  };
  return { peer, far };
}
