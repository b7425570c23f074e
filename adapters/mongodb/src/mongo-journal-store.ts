/** The pipeline's journal, facts, anchor receipts and sealed secrets. */
import { createHash } from 'node:crypto';
import type { AnchorReceipt, RecordingFact } from '@lucid-sessions/contract';
import type { GatewayCredential, Journal, JournalStore, ProgressRow } from '@lucid-sessions/pipeline';
import { Binary, type Collection, type Filter, type FindCursor, type WithId } from 'mongodb';
import { bytesOf } from './mongo-chunk-rows.ts';
import type { MongoDatabase } from './mongo-database.ts';
import { guardedMongo, isDuplicate, untilUndisturbed } from './mongo-errors.ts';

interface JournalDoc {
  _id: string;
  version: number;
  unfinished: boolean;
  document: string;
}

interface FactDoc {
  session: string;
  position: number;
  digest: string;
  document: string;
}

interface ReceiptDoc {
  session: string;
  backend: string;
  document: string;
}

interface ProgressDoc {
  /** µs since 1970. */
  _id: number;
  atUs: number;
  heads: Binary;
}

interface SealedDoc {
  session: string;
  name: string;
  sealed: Binary;
}

interface CredentialDoc {
  _id: string;
  user: string;
  document: string;
  sealed: Binary | null;
}

/** More facts than any honest session has; a loop in a recorder must not fill the disk. */
const factsMax = 20_000;

export class MongoJournalStore implements JournalStore {
  readonly #database: MongoDatabase;
  readonly #journals: Collection<JournalDoc>;
  readonly #facts: Collection<FactDoc>;
  readonly #receipts: Collection<ReceiptDoc>;
  readonly #progress: Collection<ProgressDoc>;
  readonly #sealed: Collection<SealedDoc>;
  readonly #credentials: Collection<CredentialDoc>;

  constructor(database: MongoDatabase) {
    this.#database = database.use();
    this.#journals = database.collection<JournalDoc>('journals');
    this.#facts = database.collection<FactDoc>('facts');
    this.#receipts = database.collection<ReceiptDoc>('receipts');
    this.#progress = database.collection<ProgressDoc>('progress');
    this.#sealed = database.collection<SealedDoc>('sealed');
    this.#credentials = database.collection<CredentialDoc>('credentials');
  }

  async get(sessionId: string): Promise<Journal | null> {
    const doc = await guardedMongo(() => this.#journals.findOne({ _id: sessionId }));
    return doc === null ? null : (JSON.parse(doc.document) as Journal);
  }

  async put(journal: Journal): Promise<Journal | null> {
    const { sessionId, version } = journal;
    const stored = { ...journal, version: version + 1 };
    const fields = {
      version: stored.version,
      unfinished: journal.connected || (journal.endedUs !== null && journal.manifestUs === null),
      document: JSON.stringify(stored),
    };
    return guardedMongo(async () => {
      if (version === 0) return (await this.#insert({ _id: sessionId, ...fields })) ? stored : null;
      const { matchedCount } = await this.#journals.updateOne({ _id: sessionId, version }, { $set: fields });
      return matchedCount === 1 ? stored : null;
    });
  }

  async #insert(doc: JournalDoc): Promise<boolean> {
    try {
      await this.#journals.insertOne(doc);
      return true;
    } catch (thrown) {
      if (isDuplicate(thrown)) return false;
      throw thrown;
    }
  }

  list(after: string, limit: number): Promise<string[]> {
    return this.#ids(
      this.#journals
        .find({ _id: { $gt: after } })
        .sort({ _id: 1 })
        .limit(limit),
    );
  }

  listUnfinished(): Promise<string[]> {
    return this.#ids(this.#journals.find({ unfinished: true }).sort({ unfinished: 1, _id: 1 }));
  }

