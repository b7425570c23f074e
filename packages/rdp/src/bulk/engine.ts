import type { DecodeError } from '@lucid-sessions/wire';
import { type History, historyOverrun, matchOverrun } from './history.ts';
import {
  bulkFailures,
  inputBytesMax,
  inputOffset,
  largeSlots,
  offsetCacheOffset,
  type SlotLayout,
  smallSlots,
} from './kernel-memory.ts';
import { type BulkKernels, loadBulkKernels } from './kernels.ts';
import { badLengthClass, badLengthPrefix, badSymbol, bitsTruncated } from './padded-input.ts';
import { matchBeforeOutput, matchesTruncated, matchOutsideHistory } from './xcrush-matches.ts';

const errors = new Map<number, () => DecodeError>([
  [bulkFailures.truncated, bitsTruncated],
  [bulkFailures.historyOverrun, historyOverrun],
  [bulkFailures.matchOverrun, matchOverrun],
  [bulkFailures.badLengthPrefix, badLengthPrefix],
  [bulkFailures.badSymbol, badSymbol],
  [bulkFailures.badLengthClass, badLengthClass],
  [bulkFailures.matchesTruncated, matchesTruncated],
  [bulkFailures.matchBeforeOutput, matchBeforeOutput],
  [bulkFailures.matchOutsideHistory, matchOutsideHistory],
]);

/** Runs the kernels for all decompressors of a thread. Their histories live in the kernels' memory. */
export class BulkEngine {
  readonly #kernels: BulkKernels;
  readonly #bytes: Uint8Array;
  readonly #offsetCache: Int32Array;
  readonly #small: Slots;
  readonly #large: Slots;

  constructor(kernels: BulkKernels) {
    const { buffer } = kernels.memory;
    this.#kernels = kernels;
    this.#bytes = new Uint8Array(buffer);
    this.#offsetCache = new Int32Array(buffer, offsetCacheOffset, 4);
    this.#small = new Slots(buffer, smallSlots);
    this.#large = new Slots(buffer, largeSlots);
  }

  /**
   * Decompresses `data` to `offset` of the history and returns where it ends; null for data of a length that no PDU has. `offsetCache`
   * is NCRUSH's. Throws `DecodeError`.
   */
  decode(
    kernel: 'mppc8K' | 'mppc64K' | 'ncrush',
    history: History,
    offset: number,
    data: Uint8Array,
    offsetCache?: number[],
  ): number | null {
    if (data.length > inputBytesMax) return null;
    if (!(offset <= history.bytesMax)) throw historyOverrun();
    const address = this.#small.place(history);
    this.#bytes.set(data, inputOffset);
    this.#bytes.fill(0, inputOffset + data.length, inputOffset + data.length + 32);
    if (offsetCache !== undefined) this.#offsetCache.set(offsetCache);
    const end = this.#kernels[kernel](address, offset, data.length);
    if (offsetCache !== undefined) for (let i = 0; i < 4; i += 1) offsetCache[i] = this.#offsetCache[i]!;
    return ended(end);
  }

  /** As `decode`, for the first level of RDP 6.1. What the second has made of its data is read where it is. */
  decodeXcrush(history: History, offset: number, data: Uint8Array): number | null {
    if (data.length > inputBytesMax) return null;
    const address = this.#large.place(history);
    const inPlace = data.buffer === this.#bytes.buffer;
    if (!inPlace) this.#bytes.set(data, inputOffset);
    return ended(this.#kernels.xcrush(address, offset, inPlace ? data.byteOffset : inputOffset, data.length));
  }
}

function ended(end: number): number {
  if (end < 0) throw errors.get(end)!();
  return end;
}

/** Histories of one size: when there are more of them than fit, the one not used for longest moves out, into memory of its own. */
class Slots {
  readonly #buffer: ArrayBuffer;
  readonly #layout: SlotLayout;
  /** Least recently used first. */
  readonly #slots = new Map<History, number>();
  #latest: History | null = null;
  #latestAddress = 0;

  constructor(buffer: ArrayBuffer, layout: SlotLayout) {
    this.#buffer = buffer;
    this.#layout = layout;
  }

  /** The address of a history in the kernels' memory. */
  place(history: History): number {
    if (history !== this.#latest) {
      this.#latestAddress = this.#find(history);
      this.#latest = history;
    }
    return this.#latestAddress;
  }

  #find(history: History): number {
    const slots = this.#slots;
    const { offset, bytes, count } = this.#layout;
    let address = slots.get(history);
    if (address === undefined) {
      let left = 0;
      if (slots.size < count) address = offset + slots.size * bytes;
      else [address, left] = this.#vacate();
      const { usedBytes } = history;
      const place = new Uint8Array(this.#buffer, address, history.bytesMax);
      place.set(history.bytes.subarray(0, usedBytes));
      place.fill(0, usedBytes, Math.max(usedBytes, left));
      history.bytes = place;
    } else {
      slots.delete(history);
    }
    slots.set(history, address);
    return address;
  }

  /** A slot, and how many bytes are left in it. */
  #vacate(): [number, number] {
    const [history, address] = this.#slots.entries().next().value!;
    history.leave();
    this.#slots.delete(history);
    return [address, history.usedBytes];
  }
}

let engine: BulkEngine | null | undefined;

/** This thread's, or null where WebAssembly or its SIMD is missing. */
export function bulkEngine(): BulkEngine | null {
  if (engine === undefined) {
    const kernels = loadBulkKernels();
    engine = kernels && new BulkEngine(kernels);
  }
  return engine;
}
