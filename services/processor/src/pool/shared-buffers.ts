/** Buffers a worker may hold on to; more than the spool has. */
const buffersMax = 16;

/**
 * Numbers for the shared buffers that payloads lie in. A buffer is sent to a worker once and then called by its number: each
 * time it is sent, the receiving heap counts all its bytes again and soon collects for nothing.
 */
export class SharedBuffers {
  /** In order of last use. */
  readonly #numbers = new Map<SharedArrayBuffer, number>();
  #next = 1;

  /** The buffer's number, and that of one that is not remembered any more because of it. */
  numberOf(buffer: SharedArrayBuffer): { number: number; dropped: number | null } {
    const known = this.#numbers.get(buffer);
    const number = known ?? this.#next;
    if (known === undefined) this.#next += 1;
    this.#numbers.delete(buffer);
    this.#numbers.set(buffer, number);
    if (this.#numbers.size <= buffersMax) return { number, dropped: null };
    const [oldest, dropped] = this.#numbers.entries().next().value!;
    this.#numbers.delete(oldest);
    return { number, dropped };
  }
}
