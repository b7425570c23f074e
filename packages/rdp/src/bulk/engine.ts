import type { DecodeError } from '@lucid-sessions/wire';
import { type History, historyOverrun, matchOverrun } from './history.ts';
import {
  type BulkKernels,
  bulkFailures,
  inputBytesMax,
  inputOffset,
  loadBulkKernels,
  offsetCacheOffset,
  slotBytes,
  slotsCount,
  slotsOffset,
} from './kernels.ts';
import { badLengthClass, badLengthPrefix, badSymbol, bitsTruncated } from './padded-input.ts';

const errors = new Map<number, () => DecodeError>([
  [bulkFailures.truncated, bitsTruncated],
  [bulkFailures.historyOverrun, historyOverrun],
  [bulkFailures.matchOverrun, matchOverrun],
  [bulkFailures.badLengthPrefix, badLengthPrefix],
  [bulkFailures.badSymbol, badSymbol],
  [bulkFailures.badLengthClass, badLengthClass],
]);

/**
 * Runs the kernels for all decompressors of a thread. Their histories live in the kernels' memory; when there are more of them than
 * fit, the one not used for longest moves out, into memory of its own.
 */
export class BulkEngine {
  readonly #kernels: BulkKernels;
  readonly #bytes: Uint8Array;
  readonly #offsetCache: Int32Array;
  /** Least recently used first. */
  readonly #slots = new Map<History, number>();

  constructor(kernels: BulkKernels) {
    this.#kernels = kernels;
    this.#bytes = new Uint8Array(kernels.memory.buffer);
    this.#offsetCache = new Int32Array(kernels.memory.buffer, offsetCacheOffset, 4);
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
    if (!(offset <= history.bytes.length)) throw historyOverrun();
    const address = this.#place(history);
    this.#bytes.set(data, inputOffset);
    this.#bytes.fill(0, inputOffset + data.length, inputOffset + data.length + 32);
    if (offsetCache !== undefined) this.#offsetCache.set(offsetCache);
    const end = this.#kernels[kernel](address, offset, data.length);
    if (offsetCache !== undefined) for (let i = 0; i < 4; i += 1) offsetCache[i] = this.#offsetCache[i]!;
    if (end < 0) throw errors.get(end)!();
    return end;
  }

  /** The address of a history in the kernels' memory. */
  #place(history: History): number {
    const slots = this.#slots;
    let address = slots.get(history);
    if (address === undefined) {
      address = slots.size < slotsCount ? slotsOffset + slots.size * slotBytes : this.#vacate();
      const place = this.#bytes.subarray(address, address + history.bytes.length);
      place.set(history.bytes);
      history.bytes = place;
    } else {
      slots.delete(history);
    }
    slots.set(history, address);
    return address;
  }

  #vacate(): number {
    const [history, address] = this.#slots.entries().next().value!;
    history.bytes = new Uint8Array(history.bytes);
    this.#slots.delete(history);
    return address;
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
