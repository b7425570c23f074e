/**
 * Compares what the pipeline believes with what the recorders say, at start and then regularly. A session whose recorder is
 * gone is driven to its end; a crash of the pipeline between two writes is repaired. Everything here may run again.
 */
import type { RecorderPort } from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, newJournal, putJournal, stateOf, tryStep } from './context.ts';
import type { Journal } from './ports.ts';
import { beginAgain, recordDrained, recordEnd, settleEnd } from './reports.ts';
import { liveStates } from './state-machine.ts';

interface RecorderView {
  /** Null: it does not answer. */
  live: Set<string> | null;
  /** Sessions that have something in its spool; null: not known. */
  spooled: Set<string> | null;
}

/** Its recorder has it, or can't be asked. */
const isHeld = (sessionId: string, { live, spooled }: RecorderView): boolean =>
  live === null || live.has(sessionId) || spooled === null || spooled.has(sessionId);

export class Reconciler {
  readonly #context: Context;
  readonly #startedUs: number;
  /** When a session was last known to be in its recorder's hands. */
  readonly #seenUs = new Map<string, number>();
  readonly #silentSinceUs = new Map<string | null, number>();

  constructor(context: Context) {
    this.#context = context;
    this.#startedUs = context.deps.nowUs();
  }

  async run(): Promise<void> {
    const { deps } = this.#context;
    const views = new Map<string | null, RecorderView>();
    const unfinished = await deps.journal.listUnfinished();
    for (const id of this.#seenUs.keys()) if (!unfinished.includes(id)) this.#seenUs.delete(id);
    for (const sessionId of unfinished) {
      try {
        const { recorderId } = await loadJournal(this.#context, sessionId);
        if (!views.has(recorderId)) views.set(recorderId, await this.#ask(recorderId));
        await this.#context.locks.run(sessionId, () => this.#look(sessionId, views.get(recorderId)!));
      } catch (thrown) {
        deps.onError?.('reconcile', thrown);
      }
    }
  }

  async #ask(recorderId: string | null): Promise<RecorderView> {
    const { deps } = this.#context;
    try {
      const recorder: RecorderPort = deps.recorder(recorderId);
      const { sessions, spooled } = await recorder.live();
      this.#silentSinceUs.delete(recorderId);
      return {
        live: new Set(sessions.map(({ sessionId }) => sessionId)),
        spooled: spooled === undefined ? null : new Set(spooled),
      };
    } catch (thrown) {
      deps.onError?.('recorder', thrown);
      if (!this.#silentSinceUs.has(recorderId)) this.#silentSinceUs.set(recorderId, deps.nowUs());
      return { live: null, spooled: null };
    }
  }

  async #look(sessionId: string, view: RecorderView): Promise<void> {
    const { deps } = this.#context;
    const journal = await loadJournal(this.#context, sessionId);
    const { session } = await deps.storage.getSession({ sessionId });
    // A crash before the row of a listener's session was written.
    if (session === null) await putJournal(this.#context, { ...newJournal(sessionId), version: journal.version });
    else if (journal.connected) await this.#lookAtConnected(journal, view);
    else if (journal.endedUs !== null && journal.manifestUs === null) await this.#lookAtEnded(journal, view);
  }

  async #lookAtConnected(journal: Journal, view: RecorderView): Promise<void> {
    const { deps, limits, connected } = this.#context;
    const { sessionId } = journal;
    connected.add(sessionId);
    const now = deps.nowUs();
    if (view.live?.has(sessionId)) {
      this.#seenUs.set(sessionId, now);
      return;
    }
    const seenUs = Math.max(journal.admittedUs ?? 0, this.#seenUs.get(sessionId) ?? this.#startedUs);
    const waited =
      view.live === null
        ? now - (this.#silentSinceUs.get(journal.recorderId) ?? now) > limits.recorderGoneMs * 1000
        : now - seenUs > limits.recorderGraceMs * 1000;
    if (!waited) return;
    await recordEnd(this.#context, sessionId, {
      atUs: now,
      reason: 'recorder_crashed',
      message: 'the recorder does not hold this session any more',
      failed: true,
      statistics: null,
      inferred: true,
    });
    await this.#settleUnbegun(sessionId, view);
  }

  /**
   * Whether it is a session that was admitted and of which nothing was recorded: then it waits again, without a wait for chunks.
   * One that is still `created` never was: its recorder has not heard yes. One that began may have died before its first frame
   * was durable: that is known only where its recorder says that it has nothing of it.
   */
  async #settleUnbegun(sessionId: string, { live, spooled }: RecorderView): Promise<boolean> {
    const journal = await loadJournal(this.#context, sessionId);
    if (journal.endedUs === null) return false;
    if (isHeld(sessionId, { live, spooled })) {
      const isCreated =
        journal.startedUs === null && stateOf(await loadSession(this.#context, sessionId)) === 'created';
      if (!isCreated) return false;
    }
    const { chunksCount } = await this.#context.deps.storage.sessionTotals({ sessionId });
    if (chunksCount > 0) return false;
    await beginAgain(this.#context, sessionId, journal);
    return true;
  }

  async #lookAtEnded(journal: Journal, view: RecorderView): Promise<void> {
    const { deps, limits } = this.#context;
    const { sessionId } = journal;
    const lateUs = deps.nowUs() - (journal.endedUs ?? 0);
    if (lateUs > limits.recorderGraceMs * 1000 && (await this.#settleUnbegun(sessionId, view))) return;
    const state = stateOf(await loadSession(this.#context, sessionId));
    if (liveStates.includes(state) && state !== 'stopping') await tryStep(this.#context, sessionId, 'ended');
    if (state === 'error') return;
    if (journal.drainedUs !== null) return settleEnd(this.#context, sessionId);
    // Its recorder is there and has nothing more of it: that all was stored is what it did not live to say.
    if (lateUs > limits.recorderGraceMs * 1000 && !isHeld(sessionId, view))
      return recordDrained(this.#context, sessionId, null);
    // While the recorder is away its spool may still hold chunks; a crashed one brings them when it is back.
    const limitMs = view.live === null ? limits.drainWaitMs + limits.recorderGoneMs : limits.drainWaitMs;
    if (lateUs <= limitMs * 1000) return;
    await putJournal(this.#context, {
      ...journal,
      failed: true,
      endMessage: `${journal.endMessage ?? ''}; the recorder never confirmed that every chunk was stored`,
    });
    await recordDrained(this.#context, sessionId, null);
  }
}
