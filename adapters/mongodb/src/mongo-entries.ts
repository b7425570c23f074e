/** People and what they use: a document each, its value as text, so that no key of it means anything to the server. */
import type { Entry, EntryKind } from '@lucid-sessions/contract';
import type { EntryQuery } from '@lucid-sessions/storage';
import type { Collection } from 'mongodb';
import { guardedMongo, isDuplicate } from './mongo-errors.ts';

export interface EntryDoc {
  kind: EntryKind;
  id: string;
  owner: string | null;
  version: number;
  untilUs: number | null;
  document: string;
}

const entryOf = ({ kind, id, owner, version, untilUs, document }: EntryDoc): Entry => ({
  kind,
  id,
  owner,
  value: JSON.parse(document) as Record<string, unknown>,
  version,
  untilUs,
});

export class MongoEntries {
  readonly #entries: Collection<EntryDoc>;

  constructor(entries: Collection<EntryDoc>) {
    this.#entries = entries;
  }

  async get(kind: EntryKind, id: string): Promise<Entry | null> {
    const doc = await guardedMongo(() => this.#entries.findOne({ kind, id }));
    return doc === null ? null : entryOf(doc);
  }

  async put({ value, ...entry }: Entry): Promise<boolean> {
    const doc = { ...entry, document: JSON.stringify(value) };
    const { kind, id, version } = entry;
    return guardedMongo(async () => {
      if (version > 1)
        return (await this.#entries.updateOne({ kind, id, version: version - 1 }, { $set: doc })).matchedCount === 1;
      try {
        await this.#entries.insertOne(doc);
        return true;
      } catch (thrown) {
        if (isDuplicate(thrown)) return false;
        throw thrown;
      }
    });
  }

  async list({ kind, owner, after, limit }: EntryQuery, nowUs: number): Promise<Entry[]> {
    const docs = await guardedMongo(() =>
      this.#entries
        .find({
          kind,
          ...(owner === undefined ? {} : { owner }),
          id: { $gt: after },
          $or: [{ untilUs: null }, { untilUs: { $gt: nowUs } }],
        })
        .sort({ id: 1 })
        .limit(limit)
        .toArray(),
    );
    return docs.map(entryOf);
  }

  async remove(kind: EntryKind, id: string, version?: number): Promise<boolean> {
    const { deletedCount } = await guardedMongo(() =>
      this.#entries.deleteOne({ kind, id, ...(version === undefined ? {} : { version }) }),
    );
    return deletedCount === 1;
  }

  async sweep(nowUs: number): Promise<number> {
    return (await guardedMongo(() => this.#entries.deleteMany({ untilUs: { $ne: null, $lte: nowUs } }))).deletedCount;
  }
}
