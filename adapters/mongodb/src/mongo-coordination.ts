/**
 * What several processes agree on. A value is one document, changed at its version; a lease is one document, changed as it was
 * read. Versions and epochs come from one count, which only grows: an epoch is drawn behind the look at the lease it follows.
 */
import { agreedText, checkAgreedNames, checkAgreedPage } from '@lucid-sessions/contract';
import type { Agreed, AgreedLease, Coordination } from '@lucid-sessions/pipeline';
import type { Collection } from 'mongodb';
import type { MongoDatabase } from './mongo-database.ts';
import { guardedMongo, isDuplicate, untilUndisturbed } from './mongo-errors.ts';

interface AgreedDoc {
  space: string;
  key: string;
  text: string;
  version: number;
  untilUs: number;
}

interface LeaseDoc {
  _id: string;
  owner: string;
  epoch: number;
  expiresUs: number;
}

interface CountDoc {
  _id: string;
  value: number;
}

const agreedOf = ({ key, text, version, untilUs }: AgreedDoc): Agreed => ({
  key,
  value: JSON.parse(text) as unknown,
  version,
  untilUs,
});

/** Versions drawn at once: they must be new, not in order. */
const versionsAtOnce = 100;

export class MongoCoordination implements Coordination {
  readonly #database: MongoDatabase;
  readonly #agreed: Collection<AgreedDoc>;
  readonly #leases: Collection<LeaseDoc>;
  readonly #counts: Collection<CountDoc>;
  #versions: number[] = [];
  #drawing: Promise<void> | null = null;

  constructor(database: MongoDatabase) {
    this.#database = database.use();
    this.#agreed = database.collection<AgreedDoc>('agreed');
    this.#leases = database.collection<LeaseDoc>('leases');
    this.#counts = database.collection<CountDoc>('counts');
  }

  /** The last of `count` numbers that nobody else is given. */
  async #draw(count: number): Promise<number> {
    return untilUndisturbed(async () => {
      try {
        const counted = await this.#counts.findOneAndUpdate(
          { _id: 'agreed' },
          { $inc: { value: count } },
          { upsert: true, returnDocument: 'after' },
        );
        return counted?.value;
      } catch (thrown) {
        // Two made it at once.
        if (isDuplicate(thrown)) return undefined;
        throw thrown;
      }
    });
  }

  async #newVersion(): Promise<number> {
    for (;;) {
      const version = this.#versions.pop();
      if (version !== undefined) return version;
      this.#drawing ??= this.#draw(versionsAtOnce)
        .then((last) => {
          this.#versions = Array.from({ length: versionsAtOnce }, (_, at) => last - at);
        })
        .finally(() => {
          this.#drawing = null;
        });
      await this.#drawing;
    }
  }

  async get(space: string, key: string, nowUs: number): Promise<Agreed | null> {
    checkAgreedNames(space, key);
    const doc = await guardedMongo(() => this.#agreed.findOne({ space, key, untilUs: { $gt: nowUs } }));
    return doc === null ? null : agreedOf(doc);
  }

  async put(
    space: string,
    { key, value, untilUs, expected }: { key: string; value: unknown; untilUs: number; expected: number | null },
    nowUs: number,
  ): Promise<number | null> {
    checkAgreedNames(space, key);
    const text = agreedText(value);
    return guardedMongo(async () => {
      const version = await this.#newVersion();
      const set = { $set: { text, version, untilUs } };
      if (expected === null) return (await this.#putFirst({ space, key, nowUs }, set)) ? version : null;
      const { matchedCount } = await this.#agreed.updateOne(
        { space, key, version: expected, untilUs: { $gt: nowUs } },
        set,
      );
      return matchedCount === 1 ? version : null;
    });
  }

  /** In the place of one that has ended, or of none: one that has not does not match, and its name is taken. */
  async #putFirst(
    { space, key, nowUs }: { space: string; key: string; nowUs: number },
    set: { $set: Omit<AgreedDoc, 'space' | 'key'> },
  ): Promise<boolean> {
    try {
      await this.#agreed.updateOne({ space, key, untilUs: { $lte: nowUs } }, set, { upsert: true });
      return true;
    } catch (thrown) {
      if (isDuplicate(thrown)) return false;
      throw thrown;
    }
  }

  async remove(space: string, key: string, expected?: number): Promise<boolean> {
    checkAgreedNames(space, key);
    const { deletedCount } = await guardedMongo(() =>
      this.#agreed.deleteOne({ space, key, ...(expected === undefined ? {} : { version: expected }) }),
    );
    return deletedCount === 1;
  }

  async list(space: string, { after, limit }: { after: string; limit: number }, nowUs: number): Promise<Agreed[]> {
    checkAgreedNames(space);
    checkAgreedPage(limit);
    const docs = await guardedMongo(() =>
      this.#agreed
        .find({ space, key: { $gt: after }, untilUs: { $gt: nowUs } })
        .sort({ space: 1, key: 1 })
        .limit(limit)
        .toArray(),
    );
    return docs.map(agreedOf);
  }

  async count(space: string, nowUs: number): Promise<number> {
    checkAgreedNames(space);
    return guardedMongo(() => this.#agreed.countDocuments({ space, untilUs: { $gt: nowUs } }));
  }

  async acquire(
    name: string,
    owner: string,
    expiresUs: number,
    nowUs: number,
  ): Promise<{ acquired: boolean; lease: AgreedLease }> {
    checkAgreedNames(name, owner);
    return guardedMongo(() =>
      untilUndisturbed(async () => {
        const held = await this.#leases.findOne({ _id: name });
        const isLive = held !== null && held.expiresUs > nowUs;
        if (isLive && held.owner !== owner) return { acquired: false, lease: leaseOf(held) };
        const epoch = isLive ? held.epoch : await this.#draw(1);
        const lease = { owner, epoch, expiresUs };
        return (await this.#writeLease(name, held, lease)) ? { acquired: true, lease } : undefined;
      }),
    );
  }

  async #writeLease(name: string, held: LeaseDoc | null, lease: AgreedLease): Promise<boolean> {
    if (held !== null) return (await this.#leases.updateOne(held, { $set: lease })).matchedCount === 1;
    try {
      await this.#leases.insertOne({ _id: name, ...lease });
      return true;
    } catch (thrown) {
      if (isDuplicate(thrown)) return false;
      throw thrown;
    }
  }

  async owner(name: string, nowUs: number): Promise<AgreedLease | null> {
    checkAgreedNames(name);
    const held = await guardedMongo(() => this.#leases.findOne({ _id: name, expiresUs: { $gt: nowUs } }));
    return held === null ? null : leaseOf(held);
  }

  /** The next epoch comes from the count, so nothing has to stay. */
  async release(name: string, owner: string): Promise<void> {
    checkAgreedNames(name, owner);
    await guardedMongo(() => this.#leases.deleteOne({ _id: name, owner }));
  }

  async sweep(nowUs: number): Promise<number> {
    return guardedMongo(async () => {
      await this.#leases.deleteMany({ expiresUs: { $lte: nowUs } });
      return (await this.#agreed.deleteMany({ untilUs: { $lte: nowUs } })).deletedCount;
    });
  }

  ping(): Promise<void> {
    return this.#database.ping();
  }
  dispose(): Promise<void> {
    return this.#database.release();
  }
}

const leaseOf = ({ owner, epoch, expiresUs }: LeaseDoc): AgreedLease => ({ owner, epoch, expiresUs });
