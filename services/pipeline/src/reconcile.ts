/**
 * Compares what the pipeline believes with what the recorders say, at start and then regularly. A session whose recorder is
 * gone is driven to its end; a crash of the pipeline between two writes is repaired. Everything here may run again.
 */
import { type Context, loadJournal, loadSession, newJournal, putJournal, stateOf, tryStep } from './context.ts';
import type { Journal } from './ports.ts';
import { recorderNamed } from './recorders.ts';
import { beginAgain, recordDrained, recordEnd, settleEnd } from './reports.ts';
import { type Held, onSession } from './session-work.ts';
import { liveStates } from './state-machine.ts';

interface RecorderView {
  /** Null: it does not answer. */
  live: Map<string, { paused: boolean }> | null;
  /** Sessions that have something in its spool; null: not known. */
  spooled: Set<string> | null;
}

/** Its recorder has it, or can't be asked. */
const isWithRecorder = (sessionId: string, { live, spooled }: RecorderView): boolean =>
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
        await onSession(this.#context, sessionId, (held) => this.#look(held, sessionId, views.get(recorderId)!));
      } catch (thrown) {
        deps.onError?.('reconcile', thrown);
      }
    }
    await this.#uncount(new Set(unfinished));
  }

  /** What is counted and not connected: whoever counted it died before it could say so, or take it back. */
  async #uncount(unfinished: ReadonlySet<string>): Promise<void> {
    const { deps, limits, connected } = this.#context;
    for (const sessionId of await connected.listSince(deps.nowUs() - limits.recorderGraceMs * 1000)) {
      if (unfinished.has(sessionId)) continue;
      await onSession(this.#context, sessionId, async (held) => {
        if (!(await loadJournal(held, sessionId)).connected) await held.connected.remove(sessionId);
      });
    }
  }

  async #ask(recorderId: string | null): Promise<RecorderView> {
    const { deps } = this.#context;
    try {
      const recorder = await recorderNamed(this.#context, recorderId);
      const { sessions, spooled } = await recorder.live();
      this.#silentSinceUs.delete(recorderId);
      return {
        live: new Map(sessions.map(({ sessionId, paused }) => [sessionId, { paused }])),
        spooled: spooled === undefined ? null : new Set(spooled),
      };
    } catch (thrown) {
      deps.onError?.('recorder', thrown);
      if (!this.#silentSinceUs.has(recorderId)) this.#silentSinceUs.set(recorderId, deps.nowUs());
      return { live: null, spooled: null };
    }
  }

  async #look(held: Held, sessionId: string, view: RecorderView): Promise<void> {
    const journal = await loadJournal(held, sessionId);
    const { session } = await held.deps.storage.getSession({ sessionId });
    // A crash before the row of a listener's session was written.
    if (session === null) await putJournal(held, { ...newJournal(sessionId), version: journal.version });
    else if (journal.connected) await this.#lookAtConnected(held, journal, view);
    else if (journal.endedUs !== null && journal.manifestUs === null) await this.#lookAtEnded(held, journal, view);
  }

  async #lookAtConnected(held: Held, journal: Journal, view: RecorderView): Promise<void> {
    const { deps, limits, connected } = held;
    const { sessionId } = journal;
    await connected.keep(sessionId, journal.recorderId);
    const now = deps.nowUs();
    const lives = view.live?.get(sessionId);
    if (lives !== undefined) {
      this.#seenUs.set(sessionId, now);
      // Who paused it died in the middle: its recorder knows what became of it.
      if (stateOf(await loadSession(held, sessionId)) === 'pausing')
        await tryStep(held, sessionId, lives.paused ? 'paused' : 'pause_failed');
      return;
    }
    const seenUs = Math.max(journal.admittedUs ?? 0, this.#seenUs.get(sessionId) ?? this.#startedUs);
    const waited =
      view.live === null
        ? now - (this.#silentSinceUs.get(journal.recorderId) ?? now) > limits.recorderGoneMs * 1000
        : now - seenUs > limits.recorderGraceMs * 1000;
    if (!waited) return;
    await recordEnd(held, sessionId, {
      atUs: now,
      reason: 'recorder_crashed',
      message: 'the recorder does not hold this session any more',
      failed: true,
      statistics: null,
      inferred: true,
    });
    await this.#settleUnbegun(held, sessionId, view);
  }

  /**
   * Whether it is a session that was admitted and of which nothing was recorded: then it waits again, without a wait for chunks.
   * One that is still `created` never was: its recorder has not heard yes. One that began may have died before its first frame
   * was durable: that is known only where its recorder says that it has nothing of it.
   */
  async #settleUnbegun(held: Held, sessionId: string, { live, spooled }: RecorderView): Promise<boolean> {
    const journal = await loadJournal(held, sessionId);
    if (journal.endedUs === null) return false;
    if (isWithRecorder(sessionId, { live, spooled })) {
      const isCreated = journal.startedUs === null && stateOf(await loadSession(held, sessionId)) === 'created';
      if (!isCreated) return false;
    }
    const { chunksCount } = await held.deps.storage.sessionTotals({ sessionId });
    if (chunksCount > 0) return false;
    await beginAgain(held, sessionId, journal);
    return true;
  }

  async #lookAtEnded(held: Held, journal: Journal, view: RecorderView): Promise<void> {
    const { deps, limits } = held;
    const { sessionId } = journal;
    const lateUs = deps.nowUs() - (journal.endedUs ?? 0);
    if (lateUs > limits.recorderGraceMs * 1000 && (await this.#settleUnbegun(held, sessionId, view))) return;
    const state = stateOf(await loadSession(held, sessionId));
    if (liveStates.includes(state) && state !== 'stopping') await tryStep(held, sessionId, 'ended');
    if (state === 'error') return;
    if (journal.drainedUs !== null) return settleEnd(held, sessionId);
    // Its recorder is there and has nothing more of it: that all was stored is what it did not live to say.
    if (lateUs > limits.recorderGraceMs * 1000 && !isWithRecorder(sessionId, view))
      return recordDrained(held, sessionId, null);
    // While the recorder is away its spool may still hold chunks; a crashed one brings them when it is back.
    const limitMs = view.live === null ? limits.drainWaitMs + limits.recorderGoneMs : limits.drainWaitMs;
    if (lateUs <= limitMs * 1000) return;
    await putJournal(held, {
      ...journal,
      failed: true,
      endMessage: `${journal.endMessage ?? ''}; the recorder never confirmed that every chunk was stored`,
    });
    await recordDrained(held, sessionId, null);
  }
}
