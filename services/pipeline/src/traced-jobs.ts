/** Jobs that go on with the trace of what queued them: of a session's way to its anchors. What is due months later is none of it. */
import { SpanKind, traced, traceHeaders, traceOf } from '@lucid-sessions/kit';
import type { JobHandler } from './job-runner.ts';
import type { Job, JobQueue } from './ports.ts';

const kinds: ReadonlySet<string> = new Set(['finalise', 'anchor']);

/** A queue whose jobs keep the trace under way in their payload. */
export function tracedQueue(queue: JobQueue): JobQueue {
  const enqueue: JobQueue['enqueue'] = (job) =>
    queue.enqueue(kinds.has(job.kind) ? { ...job, payload: { ...job.payload, ...traceHeaders() } } : job);
  return new Proxy(queue, {
    get(target, name) {
      const value: unknown = name === 'enqueue' ? enqueue : Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Each run is a span of the trace in its payload, which also the next run has. */
export const tracedHandlers = (handlers: Readonly<Record<string, JobHandler>>): Record<string, JobHandler> =>
  Object.fromEntries(
    Object.entries(handlers).map(([kind, handler]) => [kind, { ...handler, run: tracedRun(kind, handler) }]),
  );

function tracedRun(kind: string, handler: JobHandler): JobHandler['run'] {
  return async (job: Job) => {
    const { traceparent } = job.payload;
    if (traceparent === undefined) return handler.run(job);
    const outcome = await traced(`job ${kind}`, () => handler.run(job), {
      kind: SpanKind.CONSUMER,
      parent: traceOf(traceparent),
      attributes: { 'lucid.session.id': job.sessionId, 'lucid.job.retries': job.retries },
    });
    if ('done' in outcome || outcome.payload === undefined) return outcome;
    return { ...outcome, payload: { ...outcome.payload, traceparent } };
  };
}
