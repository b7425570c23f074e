/** One piece of work per key at a time, in order. */
import { LucidError } from '@lucid-sessions/contract';

const waitingMax = 1000;

export class KeyedLock {
  readonly #tails = new Map<string, { waiting: number; tail: Promise<unknown> }>();

  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#tails.get(key) ?? { waiting: 0, tail: Promise.resolve() };
    if (entry.waiting >= waitingMax)
      return Promise.reject(new LucidError('unavailable', 'too many calls wait for this session; ask again later'));
    this.#tails.set(key, entry);
    entry.waiting += 1;
    const result = entry.tail.then(work);
    const leave = () => {
      entry.waiting -= 1;
      if (entry.waiting === 0) this.#tails.delete(key);
    };
    entry.tail = result.then(leave, leave);
    return result;
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#tails.values()].map(({ tail }) => tail));
  }
}
