/**
 * Evidence records (docs/format.md, 9.6): before a timestamp's certificate or hash ages it is covered by another. One pipeline at a
 * time looks through all recordings; one timestamp covers all that are due. What a crash takes is done again: a record stamped twice is as good.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type AnchorReceipt, errorNames, LucidError } from '@lucid-sessions/contract';
import {
  fromBase64,
  isOver,
  planRenewal,
  RENEWAL_BACKEND,
  type RenewalItem,
  readEvidenceRecord,
  TIMESTAMP_BACKEND,
  toBase64,
} from '@lucid-sessions/evidence';
import { type Context, readable } from './context.ts';
import type { JobMetrics } from './job-metrics.ts';

/** Recordings under one timestamp, and looked at in one step. */
const batchMax = 1000;
const pageMax = 200;

/** Those that are to live on. */
const stampsOf = (receipts: readonly AnchorReceipt[]): Uint8Array[] =>
  receipts
    .filter(({ backend, status }) => backend === TIMESTAMP_BACKEND && status === 'confirmed')
    .flatMap(({ detail }) => readable(() => [fromBase64(detail ?? '')]) ?? []);

interface Due extends RenewalItem {
  sessionId: string;
  merkleRoot: string;
}

export class Renewals {
  readonly #context: Context;
  readonly #metrics: Pick<JobMetrics, 'renewed' | 'renewalFailed'>;
  #running: Promise<void> | null = null;
  /** Records of the look that runs, or ran last. */
  #renewed = 0;

  constructor(context: Context, metrics: Pick<JobMetrics, 'renewed' | 'renewalFailed'>) {
    this.#context = context;
    this.#metrics = metrics;
  }

  /** Never throws. */
  look(): Promise<void> {
    return this.#once().catch(() => {});
  }

  /** As the port's `renew`. What runs already has begun too early to see what ended just now: another look follows it. */
  async now(): Promise<{ renewed: number; finished: boolean }> {
    if (!this.#isWanted) throw new LucidError('notInThisState', 'nothing is renewed here: LUCID_RENEWAL_DAYS is 0');
    const timer = new AbortController();
    const looked = this.idle().then(() => this.#once());
    const late = delay(this.#context.limits.renewalWaitMs, false, { signal: timer.signal, ref: false });
    try {
      const finished = await Promise.race([looked.then(() => true), late]);
      return { renewed: this.#renewed, finished };
    } catch (thrown) {
      if (thrown instanceof LucidError && thrown.code === errorNames.unavailable) throw thrown;
      const why = 'not all could be renewed, which is tried again within the hour: the log of the pipeline says why';
      throw new LucidError('anchoring', why, { cause: thrown });
    } finally {
      timer.abort();
    }
  }

  /** Waits for what is under way. */
  async idle(): Promise<void> {
    await this.#running?.catch(() => {});
  }

  get #isWanted(): boolean {
    const { deps, limits } = this.#context;
    return limits.renewalMs !== 0 && deps.stamper !== undefined;
  }

  #once(): Promise<void> {
    this.#running ??= this.#look().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #look(): Promise<void> {
    if (!this.#isWanted) return;
    const { deps, leases } = this.#context;
    this.#renewed = 0;
    try {
      await leases.run('renewals', (check) => this.#all(check));
    } catch (thrown) {
      this.#metrics.renewalFailed();
      deps.onError?.('renewal of evidence', thrown);
      throw thrown;
    }
  }

  async #all(check: () => Promise<void>): Promise<void> {
    const { journal } = this.#context.deps;
    let due: Due[] = [];
    const failures: unknown[] = [];
    for (let after = ''; ; ) {
      const ids = await journal.list(after, pageMax);
      for (const id of ids) {
        // One that can't be read keeps no other from its timestamp.
        const item = await this.#due(id).catch((thrown: unknown) => {
          if (failures.length === 0) failures.push(thrown);
          return null;
        });
        if (item !== null) due.push(item);
        if (due.length === batchMax) {
          await this.#stamp(due, check);
          due = [];
        }
      }
      const last = ids.at(-1);
      if (last === undefined || ids.length < pageMax) break;
      after = last;
    }
    if (due.length > 0) await this.#stamp(due, check);
    for (const thrown of failures) throw thrown;
  }

  /** Null: it has no manifest yet, or its last timestamp is young. */
  async #due(sessionId: string): Promise<Due | null> {
    const { deps, limits } = this.#context;
    const journal = await deps.journal.get(sessionId);
    if (journal === null || journal.manifestUs === null || journal.merkleRoot === null) return null;
    const receipts = await deps.journal.listReceipts(sessionId);
    const known = receipts.find(({ backend }) => backend === RENEWAL_BACKEND)?.detail ?? null;
    // One that nobody can read is begun anew.
    const record = known === null ? null : readable(() => readEvidenceRecord(fromBase64(known)));
    const stamps = stampsOf(receipts);
    const last = record?.at(-1)?.at(-1);
    const isYoung = last !== undefined && deps.nowUs() - last.timeUs < limits.renewalMs * 1000;
    // A stamp that came later is over what the record does not cover.
    if (isYoung && isOver(record!, limits.renewalHash, stamps)) return null;
    const signed = await this.#signed(sessionId);
    return signed === null
      ? null
      : { sessionId, merkleRoot: journal.merkleRoot, objects: [...signed, ...stamps], record };
  }

  async #signed(sessionId: string): Promise<Uint8Array[] | null> {
    const { records } = await this.#context.deps.storage.getRecords({ sessionId });
    const [open, manifest] = (['open', 'manifest'] as const).map(
      (kind) => records.find((one) => one.kind === kind)?.record,
    );
    return open === undefined || manifest === undefined ? null : [open, manifest];
  }

  async #stamp(due: readonly Due[], check: () => Promise<void>): Promise<void> {
    const { deps, limits } = this.#context;
    const submittedAtUs = deps.nowUs();
    const plan = planRenewal(due, limits.renewalHash);
    const { token, timeUs } = await deps.stamper!.stamp(plan.digest, limits.renewalHash);
    for (const [at, record] of plan.records(token).entries()) {
      const { sessionId, merkleRoot } = due[at]!;
      await check();
      // Removed meanwhile.
      if ((await deps.journal.get(sessionId)) === null) continue;
      await deps.journal.putReceipt(sessionId, {
        backend: RENEWAL_BACKEND,
        status: 'confirmed',
        submittedAtUs,
        confirmedAtUs: timeUs,
        blockHeight: null,
        transactionId: null,
        merkleRoot,
        detail: toBase64(record),
      });
      this.#metrics.renewed();
      this.#renewed += 1;
    }
  }
}
