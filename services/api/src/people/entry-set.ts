/** Entries of one kind as typed values. */
import { type Entry, type EntryKind, LucidError, type StoragePort } from '@lucid-sessions/contract';

export type EntryStorage = Pick<StoragePort, 'getEntry' | 'putEntry' | 'listEntries' | 'removeEntry'>;

export interface Kept<T> {
  id: string;
  owner: string | null;
  value: T;
  version: number;
  untilUs: number | null;
}

export interface KeptOptions {
  owner?: string;
  untilUs?: number;
}

const swapsMax = 10;
const pageSize = 500;

export class EntrySet<T extends object> {
  readonly #storage: EntryStorage;
  readonly #kind: EntryKind;

  constructor(storage: EntryStorage, kind: EntryKind) {
    this.#storage = storage;
    this.#kind = kind;
  }

  async get(id: string): Promise<Kept<T> | null> {
    const { entry } = await this.#storage.getEntry({ kind: this.#kind, id });
    return entry === null ? null : (entry as Entry & { value: T });
  }

  /** False: one of this id is there. */
  async add(id: string, value: T, { owner, untilUs }: KeptOptions = {}): Promise<boolean> {
    const entry = {
      kind: this.#kind,
      id,
      owner: owner ?? null,
      value: { ...value },
      version: 1,
      untilUs: untilUs ?? null,
    };
    return (await this.#storage.putEntry(entry as unknown as Entry)).stored;
  }

  /**
   * Reads, changes and swaps until nobody came between. `change` answers the new value, and its new end where that changes;
   * null leaves it as it is. Answers null where there is none.
   */
  async change(id: string, change: (kept: Kept<T>) => { value: T; untilUs?: number } | null): Promise<Kept<T> | null> {
    for (let swap = 0; swap < swapsMax; swap++) {
      const kept = await this.get(id);
      if (kept === null) return null;
      const next = change(kept);
      if (next === null) return kept;
      const changed = {
        ...kept,
        value: next.value,
        version: kept.version + 1,
        untilUs: next.untilUs ?? kept.untilUs,
      };
      const entry = { ...changed, kind: this.#kind } as unknown as Entry;
      if ((await this.#storage.putEntry(entry)).stored) return changed;
    }
    throw new LucidError('conflict', 'this is being changed by someone else; try again');
  }

  /** With `version` only that one; whoever is answered true took it, and nobody else. */
  async remove(id: string, version?: number): Promise<boolean> {
    const which = version === undefined ? {} : { version };
    return (await this.#storage.removeEntry({ kind: this.#kind, id, ...which })).removed;
  }

  async page(after: string, limit: number, owner?: string): Promise<Kept<T>[]> {
    const owned = owner === undefined ? {} : { owner };
    const { entries } = await this.#storage.listEntries({ kind: this.#kind, after, limit, ...owned });
    return entries as unknown as Kept<T>[];
  }

  async *all(owner?: string): AsyncGenerator<Kept<T>> {
    for (let after = ''; ; ) {
      const page = await this.page(after, pageSize, owner);
      yield* page;
      if (page.length < pageSize) return;
      after = page.at(-1)!.id;
    }
  }
}
