/**
 * Audit events on their way to a SIEM. The audit log itself is what waits: a job for each sink, durable and in one pipeline's hands at
 * a time, keeps how far it is in the chain, so that over restarts and outages nothing is lost and everything comes at least once.
 */
import type { AuditEvent, AuditRow } from '@lucid-sessions/contract';
import { readAuditRow } from '@lucid-sessions/evidence';
import type { Context } from './context.ts';
import { backoffMs, type JobHandler } from './job-runner.ts';
import type { NewJob } from './ports.ts';

/** Where audit events go; in order, each at least once. */
export interface EventSink {
  /** Names it in log, metrics and its job; no secret. */
  readonly name: string;
  /** Throws where they are not taken; `onSent` is told how many of them were, where the sink knows. */
  send(events: readonly AuditEvent[], onSent: (count: number) => void): Promise<void>;
  dispose(): Promise<void>;
}

/** How far a sink is. */
interface ForwardState {
  /** Of what happened before, nothing is sent. */
  sinceUs: number;
  /** Place in the chain of the next event; null: not looked for yet. */
  next: number | null;
  /** In a row. */
  failures: number;
}

export interface ForwardMetrics {
  sent(sink: string, count: number): void;
  failed(sink: string): void;
  waiting(sink: string, count: number): void;
}

const batchMax = 50;
const idleMs = 2000;
const retry = { backoffBaseMs: 1000, backoffMaxMs: 60_000 };

const forwardJob = (sink: EventSink): string => `forward:${sink.name}`;

/** Of no session. */
export const forwardJobOf = (sink: EventSink, nowUs: number): NewJob => ({
  jobId: forwardJob(sink),
  kind: 'forward',
  sessionId: '',
  payload: { sinceUs: nowUs, next: null, failures: 0 } satisfies ForwardState,
  runAtUs: nowUs,
  retriesMax: 0,
});

export function forwardHandler(context: Context, sinks: readonly EventSink[], metrics: ForwardMetrics): JobHandler {
  const { storage, random, onError } = context.deps;

  /** The first row since then, from the end of the chain back. */
  async function firstSince(sinceUs: number): Promise<number> {
    const { head } = await storage.auditHead();
    for (let end = (head?.sequence ?? -1) + 1; ; end -= batchMax) {
      const from = Math.max(0, end - batchMax);
      const { rows } = end === 0 ? { rows: [] } : await storage.auditRows({ from, limit: end - from });
      const before = rows.findLast(({ timestampUs }) => timestampUs < sinceUs);
      if (before !== undefined) return before.sequence + 1;
      if (from === 0) return 0;
    }
  }

  /** A row that somebody spoiled holds up no other. */
  function eventOf(row: AuditRow): AuditEvent[] {
    try {
      const { event } = readAuditRow(row.text);
      const { event_id, timestamp_us, event_type, user_id, resource_id, ip_address, user_agent, ...rest } = event;
      return [
        {
          ...{ eventId: event_id, timestampUs: timestamp_us, eventType: event_type, userId: user_id },
          ...{ resourceId: resource_id, ipAddress: ip_address, userAgent: user_agent, success: rest.success },
          ...{
            errorMessage: rest.error_message,
            details: rest.details as Record<string, unknown>,
            sequence: row.sequence,
          },
        },
      ];
    } catch (thrown) {
      onError?.(
        'events',
        new Error(`row ${row.sequence} of the audit log can't be read; see audit verify`, { cause: thrown }),
      );
      return [];
    }
  }

  async function sendNext(sink: EventSink, from: number, onNext: (next: number) => void): Promise<void> {
    const { rows } = await storage.auditRows({ from, limit: batchMax });
    const events = rows.flatMap(eventOf);
    let sent = 0;
    try {
      await sink.send(events, (count) => {
        sent = count;
        onNext(events[count - 1]!.sequence! + 1);
      });
      sent = events.length;
      onNext((rows.at(-1)?.sequence ?? from - 1) + 1);
    } finally {
      metrics.sent(sink.name, sent);
    }
  }

  return {
    async run(job) {
      const sink = sinks.find((each) => forwardJob(each) === job.jobId);
      // Nobody wants it any more.
      if (sink === undefined) return { done: true };
      const state = { ...(job.payload as unknown as ForwardState) };
      try {
        const { head } = await storage.auditHead();
        const length = (head?.sequence ?? -1) + 1;
        state.next ??= await firstSince(state.sinceUs);
        // A chain that was restored from a backup is shorter than what was sent of it.
        state.next = Math.min(state.next, length);
        metrics.waiting(sink.name, length - state.next);
        if (state.next < length)
          await sendNext(sink, state.next, (next) => {
            state.next = next;
          });
        state.failures = 0;
        metrics.waiting(sink.name, length - state.next);
        return { againMs: state.next < length ? 0 : idleMs, payload: { ...state } };
      } catch (thrown) {
        metrics.failed(sink.name);
        // Once for a row of failures: a receiver that is away for a day fills no log.
        if (state.failures === 0) onError?.(`events to ${sink.name}`, thrown);
        state.failures += 1;
        return { againMs: Math.max(500, backoffMs(state.failures, retry, random())), payload: { ...state } };
      }
    },
  };
}
