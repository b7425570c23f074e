/** Durable jobs. A claim is a conditional update of the job as it was found, so that of several runners one has it. */
import { randomUUID } from 'node:crypto';
import { retentionAheadUsMax } from '@lucid-sessions/contract';
import type { ClaimedJob, Job, JobClaim, JobQueue, JobState, NewJob } from '@lucid-sessions/pipeline';
import type { Collection, Filter, UpdateFilter } from 'mongodb';
import type { MongoDatabase } from './mongo-database.ts';
import { guardedMongo, isDuplicate } from './mongo-errors.ts';

interface JobDoc {
  _id: string;
  kind: string;
  session: string;
  payload: string;
  runAtUs: number;
  retriesMax: number;
  state: JobState;
  retries: number;
  lastError: string | null;
  leaseUntilUs: number;
  /** Of the claim it runs by, or ran by last; null, or not there: none since it was queued. */
  claim?: string | null;
}

const jobOf = (doc: JobDoc): Job => ({
  jobId: doc._id,
  kind: doc.kind,
  sessionId: doc.session,
  payload: JSON.parse(doc.payload) as Record<string, unknown>,
  runAtUs: doc.runAtUs,
  retriesMax: doc.retriesMax,
  state: doc.state,
  retries: doc.retries,
  lastError: doc.lastError,
});

/** Of one claim, before it answers what it has. */
const LOOKS_MAX = 5;

export class MongoJobQueue implements JobQueue {
  readonly #database: MongoDatabase;
  readonly #jobs: Collection<JobDoc>;

  constructor(database: MongoDatabase) {
    this.#database = database.use();
    this.#jobs = database.collection<JobDoc>('jobs');
  }

