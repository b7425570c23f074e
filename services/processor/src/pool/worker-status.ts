/**
 * What a chunk worker is at, in four bytes it shares with the pool: 0, or the number of the chunk in its hands. A dead worker
 * can't say what it died of; this can, and the chunk beside the guilty one is not blamed.
 */
export class WorkerStatus {
  readonly memory: SharedArrayBuffer;
  readonly #job: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(4)) {
    this.memory = memory;
    this.#job = new Int32Array(memory);
  }

  begin(job: number): void {
    Atomics.store(this.#job, 0, job);
  }

  end(): void {
    Atomics.store(this.#job, 0, 0);
  }

  /** 0 when the worker had nothing in its hands. */
  job(): number {
    return Atomics.load(this.#job, 0);
  }
}