  async #ids(found: FindCursor<WithId<JournalDoc>>): Promise<string[]> {
    const docs = await guardedMongo(() => found.project<{ _id: string }>({ _id: 1 }).toArray());
    return docs.map(({ _id }) => _id);
  }

  /** A report that came twice is one: facts carry their time, so equal ones are the same. */
  async appendFact(session: string, fact: RecordingFact): Promise<void> {
    const document = JSON.stringify(fact);
    const digest = createHash('sha256').update(document).digest('hex');
    await guardedMongo(() =>
      untilUndisturbed(async () => {
        const [last] = await this.#facts
          .find({ session })
          .project<Pick<FactDoc, 'position'>>({ position: 1 })
          .sort({ session: 1, position: -1 })
          .limit(1)
          .toArray();
        const position = last === undefined ? 0 : last.position + 1;
        if (position >= factsMax || (await this.#facts.findOne({ session, digest })) !== null) return true;
        return (await this.#insertFact({ session, position, digest, document })) ? true : undefined;
      }),
    );
  }

  /** False: the place or the fact is taken. */
  async #insertFact(doc: FactDoc): Promise<boolean> {
    try {
      await this.#facts.insertOne(doc);
      return true;
    } catch (thrown) {
      if (isDuplicate(thrown)) return false;
      throw thrown;
    }
  }

  async listFacts(session: string): Promise<RecordingFact[]> {
    const docs = await guardedMongo(() => this.#facts.find({ session }).sort({ session: 1, position: 1 }).toArray());
    return docs.map(({ document }) => JSON.parse(document) as RecordingFact);
  }

  async putReceipt(session: string, receipt: AnchorReceipt): Promise<void> {
    const { backend } = receipt;
    const set = { $set: { document: JSON.stringify(receipt) } };
    await upserted(() => this.#receipts.updateOne({ session, backend }, set, { upsert: true }));
  }

  async listReceipts(session: string): Promise<AnchorReceipt[]> {
    const docs = await guardedMongo(() => this.#receipts.find({ session }).sort({ session: 1, backend: 1 }).toArray());
    return docs.map(({ document }) => JSON.parse(document) as AnchorReceipt);
  }

  async putProgress({ spanUs, atUs, heads }: ProgressRow): Promise<boolean> {
    return guardedMongo(async () => {
      try {
        await this.#progress.insertOne({ _id: spanUs, atUs, heads: new Binary(heads) });
        return true;
      } catch (thrown) {
        if (isDuplicate(thrown)) return false;
        throw thrown;
      }
    });
  }

  async getProgress(spanUs: number): Promise<ProgressRow | null> {
    const doc = await guardedMongo(() => this.#progress.findOne({ _id: spanUs }));
    return doc === null ? null : { spanUs, atUs: doc.atUs, heads: bytesOf(doc.heads) };
  }

  async progressSpans(fromUs: number, untilUs: number, limit: number): Promise<number[]> {
    const docs = await guardedMongo(() =>
      this.#progress
        .find({ _id: { $gte: fromUs, $lte: untilUs } })
        .project<{ _id: number }>({ _id: 1 })
        .sort({ _id: -1 })
        .limit(limit)
        .toArray(),
    );
    return docs.map(({ _id }) => _id);
  }

  async putSealed(session: string, name: string, sealed: Uint8Array): Promise<void> {
    const set = { $set: { sealed: new Binary(sealed) } };
    await upserted(() => this.#sealed.updateOne({ session, name }, set, { upsert: true }));
  }

  async getSealed(session: string, name: string): Promise<Uint8Array | null> {
    const doc = await guardedMongo(() => this.#sealed.findOne({ session, name }));
    return doc === null ? null : bytesOf(doc.sealed);
  }

  async listSealed(): Promise<{ sessionId: string; name: string }[]> {
    const docs = await guardedMongo(() =>
      this.#sealed
        .find({})
        .project<Pick<SealedDoc, 'session' | 'name'>>({ session: 1, name: 1 })
        .sort({ session: 1, name: 1 })
        .toArray(),
    );
    return docs.map(({ session, name }) => ({ sessionId: session, name }));
  }

  async dropSealed(session: string, name?: string): Promise<void> {
    await guardedMongo(() => this.#sealed.deleteMany({ session, ...(name === undefined ? {} : { name }) }));
  }

  async putCredential({ sealed, ...credential }: GatewayCredential): Promise<void> {
    const set = {
      user: credential.user,
      document: JSON.stringify(credential),
      sealed: sealed === null ? null : new Binary(sealed),
    };
    await upserted(() => this.#credentials.updateOne({ _id: credential.sessionId }, { $set: set }, { upsert: true }));
  }

  findCredential(user: string): Promise<GatewayCredential | null> {
    return this.#credential({ user });
  }
  credentialOf(sessionId: string): Promise<GatewayCredential | null> {
    return this.#credential({ _id: sessionId });
  }

  async #credential(filter: Filter<CredentialDoc>): Promise<GatewayCredential | null> {
    const doc = await guardedMongo(() => this.#credentials.findOne(filter));
    if (doc === null) return null;
    const credential = JSON.parse(doc.document) as Omit<GatewayCredential, 'sealed'>;
    return { ...credential, sealed: doc.sealed === null ? null : bytesOf(doc.sealed) };
  }

  async dropCredential(sessionId: string): Promise<void> {
    await guardedMongo(() => this.#credentials.deleteOne({ _id: sessionId }));
  }

  dispose(): Promise<void> {
    return this.#database.release();
  }
}

/** Of two who put the first one at once one is told that it is there: then it is replaced. */
async function upserted(work: () => Promise<unknown>): Promise<void> {
  await guardedMongo(async () => {
    try {
      await work();
    } catch (thrown) {
      if (!isDuplicate(thrown)) throw thrown;
      await work();
    }
  });
}
