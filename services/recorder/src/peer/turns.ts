import type { Peer, TakeBytes } from './peer.ts';

/**
 * One peer for several owners, one behind the other: what comes between two of them waits for the second. An owner whose turn is
 * over reads, writes and closes nothing any more.
 */
export class Turns {
  readonly #peer: Peer;
  #turn: Turn | null = null;
  #begun = false;
  #take: TakeBytes | null = null;
  #waiting: Uint8Array[] = [];

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  next(): Peer {
    this.#take = null;
    const turn: Turn = new Turn(
      this.#peer,
      () => this.#turn === turn,
      (take) => this.#read(take),
    );
    this.#turn = turn;
    this.#peer.onRoom = () => turn.onRoom();
    return turn;
  }

  #read(take: TakeBytes): void {
    this.#take = take;
    if (!this.#begun) {
      this.#begun = true;
      this.#peer.read((bytes) => this.#receive(bytes));
      return;
    }
    let takesMore = true;
    for (const bytes of this.#waiting.splice(0)) takesMore = take(bytes) && takesMore;
    if (takesMore) this.#peer.resume();
  }

  /** Bytes are valid during the call only. */
  #receive(bytes: Uint8Array): boolean {
    if (this.#take !== null) return this.#take(bytes);
    this.#waiting.push(new Uint8Array(bytes));
    return false;
  }
}

class Turn implements Peer {
  readonly #peer: Peer;
  readonly #isMine: () => boolean;
  readonly #read: (take: TakeBytes) => void;
  onRoom: () => void = () => {};

  constructor(peer: Peer, isMine: () => boolean, read: (take: TakeBytes) => void) {
    this.#peer = peer;
    this.#isMine = isMine;
    this.#read = read;
  }

  read(take: TakeBytes): void {
    if (this.#isMine()) this.#read(take);
  }

  resume(): void {
    if (this.#isMine()) this.#peer.resume();
  }

  write(bytes: Uint8Array): boolean {
    return this.#isMine() ? this.#peer.write(bytes) : true;
  }

  end(): void {
    if (this.#isMine()) this.#peer.end();
  }

  destroy(): void {
    if (this.#isMine()) this.#peer.destroy();
  }

  get isClosed(): boolean {
    return this.#peer.isClosed;
  }

  get left(): Promise<void> {
    return this.#peer.left;
  }

  get closed(): Promise<void> {
    return this.#peer.closed;
  }
}