  async enqueue({ jobId, kind, sessionId, payload, runAtUs, retriesMax }: NewJob): Promise<boolean> {
    const fresh = { kind, session: sessionId, payload: JSON.stringify(payload), runAtUs, retriesMax };
    return guardedMongo(async () => {
      try {
        // One that is under way does not match, and its id is taken.
        await this.#jobs.updateOne(
          { _id: jobId, state: { $in: ['done', 'failed'] } },
          { $set: { ...fresh, state: 'waiting', retries: 0, lastError: null, leaseUntilUs: 0, claim: null } },
          { upsert: true },
        );
        return true;
      } catch (thrown) {
        if (isDuplicate(thrown)) return false;
        throw thrown;
      }
    });
  }

  async claim({ nowUs, leaseUs, limit }: { nowUs: number; leaseUs: number; limit: number }): Promise<ClaimedJob[]> {
    const claim = randomUUID();
    return guardedMongo(async () => {
      const claimed: ClaimedJob[] = [];
      // Of those that were found, others may have taken all meanwhile: then there are more behind them.
      for (let look = 0; look < LOOKS_MAX; look += 1) {
        const found = await this.#due(nowUs, limit);
        let lost = 0;
        for (const doc of found) {
          if (claimed.length === limit) break;
          if (await this.#take(doc, nowUs + leaseUs, claim)) claimed.push({ ...jobOf(doc), state: 'running', claim });
          else lost += 1;
        }
        if (claimed.length === limit || lost === 0) break;
      }
      return claimed;
    });
  }

  async #due(nowUs: number, limit: number): Promise<JobDoc[]> {
    const [due, left] = await Promise.all([
      this.#jobs
        .find({ state: 'waiting', runAtUs: { $lte: nowUs } })
        .sort({ state: 1, runAtUs: 1, _id: 1 })
        .limit(limit)
        .toArray(),
      this.#jobs
        .find({ state: 'running', leaseUntilUs: { $lte: nowUs } })
        .sort({ state: 1, leaseUntilUs: 1, _id: 1 })
        .limit(limit)
        .toArray(),
    ]);
    return [...due, ...left].sort((a, b) => a.runAtUs - b.runAtUs || (a._id < b._id ? -1 : 1));
  }

  async #take({ _id, state, runAtUs, leaseUntilUs }: JobDoc, untilUs: number, claim: string): Promise<boolean> {
    const { matchedCount } = await this.#jobs.updateOne(
      { _id, state, runAtUs, leaseUntilUs },
      { $set: { state: 'running', leaseUntilUs: untilUs, claim } },
    );
    return matchedCount === 1;
  }

  #settle({ jobId, claim }: JobClaim, set: Partial<JobDoc>, more: UpdateFilter<JobDoc> = {}): Promise<boolean> {
    return guardedMongo(async () => {
      const { matchedCount } = await this.#jobs.updateOne(
        { _id: jobId, claim, state: 'running' },
        { $set: { ...set, leaseUntilUs: 0 }, ...more },
      );
      return matchedCount === 1 || (await this.#jobs.findOne({ _id: jobId, claim })) !== null;
    });
  }

  done(job: JobClaim): Promise<boolean> {
    return this.#settle(job, { state: 'done', lastError: null });
  }
  again(job: JobClaim, runAtUs: number, payload: Record<string, unknown>): Promise<boolean> {
    return this.#settle(job, { state: 'waiting', runAtUs: Math.round(runAtUs), payload: JSON.stringify(payload) });
  }
  retry(job: JobClaim, runAtUs: number, error: string): Promise<boolean> {
    const set = { state: 'waiting', runAtUs: Math.round(runAtUs), lastError: error } as const;
    return this.#settle(job, set, { $inc: { retries: 1 } });
  }
  fail(job: JobClaim, error: string): Promise<boolean> {
    return this.#settle(job, { state: 'failed', lastError: error });
  }

  async listFor(sessionId: string): Promise<Job[]> {
    const docs = await guardedMongo(() =>
      this.#jobs.find({ session: sessionId }).sort({ session: 1, _id: 1 }).toArray(),
    );
    return docs.map(jobOf);
  }

  async #updateMany(filter: Filter<JobDoc>, set: Partial<JobDoc>): Promise<number> {
    const { matchedCount } = await guardedMongo(() => this.#jobs.updateMany(filter, { $set: set }));
    return matchedCount;
  }

  setPaused(sessionId: string, paused: boolean): Promise<number> {
    const [from, to] = paused ? (['waiting', 'paused'] as const) : (['paused', 'waiting'] as const);
    return this.#updateMany({ session: sessionId, state: from }, { state: to });
  }

  revive(sessionId: string, nowUs: number): Promise<number> {
    return this.#updateMany(
      { session: sessionId, state: 'failed' },
      { state: 'waiting', retries: 0, runAtUs: Math.round(nowUs), claim: null },
    );
  }

  async removeFor(sessionId: string): Promise<void> {
    await guardedMongo(() => this.#jobs.deleteMany({ session: sessionId }));
  }

  async list(after: string, limit: number): Promise<Job[]> {
    const docs = await guardedMongo(() =>
      this.#jobs
        .find({ _id: { $gt: after } })
        .sort({ _id: 1 })
        .limit(limit)
        .toArray(),
    );
    return docs.map(jobOf);
  }

  async put({ jobId, sessionId, payload, ...same }: Job): Promise<void> {
    const doc = { ...same, session: sessionId, payload: JSON.stringify(payload), leaseUntilUs: 0, claim: null };
    await guardedMongo(() => this.#jobs.replaceOne({ _id: jobId }, doc, { upsert: true }));
  }

  /** Jobs that run are another pipeline's, or their lease ends: only clocks that were wrong are mended. */
  async takeUp(nowUs: number): Promise<void> {
    await this.#updateMany(
      { state: 'waiting', runAtUs: { $gt: nowUs + retentionAheadUsMax }, kind: 'retention' },
      { runAtUs: Math.round(nowUs) },
    );
  }

  async countByState(): Promise<Partial<Record<JobState, number>>> {
    const groups = await guardedMongo(() =>
      this.#jobs
        .aggregate<{ _id: string; count: number }>([{ $group: { _id: '$state', count: { $sum: 1 } } }], {
          hint: 'due',
        })
        .toArray(),
    );
    return Object.fromEntries(groups.map(({ _id, count }) => [_id, Number(count)]));
  }

  async nextRunUs(): Promise<number | null> {
    const [next] = await guardedMongo(() =>
      this.#jobs.find({ state: 'waiting' }).sort({ state: 1, runAtUs: 1, _id: 1 }).limit(1).toArray(),
    );
    return next?.runAtUs ?? null;
  }

  dispose(): Promise<void> {
    return this.#database.release();
  }
}
