/**
 * Compares what the pipeline believes with what the recorders say, at start and then regularly. A session whose recorder is
 * gone is driven to its end; a crash of the pipeline between two writes is repaired. Everything here may run again.
 */
import type { RecorderPort } from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, stateOf, tryStep } from './context.ts';
import type { Journal } from './ports.ts';
import { recordDrained, recordEnd, settleEnd } from './reports.ts';
import { liveStates } from './state-machine.ts';

interface RecorderView {
  /** Null: it does not answer. */
  live: Set<string> | null;
}

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
      const { sessions } = await recorder.live();
      this.#silentSinceUs.delete(recorderId);
      return { live: new Set(sessions.map(({ sessionId }) => sessionId)) };
    } catch (thrown) {
      deps.onError?.('recorder', thrown);
      if (!this.#silentSinceUs.has(recorderId)) this.#silentSinceUs.set(recorderId, deps.nowUs());
      return { live: null };
    }
  }

  async #look(sessionId: string, view: RecorderView): Promise<void> {
    const journal = await loadJournal(this.#context, sessionId);
    if (journal.connected) await this.#lookAtConnected(journal, view);
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
  }

  async #lookAtEnded(journal: Journal, view: RecorderView): Promise<void> {
    const { deps, limits } = this.#context;
    const { sessionId } = journal;
    const state = stateOf(await loadSession(this.#context, sessionId));
    if (liveStates.includes(state) && state !== 'stopping') await tryStep(this.#context, sessionId, 'ended');
    if (state === 'error') return;
    if (journal.drainedUs !== null) return settleEnd(this.#context, sessionId);
    const lateUs = deps.nowUs() - (journal.endedUs ?? 0);
    // While the recorder is away its spool may still hold chunks; a crashed one brings them when it is back.
    const limitMs = view.live === null ? limits.drainWaitMs + limits.recorderGoneMs : limits.drainWaitMs;
    if (lateUs <= limitMs * 1000) return;
    await deps.journal.put({
      ...journal,
      failed: true,
      endMessage: `${journal.endMessage ?? ''}; the recorder never confirmed that every chunk was stored`,
    });
    await recordDrained(this.#context, sessionId, null);
  }
}
