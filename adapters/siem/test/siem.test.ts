import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { AuditEvent } from '@lucid-sessions/contract';
import { eventually, Rsyslog, skipUnlessPeers } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { eventText, SyslogSink, signWebhook, syslogMessage, WebhookSink } from '../src/index.ts';

const producer = { name: 'lucid-sessions', version: '0.1.0' };
const text = fc.string({ unit: 'grapheme', maxLength: 60 });
const anyEvent: fc.Arbitrary<AuditEvent> = fc.record({
  eventId: fc.uuid(),
  timestampUs: fc.integer({ min: 0, max: 2 ** 51 }),
  eventType: fc.constantFrom('connection_started', 'connection_refused', 'deleteSession', 'log_contradicted'),
  userId: fc.option(text),
  resourceId: fc.option(fc.uuid()),
  ipAddress: fc.option(fc.oneof(fc.ipV4(), fc.ipV6())),
  userAgent: fc.option(text),
  success: fc.boolean(),
  errorMessage: fc.option(text),
  details: fc.dictionary(text, text, { maxKeys: 3 }),
});
const anEvent = (eventId: string, more: Partial<AuditEvent> = {}): AuditEvent => ({
  eventId,
  timestampUs: 1_700_000_000_123_456,
  eventType: 'connection_started',
  userId: 'ada',
  resourceId: 'session-1',
  ipAddress: '10.0.0.7',
  userAgent: null,
  success: true,
  errorMessage: null,
  details: {},
  ...more,
});

/** A reader of CEF of its own: header by unescaped bars, extension by keys behind blanks. */
function readCef(line: string): { header: string[]; fields: Record<string, string> } {
  const parts = line.split(/(?<!(?<!\\)(?:\\\\)*\\)\|/);
  const header = parts.slice(0, 7).map((part) => part.replaceAll(/\\([\\|])/g, '$1'));
  const fields: Record<string, string> = {};
  const found = [
    ...parts
      .slice(7)
      .join('|')
      .matchAll(/(?:^| )([a-zA-Z0-9]+)=((?:\\.|[^\\=])*?)(?= [a-zA-Z0-9]+=|$)/gs),
  ];
  for (const [, key = '', value = ''] of found)
    fields[key] = value.replaceAll(/\\(.)/gs, (_, letter: string) => ({ n: '\n', r: '\r' })[letter] ?? letter);
  return { header, fields };
}

test('CEF says what the event says, whatever stands in it', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const line = eventText('cef', event, producer);
      assert.doesNotMatch(line, /[\r\n]/);
      const { header, fields } = readCef(line);
      assert.deepEqual(header.slice(0, 5), ['CEF:0', 'Lucid Sessions', 'lucid-sessions', '0.1.0', event.eventType]);
      assert.ok(Number(header[6]) >= 0 && Number(header[6]) <= 10);
      assert.equal(fields.externalId, event.eventId);
      assert.equal(fields.rt, String(Math.floor(event.timestampUs / 1000)));
      assert.equal(fields.src ?? fields.c6a2 ?? null, event.ipAddress);
      assert.equal(fields.cs1 ?? null, event.resourceId);
    }),
  );
  const told = eventText('cef', anEvent('e', { errorMessage: 'a=b\\c\nd|e', success: false }), producer);
  assert.equal(readCef(told).fields.msg, 'a=b\\c\nd|e');
});

test('OCSF has a class, its numbers and the event', () => {
  fc.assert(
    fc.property(anyEvent, (event) => {
      const told = JSON.parse(eventText('ocsf', event, producer));
      assert.equal(told.type_uid, told.class_uid * 100 + told.activity_id);
      assert.equal(told.category_uid, Math.floor(told.class_uid / 1000));
      assert.equal(told.metadata.uid, event.eventId);
      assert.equal(told.time, Math.floor(event.timestampUs / 1000));
      assert.equal(told.status_id, event.success ? 1 : 2);
    }),
  );
  const classOf = (eventType: string) => JSON.parse(eventText('ocsf', anEvent('e', { eventType }), producer)).class_uid;
  assert.deepEqual(['connection_started', 'log_contradicted', 'deleteSession'].map(classOf), [4005, 2004, 6003]);
});

test('an alert is a finding as severe as its rule, in every form', () => {
  const told = (['low', 'medium', 'high', 'critical'] as const).map((severity) => {
    const event = anEvent('a', { eventType: 'alert_raised', details: { severity, rule: 'r' } });
    const ocsf = JSON.parse(eventText('ocsf', event, producer));
    const [, , , , , , cef] = readCef(eventText('cef', event, producer)).header;
    const priority = /^<(\d+)>/.exec(syslogMessage(event, 'json', producer, 8192).toString())?.[1];
    return [ocsf.class_uid, ocsf.severity_id, Number(cef), Number(priority) % 8];
  });
  assert.deepEqual(told, [
    [2004, 2, 3, 5],
    [2004, 3, 5, 4],
    [2004, 4, 8, 3],
    [2004, 5, 10, 2],
  ]);
});

