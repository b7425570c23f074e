import { ByteRanges, type ByteRangesSnapshot } from './byte-ranges.ts';
import { ResumableSha256, type Sha256Snapshot } from './sha256.ts';

/** Bytes of one file that wait to be hashed: what comes again or earlier than its turn is put in its place among them. */
const WAITING_BYTES_MAX = 512 * 1024;
/** The same of all transfers that share a budget. */
const BUDGET_BYTES = 16 << 20;

/** Memory that several transfers share. */
export class TransferBudget {
  held = 0;
}

export interface TransferSnapshot {
  readonly id: number;
  readonly startUs: number;
  readonly rewrites: boolean;
  readonly ranges: ByteRangesSnapshot;
  readonly unplaced: number;
  readonly lost: boolean;
  readonly waiting: Uint8Array;
  readonly hash: Sha256Snapshot;
}

export interface TransferEnd {
  /** Where the first byte lay. */
  offset: number;
  /** How many different bytes of the file went over; null when that can't be told. */
  bytes: number | null;
  /** Of the file: null unless all of it went over and is known. */
  sha256: string | null;
}

/**
 * What went over of one file in one direction. The hash is the file's or none: it is given up for good when a byte that was hashed
 * already may have changed, or when more lies out of order than is held.
 */
export class Transfer {
  readonly id: number;
  readonly startUs: number;
  readonly #rewrites: boolean;
  readonly #budget: TransferBudget;
  #hash = new ResumableSha256();
  #ranges = new ByteRanges();
  /** Bytes whose place in the file is not known. */
  #unplaced = 0;
  #lost = false;
  /** The file's bytes behind those that are hashed; which of them are there, the ranges say. */
  #waiting = new Uint8Array(0);

  /** `rewrites`: bytes at a place that was passed already replace what was there; otherwise they must be what was there. */
  constructor(id: number, startUs: number, rewrites: boolean, budget: TransferBudget) {
    this.id = id;
    this.startUs = startUs;
    this.#rewrites = rewrites;
    this.#budget = budget;
  }

  static from(snapshot: TransferSnapshot, budget: TransferBudget): Transfer {
    const transfer = new Transfer(snapshot.id, snapshot.startUs, snapshot.rewrites, budget);
    transfer.#ranges = ByteRanges.from(snapshot.ranges);
    transfer.#unplaced = snapshot.unplaced;
    transfer.#lost = snapshot.lost;
    transfer.#waiting = new Uint8Array(snapshot.waiting);
    transfer.#hash.restore(snapshot.hash);
    budget.held += transfer.#waiting.length;
    return transfer;
  }

  snapshot(): TransferSnapshot {
    const used = Math.max(0, Math.min(this.#waiting.length, this.#ranges.end - this.#hash.length));
    return {
      id: this.id,
      startUs: this.startUs,
      rewrites: this.#rewrites,
      ranges: this.#ranges.snapshot(),
      unplaced: this.#unplaced,
      lost: this.#lost,
      waiting: this.#waiting.slice(0, used),
      hash: this.#hash.snapshot(),
    };
  }

  /** Nothing went over. */
  get isEmpty(): boolean {
    return this.#unplaced === 0 && this.#ranges.total === 0;
  }

  /** All of a file of this size went over. */
  isAll(size: number): boolean {
    return this.#unplaced === 0 && this.#ranges.isAll(size);
  }

  /** Where the last byte so far ended. */
  get reach(): number {
    return this.#ranges.end;
  }

  add(offset: number, bytes: Uint8Array): void {
    // In steps that fit: a piece may be longer than what is held.
    const step = WAITING_BYTES_MAX >> 1;
    for (let at = 0; at < bytes.length; at += step) this.#place(offset + at, bytes.subarray(at, at + step));
  }

  /** Bytes that went over and were not seen. */
  addUnseen(offset: number, length: number): void {
    this.lose();
    this.#ranges.add(offset, offset + length);
  }

  /** Bytes that went over to a place that is not known: to the end of the file, say. */
  addUnplaced(length: number): void {
    this.lose();
    this.#unplaced += length;
  }

  /** The file's contents can't be told any more. */
  lose(): void {
    this.#lost = true;
    this.#release();
  }

  /** The file was cut or made longer. */
  resized(size: number): void {
    if (size === 0 && this.#unplaced === 0) {
      this.#hash = new ResumableSha256();
      this.#ranges = new ByteRanges();
      this.#lost = false;
      this.#release();
      return;
    }
    if (size < this.#hash.length) this.lose();
    this.#ranges.cut(size);
  }

  /** Ends it. `size`: the file's, null when it is not known. */
  end(size: number | null): TransferEnd {
    const seen = this.#ranges.total;
    const isWhole = size !== null && this.isAll(size) && !this.#lost;
    if (isWhole) this.#hash.update(this.#waiting.subarray(0, size - this.#hash.length));
    this.#release();
    return {
      offset: this.#ranges.first,
      bytes: seen === null ? null : seen + this.#unplaced,
      sha256: isWhole ? this.#hash.digestHex() : null,
    };
  }

  #place(offset: number, bytes: Uint8Array): void {
    if (!this.#lost && !this.#hold(offset, bytes)) this.lose();
    this.#ranges.add(offset, offset + bytes.length);
  }

  /** False where the file's contents can't be told any more. */
  #hold(offset: number, bytes: Uint8Array): boolean {
    if (offset < this.#hash.length) return false;
    const hasRoom = this.#makeRoom(offset, offset + bytes.length);
    const at = offset - this.#hash.length;
    if (hasRoom) {
      if (!this.#rewrites && !this.#isSame(offset, bytes)) return false;
      this.#waiting.set(bytes, at);
      return true;
    }
    if (at !== 0 || this.#ranges.end > offset) return false;
    this.#hash.update(bytes);
    return true;
  }

  /** Room for a piece, hashing what is whole before it where that is needed. False where there is none. */
  #makeRoom(start: number, end: number): boolean {
    const ready = Math.min(start, this.#ranges.endFrom(this.#hash.length)) - this.#hash.length;
    const over = end - this.#hash.length - WAITING_BYTES_MAX;
    const part = over > 0 ? Math.min(ready, Math.max(over, WAITING_BYTES_MAX >> 1)) : 0;
    this.#hashFront(part);
    if (this.#grow(end - this.#hash.length)) return true;
    this.#hashFront(ready - part);
    return end - this.#hash.length <= this.#waiting.length;
  }

  #hashFront(length: number): void {
    if (length <= 0) return;
    this.#hash.update(this.#waiting.subarray(0, length));
    this.#waiting.copyWithin(0, length);
  }

  #grow(length: number): boolean {
    if (length > WAITING_BYTES_MAX) return false;
    if (length <= this.#waiting.length) return true;
    const size = Math.min(WAITING_BYTES_MAX, Math.max(length, 2 * this.#waiting.length, 1024));
    if (this.#budget.held + size - this.#waiting.length > BUDGET_BYTES) return false;
    this.#budget.held += size - this.#waiting.length;
    const waiting = new Uint8Array(size);
    waiting.set(this.#waiting);
    this.#waiting = waiting;
    return true;
  }

  /** What was there already is what came again. */
  #isSame(offset: number, bytes: Uint8Array): boolean {
    const base = this.#hash.length;
    let same = true;
    this.#ranges.eachKnown(offset, offset + bytes.length, (from, to) => {
      for (let at = from; at < to && same; at += 1) same = this.#waiting[at - base] === bytes[at - offset];
    });
    return same;
  }

  #release(): void {
    this.#budget.held -= this.#waiting.length;
    this.#waiting = new Uint8Array(0);
  }
}
