/** Values of one kind in the `Coordination`. */
import { agreedPageMax, LucidError } from '@lucid-sessions/contract';
import type { Coordination } from './ports.ts';

const swapsMax = 50;

export class AgreedSpace<T> {
  readonly #coordination: Coordination;
  readonly #name: string;
  readonly #nowUs: () => number;

  constructor(coordination: Coordination, name: string, nowUs: () => number) {
    this.#coordination = coordination;
    this.#name = name;
    this.#nowUs = nowUs;
  }

  async get(key: string): Promise<T | null> {
    return ((await this.#coordination.get(this.#name, key, this.#nowUs()))?.value ?? null) as T | null;
  }

  /** False: there is one already. */
  async add(key: string, value: T, untilUs: number): Promise<boolean> {
    const entry = { key, value, untilUs, expected: null };
    return (await this.#coordination.put(this.#name, entry, this.#nowUs())) !== null;
  }

  /**
   * Compares and swaps until it holds; `edit` may run several times, and answers null where all stays as it is. Answers what
   * is there then.
   */
  async change(key: string, edit: (known: T | null) => { value: T; untilUs: number } | null): Promise<T | null> {
    for (let swap = 0; swap < swapsMax; swap++) {
      const known = await this.#coordination.get(this.#name, key, this.#nowUs());
      const value = (known?.value ?? null) as T | null;
      const next = edit(value);
      if (next === null) return value;
      const entry = { key, ...next, expected: known?.version ?? null };
      if ((await this.#coordination.put(this.#name, entry, this.#nowUs())) !== null) return next.value;
    }
    throw new LucidError('unavailable', 'this is being changed all the time; try again');
  }

  async remove(key: string): Promise<void> {
    await this.#coordination.remove(this.#name, key);
  }

  count(): Promise<number> {
    return this.#coordination.count(this.#name, this.#nowUs());
  }

  list(): Promise<T[]> {
    return this.listUnder('');
  }

  /** Those whose keys begin so. */
  async listUnder(prefix: string): Promise<T[]> {
    const values: T[] = [];
    for (let after = prefix; ; ) {
      const page = await this.#coordination.list(this.#name, { after, limit: agreedPageMax }, this.#nowUs());
      const under = page.filter(({ key }) => key.startsWith(prefix));
      values.push(...under.map(({ value }) => value as T));
      if (page.length < agreedPageMax || under.length < page.length) return values;
      after = page.at(-1)!.key;
    }
  }
}
