/**
 * Chains: a session's head, its lease and its chunks' rows, right without transactions over several documents.
 *
 * Head, lease, totals and the one change of a row that is under way (`pending`) are one document, so a change is one conditional
 * update of it:
 *
 * 1. *swap*: filter `change` (what was read), `pending: null` and the lease's epoch; sets head, totals, `pending` = the row,
 *    `change` + 1. This is the commit: before it nothing has happened, behind it the chunk is in the chain. Whoever was read
 *    before another change, or lost the lease, matches nothing. A crash behind it leaves the row in `pending` alone.
 * 2. *copy*: the row into `chunks`, unless a later change's is there (`change` of the row). Run twice, by two processes or by one
 *    that slept, it comes to the same. A crash behind it leaves `pending` set.
 * 3. *clear*: `pending` = null, filter `change`. No swap matches before.
 *
 * Whoever finds `pending` set carries out 2 and 3 before anything else, readers too: nobody sees a head without its row. `change`
 * never goes back, not even by a purge, which leaves the document with an empty head: a copy that comes late to a purged chain
 * finds that the document went on, and takes its row back. Rows at and behind the head are nobody's, and are never read.
 */
import type { ChainHead, ChainTotals, ChunkRow, Lease } from '@lucid-sessions/storage';
import type { Collection, Filter } from 'mongodb';
import { type ChunkDoc, chunkDocOf, metadataOf, rowOf } from './mongo-chunk-rows.ts';
import { guardedMongo, isDuplicate, untilUndisturbed } from './mongo-errors.ts';

export interface ChainDoc {
  _id: string;
  count: number;
  leafHash: string | null;
  storedBytes: number;
  payloadBytes: number;
  change: number;
  pending: ChunkDoc | null;
  /** Null: nobody has the lease, nor had it since the chain was purged. */
  owner: string | null;
  epoch: number;
  expiresUs: number;
}

interface ChunkQuery {
  sessionId: string;
  limit: number;
  offset: number;
  fromUs?: number;
  toUs?: number;
}

const emptyHead = { count: 0, leafHash: null, storedBytes: 0, payloadBytes: 0, pending: null };
const emptyChain = (sessionId: string): ChainDoc => ({
  _id: sessionId,
  ...emptyHead,
  change: 0,
  owner: null,
  epoch: 0,
  expiresUs: 0,
});

const noTotals: ChainTotals = {
  chunksCount: 0,
  storedBytes: 0,
  payloadBytes: 0,
  framesCount: 0,
  updatesCount: 0,
  lineUs: 0,
};

/** A read that can't miss what a majority has; of one document, found by a unique index. */
const linearizable = { readConcern: { level: 'linearizable' }, maxTimeMS: 5000 } as const;

const leaseOf = ({ owner, epoch, expiresUs }: ChainDoc): Lease | null =>
  owner === null ? null : { owner, epoch, expiresUs };

export class MongoChains {
  readonly #chains: Collection<ChainDoc>;
  readonly #chunks: Collection<ChunkDoc>;

  constructor(chains: Collection<ChainDoc>, chunks: Collection<ChunkDoc>) {
    this.#chains = chains;
    this.#chunks = chunks;
  }