test('a syslog message is RFC 5424 in its bounds, also where its event is long', () => {
  fc.assert(
    fc.property(anyEvent, fc.integer({ min: 300, max: 2000 }), (event, bytesMax) => {
      const message = syslogMessage(event, 'json', producer, bytesMax);
      assert.ok(message.length <= bytesMax);
      assert.match(
        message.toString(),
        /^<1(?:05|08|10)>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z [\x21-\x7e]{1,255} lucid-sessions \d+ [\x21-\x7e]{1,32} \[origin software="lucid-sessions" swVersion="0\.1\.0"\] \ufeff\{/,
      );
    }),
  );
});

test('webhooks are signed as Standard Webhooks has it, in order, and stop at the first that is refused', async (t) => {
  // The example of the specification's reference implementations.
  assert.equal(
    signWebhook(
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'msg_p5jXN8AQM9LWM0D4loKWxJek',
      1614265330,
      '{"test": 2432232314}',
    ),
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  );
  const secret = 'a secret of the two of us';
  const got: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += String(part);
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = request.headers;
    assert.equal(signature, signWebhook(secret, String(id), Number(at), body));
    if (JSON.parse(body).event_id === 'c') {
      response.writeHead(503).end();
      return;
    }
    got.push(String(id));
    response.writeHead(204).end();
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?key=k`;
  const sink = new WebhookSink({ url, secret, form: 'json', producer, nowMs: Date.now });
  assert.doesNotMatch(sink.name, /key/);
  let count = 0;
  const sending = sink.send(
    ['a', 'b', 'c', 'd'].map((id) => anEvent(id)),
    (sent) => {
      count = sent;
    },
  );
  await assert.rejects(sending, /it answered 503/);
  assert.deepEqual([got, count], [['a', 'b'], 2]);
});

test('rsyslog takes every form over UDP, TCP and TLS', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'rsyslog')) return;
  const server = await Rsyslog.start();
  t.after(() => server.stop());
  const tls = { ca: readFileSync(server.caPath) };
  for (const transport of ['udp', 'tcp', 'tls'] as const)
    for (const form of ['json', 'cef', 'ocsf'] as const) {
      const host = transport === 'tls' ? 'localhost' : '127.0.0.1';
      const sink = new SyslogSink({ address: { transport, host, port: server.ports[transport] }, form, producer, tls });
      const name = `${transport}-${form}`;
      const events = [
        anEvent(name, { details: { text: 'zwei\nZeilen, ü' } }),
        anEvent(`${name}-2`, { success: false, errorMessage: 'no' }),
      ];
      await sink.send(events);
      await eventually(name, () => server.lines.filter(({ msg }) => msg.includes(name)).length === 2);
      await sink.dispose();
      const [first, second] = server.lines.filter(({ msg }) => msg.includes(name));
      assert.deepEqual(
        [first?.pri, first?.app, first?.msgid, second?.pri],
        ['110', 'lucid-sessions', 'connection_started', '108'],
      );
      assert.equal(Date.parse(first!.time), 1_700_000_000_123);
      assert.equal(first!.msg.replace(/^\ufeff/, ''), eventText(form, events[0]!, producer));
    }
});

test('a certificate of nobody we know is refused, and what was in the air when rsyslog died is sent again', {
  timeout: 120_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'rsyslog')) return;
  const server = await Rsyslog.start();
  t.after(() => server.stop());
  const address = { transport: 'tls', host: 'localhost', port: server.ports.tls } as const;
  const stranger = new SyslogSink({ address, form: 'json', producer });
  await assert.rejects(stranger.send([anEvent('never')]), /self-signed/);
  const sink = new SyslogSink({ address, form: 'json', producer, tls: { ca: readFileSync(server.caPath) } });
  await sink.send([anEvent('before')]);
  await eventually('the first', () => server.lines.some(({ msg }) => msg.includes('"before"')));
  await server.end();
  await eventually('nobody there', () =>
    sink.send([anEvent('meanwhile')]).then(
      () => false,
      () => true,
    ),
  );
  await server.begin();
  await sink.send([anEvent('meanwhile'), anEvent('after')]);
  for (const id of ['meanwhile', 'after'])
    await eventually(id, () => server.lines.some(({ msg }) => msg.includes(`"${id}"`)));
  assert.ok(!server.lines.some(({ msg }) => msg.includes('never')));
  await sink.dispose();
});
