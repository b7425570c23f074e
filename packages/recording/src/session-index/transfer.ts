import { ResumableSha256, type Sha256Snapshot } from './sha256.ts';

/** Pieces that came before the ones in front of them: requests of a drive may be answered in any order. */
const AHEAD_BYTES_MAX = 1 << 20;

export interface TransferSnapshot {
  readonly id: number;
  readonly startUs: number;
  readonly first: number | null;
  readonly next: number;
  readonly bytes: number;
  readonly scattered: boolean;
  readonly ahead: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  readonly hash: Sha256Snapshot;
}

/**
 * What went over of one file in one direction: how much, and its SHA-256 when it was one run of bytes. Bytes read twice
 * count once for the hash; a file written in another order than its own has no hash here, only its contents have.
 */
export class Transfer {
  readonly id: number;
  readonly startUs: number;
  readonly #rewrites: boolean;
  readonly #hash = new ResumableSha256();
  #first: number | null = null;
  #next = 0;
  #bytes = 0;
  #scattered = false;
  #ahead: { offset: number; bytes: Uint8Array }[] = [];

  /** `rewrites`: bytes at a place that was passed already replace what was there. */
  constructor(id: number, startUs: number, rewrites: boolean) {
    this.id = id;
    this.startUs = startUs;
    this.#rewrites = rewrites;
  }

  static from(snapshot: TransferSnapshot, rewrites: boolean): Transfer {
    const transfer = new Transfer(snapshot.id, snapshot.startUs, rewrites);
    transfer.#first = snapshot.first;
    transfer.#next = snapshot.next;
    transfer.#bytes = snapshot.bytes;
    transfer.#scattered = snapshot.scattered;
    transfer.#ahead = [...snapshot.ahead];
    transfer.#hash.restore(snapshot.hash);
    return transfer;
  }

  snapshot(): TransferSnapshot {
    return {
      id: this.id,
      startUs: this.startUs,
      first: this.#first,
      next: this.#next,
      bytes: this.#bytes,
      scattered: this.#scattered,
      ahead: [...this.#ahead],
      hash: this.#hash.snapshot(),
    };
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#bytes += bytes.length;
    if (this.#first === null) {
      this.#first = offset;
      this.#next = offset;
    }
    this.#run(offset, bytes);
    while (this.#ahead.length > 0) {
      const at = this.#ahead.findIndex((piece) => piece.offset <= this.#next);
      if (at < 0) return;
      const [piece] = this.#ahead.splice(at, 1);
      this.#run(piece!.offset, piece!.bytes);
    }
  }

  #run(offset: number, bytes: Uint8Array): void {
    if (this.#scattered) return;
    if (offset > this.#next) {
      const held = this.#ahead.reduce((sum, piece) => sum + piece.bytes.length, 0);
      if (held + bytes.length > AHEAD_BYTES_MAX) this.#scatter();
      else this.#ahead.push({ offset, bytes: new Uint8Array(bytes) });
      return;
    }
    if (offset < this.#next && (this.#rewrites || offset < this.#first!)) {
      this.#scatter();
      return;
    }
    const fresh = bytes.subarray(Math.min(bytes.length, this.#next - offset));
    this.#hash.update(fresh);
    this.#next += fresh.length;
  }

  #scatter(): void {
    this.#scattered = true;
    this.#ahead = [];
  }

  /** Where the run began, its digest, and all bytes that went over. */
  end(): { offset: number; bytes: number; sha256: string | null } {
    const whole = !this.#scattered && this.#ahead.length === 0;
    return { offset: this.#first ?? 0, bytes: this.#bytes, sha256: whole ? this.#hash.digestHex() : null };
  }
}