  async acquireLease(
    sessionId: string,
    owner: string,
    nowUs: number,
    expiresUs: number,
  ): Promise<{ acquired: boolean; lease: Lease }> {
    return guardedMongo(() =>
      untilUndisturbed(async () => {
        const chain = await this.#chains.findOne({ _id: sessionId });
        if (chain === null) return this.#insert({ ...emptyChain(sessionId), owner, epoch: 1, expiresUs });
        const held = leaseOf(chain);
        if (held !== null && held.owner !== owner && held.expiresUs > nowUs) return { acquired: false, lease: held };
        const epoch = held?.owner === owner ? held.epoch : chain.epoch + 1;
        const { matchedCount } = await this.#chains.updateOne(
          { _id: sessionId, owner: chain.owner, epoch: chain.epoch, expiresUs: chain.expiresUs },
          { $set: { owner, epoch, expiresUs } },
        );
        return matchedCount === 1 ? { acquired: true, lease: { owner, epoch, expiresUs } } : undefined;
      }),
    );
  }

  /** Undefined: another process made it. */
  async #insert(chain: ChainDoc): Promise<{ acquired: boolean; lease: Lease } | undefined> {
    try {
      await this.#chains.insertOne(chain);
      return { acquired: true, lease: { owner: chain.owner!, epoch: chain.epoch, expiresUs: chain.expiresUs } };
    } catch (thrown) {
      if (isDuplicate(thrown)) return undefined;
      throw thrown;
    }
  }

  async releaseLease(sessionId: string, owner: string): Promise<void> {
    await guardedMongo(() => this.#chains.updateOne({ _id: sessionId, owner }, { $set: { expiresUs: 0 } }));
  }

  async getLease(sessionId: string): Promise<Lease | null> {
    const chain = await guardedMongo(() => this.#chains.findOne({ _id: sessionId }));
    return chain === null ? null : leaseOf(chain);
  }

  async getHead(sessionId: string): Promise<ChainHead> {
    const chain = await guardedMongo(() => this.#chains.findOne({ _id: sessionId }));
    return chain === null
      ? { count: 0, leafHash: null, storedBytes: 0 }
      : { count: chain.count, leafHash: chain.leafHash, storedBytes: chain.storedBytes };
  }

  /** The chain with no change under way; null: there is none. */
  async #settled(sessionId: string): Promise<ChainDoc | null> {
    const chain = await this.#chains.findOne({ _id: sessionId });
    if (chain === null || chain.pending === null) return chain;
    await this.#settle(chain.pending);
    return { ...chain, pending: null };
  }

  /** Steps 2 and 3. */
  async #settle(row: ChunkDoc): Promise<void> {
    await this.#copy(row);
    const { matchedCount } = await this.#chains.updateOne(
      { _id: row.session, change: row.change },
      { $set: { pending: null } },
    );
    if (matchedCount === 0) await this.#takeBack(row);
  }

  async #copy(row: ChunkDoc): Promise<void> {
    const { session, index, change } = row;
    const earlier: Filter<ChunkDoc> = { session, index, change: { $lt: change } };
    // Twice: an insert that lost to one of an earlier change replaces that one.
    for (let tries = 0; tries < 2; tries += 1)
      try {
        await this.#chunks.replaceOne(earlier, row, { upsert: true });
        return;
      } catch (thrown) {
        // This row, or a later one, is there.
        if (!isDuplicate(thrown)) throw thrown;
      }
  }

  /** Somebody else settled it, which is well, or the chain was purged meanwhile. */
  async #takeBack({ session, index, change }: ChunkDoc): Promise<void> {
    const chain = await this.#chains.findOne({ _id: session });
    if (chain === null || index >= chain.count) await this.#chunks.deleteOne({ session, index, change });
  }

  /** Steps 1 to 3. False: something changed since the chain was read, and nothing was done. */
  async #change(
    chain: ChainDoc,
    row: ChunkRow,
    more: { $set: Partial<ChainDoc>; $inc: Partial<Record<'storedBytes' | 'payloadBytes', number>> },
    epoch: number | null,
  ): Promise<boolean> {
    const change = chain.change + 1;
    const pending = chunkDocOf(row, change);
    const { matchedCount } = await this.#chains.updateOne(
      { _id: chain._id, change: chain.change, pending: null, ...(epoch === null ? {} : { epoch, owner: chain.owner }) },
      { $set: { ...more.$set, pending, change }, $inc: more.$inc },
    );
    if (matchedCount === 0) return false;
    await this.#settle(pending);
    return true;
  }

  async appendChunk(row: ChunkRow, expected: ChainHead, epoch: number | null): Promise<boolean> {
    const { sessionId, index, leafHash, fileBytes, payloadBytes } = row.metadata;
    if (index !== expected.count) return false;
    // Before anything is written: a document would take what a row can not be.
    chunkDocOf(row, 0);
    return guardedMongo(() =>
      untilUndisturbed(async () => {
        const chain = await this.#settled(sessionId);
        if (chain === null) {
          if (epoch !== null || expected.count !== 0) return false;
          await this.#insert(emptyChain(sessionId));
          return undefined;
        }
        if (chain.count !== expected.count || chain.leafHash !== expected.leafHash) return false;
        if (epoch !== null && leaseOf(chain)?.epoch !== epoch) return false;
        const head = { $set: { count: index + 1, leafHash }, $inc: { storedBytes: fileBytes, payloadBytes } };
        return (await this.#change(chain, row, head, epoch)) ? true : undefined;
      }),
    );
  }

  async completeChunk(row: ChunkRow): Promise<void> {
    const { sessionId, index, leafHash, payloadBytes } = row.metadata;
    await guardedMongo(() =>
      untilUndisturbed(async () => {
        const chain = await this.#settled(sessionId);
        if (chain === null || index >= chain.count) return true;
        // Behind the chain, and never older than it: else its payload would be counted twice.
        const known = await this.#chunks.findOne({ session: sessionId, index }, linearizable);
        if (known === null || known.rebuilt === 0 || known.leafHash !== leafHash) return true;
        const more = { $set: {}, $inc: { payloadBytes: payloadBytes - known.payloadBytes } };
        return (await this.#change(chain, row, more, null)) ? true : undefined;
      }),
    );
  }

  async getChunk(sessionId: string, index: number): Promise<ChunkRow | null> {
    return guardedMongo(async () => {
      const chain = await this.#settled(sessionId);
      if (chain === null || index >= chain.count) return null;
      const doc = await this.#chunks.findOne({ session: sessionId, index });
      return doc === null ? null : rowOf(doc);
    });
  }

  async listChunks({ sessionId, limit, offset, fromUs, toUs }: ChunkQuery) {
    return guardedMongo(async () => {
      const chain = await this.#settled(sessionId);
      const count = chain?.count ?? 0;
      if (fromUs === undefined && toUs === undefined) {
        // Indexes have no gaps: a page is a range of them.
        const page = { session: sessionId, index: { $gte: offset, $lt: Math.min(count, offset + limit) } };
        return { chunks: await this.#page(page, limit), total: count };
      }
      const filter: Filter<ChunkDoc> = {
        session: sessionId,
        index: { $lt: count },
        ...(fromUs === undefined ? {} : { closedUs: { $gte: fromUs } }),
        ...(toUs === undefined ? {} : { openedUs: { $lte: toUs } }),
      };
      const total = await this.#chunks.countDocuments(filter);
      return { chunks: await this.#page(filter, limit, offset), total };
    });
  }

  async #page(filter: Filter<ChunkDoc>, limit: number, skip = 0) {
    // To MongoDB a limit of 0 is none.
    if (limit === 0) return [];
    const docs = await this.#chunks.find(filter).sort({ session: 1, index: 1 }).skip(skip).limit(limit).toArray();
    return docs.map(metadataOf);
  }

  async chainTotals(sessionId: string): Promise<ChainTotals> {
    return guardedMongo(async () => {
      const chain = await this.#settled(sessionId);
      if (chain === null || chain.count === 0) return noTotals;
      const sum = (field: string) => ({ $sum: `$${field}` });
      const [totals] = await this.#chunks
        .aggregate([
          { $match: { session: sessionId, index: { $lt: chain.count } } },
          {
            $group: {
              _id: null,
              chunks: { $sum: 1 },
              stored: sum('fileBytes'),
              payload: sum('payloadBytes'),
              frames: sum('framesCount'),
              updates: sum('updatesCount'),
              rebuilt: sum('rebuilt'),
              uncounted: sum('uncounted'),
              line: sum('lineUs'),
            },
          },
        ])
        .toArray();
      return {
        chunksCount: Number(totals?.chunks ?? 0),
        storedBytes: Number(totals?.stored ?? 0),
        payloadBytes: Number(totals?.payload ?? 0),
        framesCount: Number(totals?.uncounted) > 0 ? null : Number(totals?.frames ?? 0),
        updatesCount: Number(totals?.rebuilt) > 0 ? null : Number(totals?.updates ?? 0),
        lineUs: Number(totals?.line ?? 0),
      };
    });
  }

  async listChains(after: string, limit: number): Promise<string[]> {
    const page = await guardedMongo(() =>
      this.#chains
        .find({ _id: { $gt: after }, count: { $gt: 0 } })
        .project<{ _id: string }>({ _id: 1 })
        .sort({ _id: 1 })
        .limit(limit)
        .toArray(),
    );
    return page.map(({ _id }) => _id);
  }

  /** The head goes first: from then on no row is read. */
  async purge(sessionId: string): Promise<void> {
    await guardedMongo(() =>
      untilUndisturbed(async () => {
        const chain = await this.#chains.findOne({ _id: sessionId });
        if (chain === null) return true;
        const isEmpty = chain.count === 0 && chain.pending === null && chain.owner === null;
        const change = isEmpty ? chain.change : chain.change + 1;
        const { matchedCount } = await this.#chains.updateOne(
          { _id: sessionId, change: chain.change },
          { $set: { ...emptyHead, owner: null, expiresUs: 0, change } },
        );
        if (matchedCount === 0) return undefined;
        await this.#chunks.deleteMany({ session: sessionId, change: { $lte: change } });
        return true;
      }),
    );
  }

  async totals(): Promise<{ chunksCount: number; storedBytes: number; payloadBytes: number }> {
    const [totals] = await guardedMongo(() =>
      this.#chains
        .aggregate([
          {
            $group: {
              _id: null,
              chunks: { $sum: '$count' },
              stored: { $sum: '$storedBytes' },
              payload: { $sum: '$payloadBytes' },
            },
          },
        ])
        .toArray(),
    );
    return {
      chunksCount: Number(totals?.chunks ?? 0),
      storedBytes: Number(totals?.stored ?? 0),
      payloadBytes: Number(totals?.payload ?? 0),
    };
  }
}
