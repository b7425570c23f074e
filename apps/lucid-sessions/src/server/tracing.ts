/** Traces for OpenTelemetry, by OTLP over HTTP: off unless OTEL_EXPORTER_OTLP_ENDPOINT says where to. Its packages are loaded then. */
import { type Environment, EnvironmentError, readText, readUrl } from '@lucid-sessions/kit';
import { software } from './software.ts';

const protocols = ['http/protobuf', 'http/json'] as const;

export interface TraceSettings {
  /** Whole, with /v1/traces. */
  url: string;
  protocol: (typeof protocols)[number];
  serviceName: string;
}

/** Null: nothing is traced. `name` unless OTEL_SERVICE_NAME says another. */
export function readTracing(environment: Environment, name: string): TraceSettings | null {
  const base = readText(environment, 'OTEL_EXPORTER_OTLP_ENDPOINT', '');
  const traces = readText(environment, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', '');
  if (base === '' && traces === '') return null;
  const url =
    traces === ''
      ? `${readUrl(environment, 'OTEL_EXPORTER_OTLP_ENDPOINT', '')}/v1/traces`
      : readUrl(environment, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', '');
  const asked = readText(environment, 'OTEL_EXPORTER_OTLP_PROTOCOL', protocols[0]);
  const protocol = protocols.find((known) => known === asked);
  if (protocol === undefined)
    throw new EnvironmentError('OTEL_EXPORTER_OTLP_PROTOCOL', `must be one of ${protocols.join(', ')}`);
  return { url, protocol, serviceName: readText(environment, 'OTEL_SERVICE_NAME', name) };
}

/** Of this process, from here on. `stop` sends what waits. Spans that find no room (2048) or no receiver are lost: recording waits for none. */
export async function startTracing({ url, protocol, serviceName }: TraceSettings): Promise<{ stop(): Promise<void> }> {
  const [api, sdk, hooks, core, resources, json, protobuf] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-trace'),
    import('@opentelemetry/context-async-hooks'),
    import('@opentelemetry/core'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/exporter-trace-otlp-proto'),
  ]);
  const Exporter = protocol === 'http/json' ? json.OTLPTraceExporter : protobuf.OTLPTraceExporter;
  const named = { 'service.name': serviceName, 'service.version': software.version };
  const provider = new sdk.TracerProvider({
    resource: resources
      .detectResources({ detectors: [resources.envDetector] })
      .merge(resources.resourceFromAttributes(named)),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.AlwaysOnSampler() }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new Exporter({ url }), scheduledDelayMillis: 1000 })],
  });
  api.context.setGlobalContextManager(new hooks.AsyncLocalStorageContextManager());
  api.propagation.setGlobalPropagator(new core.W3CTraceContextPropagator());
  api.trace.setGlobalTracerProvider(provider);
  return {
    async stop() {
      // The last spans reach nobody where the receiver is away: that is no reason not to end.
      await provider.shutdown().catch(() => {});
      api.trace.disable();
      api.propagation.disable();
      api.context.disable();
    },
  };
}
