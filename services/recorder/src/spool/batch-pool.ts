/**
 * The bounded memory frames wait in between the relaying thread and the spool thread: slots of one SharedArrayBuffer. The
 * relaying thread takes, the spool thread gives back by one atomic store: no message, no transfer, nothing to collect.
 */
export interface BatchMemory {
  memory: SharedArrayBuffer;
  /** One Int32 per slot: 0 free, 1 taken. */
  states: SharedArrayBuffer;
  slotBytes: number;
}

export function createBatchMemory(slotsCount: number, slotBytes: number): BatchMemory {
  return {
    memory: new SharedArrayBuffer(slotsCount * slotBytes),
    states: new SharedArrayBuffer(slotsCount * 4),
    slotBytes,
  };
}

/** Views of the slots, for either thread. */
export function slotViews({ memory, slotBytes }: BatchMemory): Uint8Array[] {
  return Array.from(
    { length: memory.byteLength / slotBytes },
    (_, slot) => new Uint8Array(memory, slot * slotBytes, slotBytes),
  );
}

/** Below that `set` is the faster one. */
const copiedBytesMin = 1024;

/** V8 sets shared memory word by word, as atomics; nobody reads a slot before it is handed over, so that it can be copied as a whole. */
export function copyInto(memory: Uint8Array, bytes: Uint8Array, at: number): void {
  if (bytes.length < copiedBytesMin) memory.set(bytes, at);
  else Buffer.prototype.copy.call(bytes, memory, at);
}

/** The relaying thread's side. */
export class BatchPool {
  readonly slots: Uint8Array[];
  readonly views: DataView[];
  readonly #states: Int32Array;
  /** Last in, first out: few sessions touch few pages. */
  readonly #free: number[];
  #handedOver: number[] = [];

  constructor(batchMemory: BatchMemory) {
    this.slots = slotViews(batchMemory);
    this.views = this.slots.map((slot) => new DataView(slot.buffer, slot.byteOffset, slot.byteLength));
    this.#states = new Int32Array(batchMemory.states);
    this.#free = this.slots.map((_, slot) => this.slots.length - 1 - slot);
  }

  /** Whether more than `reserve` slots are free; cheap while there are many. */
  hasMoreThan(reserve: number): boolean {
    return this.#free.length > reserve || this.freeCount() > reserve;
  }

  /** Free slots, after looking for those the spool thread has given back. */
  freeCount(): number {
    if (this.#handedOver.length > 0) {
      const still: number[] = [];
      for (const slot of this.#handedOver) (Atomics.load(this.#states, slot) === 0 ? this.#free : still).push(slot);
      this.#handedOver = still;
    }
    return this.#free.length;
  }

  /** A slot, or -1 when all are taken. */
  take(): number {
    if (this.#free.length === 0 && this.freeCount() === 0) return -1;
    const slot = this.#free.pop() ?? -1;
    Atomics.store(this.#states, slot, 1);
    return slot;
  }

  /** The spool thread has it now. */
  handOver(slot: number): void {
    this.#handedOver.push(slot);
  }

  /** Gives a slot back that was never handed over. */
  release(slot: number): void {
    Atomics.store(this.#states, slot, 0);
    this.#free.push(slot);
  }
}
