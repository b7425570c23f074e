/**
 * Spans of OpenTelemetry. Without a provider (the app sets one where it is asked to) all of this does nothing. Only what is part
 * of a trace already makes spans, and the few places that begin one: polls and timers make none.
 */

import { isLucidError } from '@lucid-sessions/contract';
import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';

export { SpanKind };
export type TraceContext = Context;

const tracer = () => trace.getTracer('lucid-sessions');

/** Where spans that are begun now belong. */
export const activeContext = (): TraceContext => context.active();

/** Runs `work` as part of another trace than what called it. */
export const within = <T>(of: TraceContext, work: () => T): T => context.with(of, work);

/** Ids of the trace and span under way, for a line of the log. */
export function activeTrace(): { trace: string; span: string } | null {
  const found = trace.getSpan(context.active())?.spanContext();
  return found === undefined || !trace.isSpanContextValid(found) ? null : { trace: found.traceId, span: found.spanId };
}

/** What a header or a job carries of the trace under way (W3C Trace Context); empty: there is none. */
export function traceHeaders(): { traceparent?: string } {
  const carrier: { traceparent?: string } = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent === undefined ? {} : { traceparent: carrier.traceparent };
}

/** The trace that a header or a job names; what is none is no trace. */
export const traceOf = (traceparent: unknown): TraceContext =>
  typeof traceparent === 'string' && traceparent.length <= 100
    ? propagation.extract(ROOT_CONTEXT, { traceparent })
    : ROOT_CONTEXT;

const isTraced = (of: TraceContext): boolean => trace.getSpanContext(of) !== undefined;

export interface SpanOptions {
  kind?: SpanKind;
  attributes?: Attributes;
  /** What calls unless given. */
  parent?: TraceContext;
}

/** A span that lasts until its owner ends it; `context` is for what belongs into it. */
export interface OpenSpan {
  context: TraceContext;
  set(attributes: Attributes): void;
  end(thrown?: unknown): void;
}

/** Begins a span, and a trace where `parent` has none. */
export function beginSpan(
  name: string,
  { kind = SpanKind.INTERNAL, attributes = {}, parent }: SpanOptions = {},
): OpenSpan {
  const of = parent ?? context.active();
  const span = tracer().startSpan(name, { kind, attributes }, of);
  return {
    context: trace.setSpan(of, span),
    set: (more) => void span.setAttributes(more),
    end: (thrown) => endSpan(span, thrown),
  };
}

/** Errors by their code alone: texts may say what a log may and a trace need not. */
function endSpan(span: Span, thrown: unknown): void {
  if (thrown !== undefined) {
    const code = isLucidError(thrown) ? thrown.code : ((thrown as Error | null)?.name ?? 'error');
    span.setAttribute('error.type', code);
    span.setStatus({ code: SpanStatusCode.ERROR, message: code });
  }
  span.end();
}

/** Says more of the span under way. */
export const noteOnSpan = (attributes: Attributes): void =>
  void trace.getSpan(context.active())?.setAttributes(attributes);

/** Runs `work` in a span of the trace under way; without one just runs it. */
export async function traced<T>(name: string, work: () => Promise<T>, options: SpanOptions = {}): Promise<T> {
  const parent = options.parent ?? context.active();
  if (!isTraced(parent)) return work();
  const span = beginSpan(name, { ...options, parent });
  try {
    const result = await within(span.context, work);
    span.end();
    return result;
  } catch (thrown) {
    span.end(thrown ?? new Error());
    throw thrown;
  }
}

/** `port` whose calls are spans of the trace they are made in. `kind`: CLIENT where they leave the process. */
export function tracedPort<P extends object>(name: string, port: P, kind: SpanKind = SpanKind.INTERNAL): P {
  return new Proxy(port, {
    get(target, method) {
      const value: unknown = Reflect.get(target, method);
      if (typeof value !== 'function' || typeof method !== 'string') return value;
      return (...args: unknown[]) => {
        const call = (): unknown => value.apply(target, args);
        return isTraced(context.active()) && !untraced.has(method) ? asSpan(name, method, kind, args, call) : call();
      };
    },
  });
}

/** Called all the time, or no promise. */
const untraced: ReadonlySet<string> = new Set([
  'health',
  'dispose',
  'run',
  'live',
  'liveFrames',
  'recorderHere',
  'start',
  'metrics',
]);

function asSpan(
  name: string,
  method: string,
  kind: SpanKind,
  [request]: unknown[],
  call: () => unknown,
): Promise<unknown> {
  const { sessionId, index } = (request ?? {}) as { sessionId?: unknown; index?: unknown };
  const attributes: Attributes = {
    ...(typeof sessionId === 'string' ? { 'lucid.session.id': sessionId } : {}),
    ...(typeof index === 'number' ? { 'lucid.chunk.index': index } : {}),
  };
  return traced(`${name}.${method}`, async () => call(), { kind, attributes });
}
