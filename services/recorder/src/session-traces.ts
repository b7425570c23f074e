/** The trace of each session: from its connection, over its chunks, to what is told of its end. */
import type { RecorderReport } from '@lucid-sessions/contract';
import { activeContext, beginSpan, type OpenSpan, type TraceContext, within } from '@lucid-sessions/kit';

interface Kept {
  context: TraceContext;
  /** Null when it is over: its last chunks and reports still belong to it. */
  open: OpenSpan | null;
}

/** Of sessions that are over; whatever is older has long been stored, or is recovered without its trace. */
const keptMax = 1000;

export class SessionTraces {
  readonly #kept = new Map<string, Kept>();

  /** In the trace under way, that of the connection. */
  begin(sessionId: string): void {
    const open = beginSpan('session', { attributes: { 'lucid.session.id': sessionId }, parent: activeContext() });
    this.#kept.set(sessionId, { context: open.context, open });
    for (const [id, kept] of this.#kept) {
      if (this.#kept.size <= keptMax) return;
      if (kept.open === null) this.#kept.delete(id);
    }
  }

  within<T>(sessionId: string, work: () => T): T {
    const kept = this.#kept.get(sessionId);
    return kept === undefined ? work() : within(kept.context, work);
  }

  note(report: RecorderReport): void {
    const kept = this.#kept.get(report.sessionId);
    if (report.kind !== 'ended' || !kept?.open) return;
    const { reason, statistics } = report;
    kept.open.set({ 'lucid.session.end_reason': reason, 'lucid.session.relayed_bytes': statistics.relayedBytes });
    kept.open.end();
    kept.open = null;
  }
}
