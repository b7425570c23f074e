/** Traces as a receiver of OTLP gets them: one from the connection to the anchored session, whichever processes did the work. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EnvironmentError } from '@lucid-sessions/kit';
import {
  eventually,
  FakeBlockchainCore,
  type ReceivedSpan,
  startDesktop,
  startOtlpReceiver,
} from '@lucid-sessions/testkit';
import { readTracing } from '../src/server/tracing.ts';
import { startFive } from './support/five.ts';
import { recordSession, startGateway } from './support/gateway.ts';

async function surroundings(t: TestContext) {
  const core = await FakeBlockchainCore.start();
  const desktop = await startDesktop();
  const receiver = await startOtlpReceiver();
  t.after(async () => {
    await receiver.stop();
    await desktop.stop();
    await core.stop();
  });
  const environment = {
    BLOCKCHAIN_ANCHORING_URL: core.url,
    LUCID_ANCHOR_POLL_SECONDS: '1',
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
  };
  return { core, desktop, receiver, environment };
}

/** The trace of a session when its anchoring is done; every span of it but the first has its parent in it. */
async function traceOf(spans: readonly ReceivedSpan[], id: string): Promise<ReceivedSpan[]> {
  const isOf = (span: ReceivedSpan, name: string): boolean =>
    span.name === name && span.attributes['lucid.session.id'] === id;
  return eventually('the whole trace', () => {
    const session = spans.find((span) => isOf(span, 'session'));
    const trace = spans.filter(({ traceId }) => traceId === session?.traceId);
    const ids = new Set(trace.map(({ spanId }) => spanId));
    const isWhole = trace.every(({ parentSpanId }) => parentSpanId === '' || ids.has(parentSpanId));
    return isWhole && trace.some((span) => isOf(span, 'job anchor')) && trace;
  });
}

const names = (trace: readonly ReceivedSpan[]): Set<string> => new Set(trace.map(({ name }) => name));

test('five processes send one trace from the connection to the anchor, as protobuf', {
  timeout: 240_000,
}, async (t) => {
  const { core, desktop, receiver, environment } = await surroundings(t);
  const five = await startFive(t, { ...environment, RDP_LISTENERS: '' });
  const id = await recordSession(five, desktop.port);
  await eventually('the submission', () => core.anchorings.size > 0);
  const trace = await traceOf(receiver.spans, id);
  assert.deepEqual(
    new Set(trace.map(({ service }) => service)),
    new Set(['recorder', 'pipeline', 'processor', 'storage'].map((name) => `lucid-sessions-${name}`)),
  );
  const roots = trace.filter(({ parentSpanId }) => parentSpanId === '');
  assert.deepEqual(
    roots.map(({ name, service }) => [name, service]),
    [['rdp.connection', 'lucid-sessions-recorder']],
  );
  assert.equal(roots[0]!.attributes['lucid.session.id'], id);
  for (const name of [
    'pipeline.find',
    'pipeline.admit',
    'processor.open',
    'processor.seal',
    'storage.putChunk',
    'job finalise',
    'job anchor',
  ])
    assert.ok(names(trace).has(name), `${name} of ${[...names(trace)].join(', ')}`);
  // Both ends of a call: the client's span is the parent of the server's.
  const server = trace.find(({ name, service }) => name === 'processor.seal' && service.endsWith('processor'));
  const client = trace.find(({ spanId }) => spanId === server?.parentSpanId);
  assert.deepEqual([client?.name, client?.service], ['processor.seal', 'lucid-sessions-recorder']);
  assert.deepEqual(receiver.contentTypes, new Set(['application/x-protobuf']));
});

test('one process sends the same as JSON, and names no secret, nor what was typed', { timeout: 120_000 }, async (t) => {
  const { desktop, receiver, environment } = await surroundings(t);
  const gateway = await startGateway(t, { ...environment, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' });
  const id = await recordSession(gateway, desktop.port, { text: 'typed-by-somebody\n', userName: 'ada-lovelace' });
  const trace = await traceOf(receiver.spans, id);
  for (const name of ['rdp.connection', 'session', 'processor.seal', 'storage.putChunk', 'job finalise', 'job anchor'])
    assert.ok(names(trace).has(name), `${name} of ${[...names(trace)].join(', ')}`);
  const sent = JSON.stringify(receiver.spans);
  for (const secret of ['typed-by-somebody', 'ada-lovelace', 'eyJ', 'Bearer'])
    assert.ok(!sent.includes(secret), secret);
  assert.ok(names(receiver.spans).has('api.getSession'));
  assert.ok(!names(receiver.spans).has('pipeline.recorderHere'), 'polls make no traces');
  assert.deepEqual(receiver.contentTypes, new Set(['application/json']));
});

test('a receiver that is away costs nothing but the spans', { timeout: 120_000 }, async (t) => {
  const { desktop, receiver, environment } = await surroundings(t);
  await receiver.stop();
  t.mock.method(receiver, 'stop', async () => {});
  const gateway = await startGateway(t, environment);
  await recordSession(gateway, desktop.port);
});

test('traces are off unless somebody says where to, and what is said is checked', () => {
  assert.equal(readTracing({}, 'x'), null);
  assert.deepEqual(readTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/' }, 'x'), {
    url: 'http://c:4318/v1/traces',
    protocol: 'http/protobuf',
    serviceName: 'x',
  });
  assert.equal(readTracing({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://c/t' }, 'x')?.url, 'https://c/t');
  for (const wrong of [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
  ])
    assert.throws(() => readTracing(wrong, 'x'), EnvironmentError);
});
