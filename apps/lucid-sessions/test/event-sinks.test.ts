/** The audit log on its way to a SIEM from a whole installation: over restarts, refusals, and once more on request. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { EnvironmentError } from '@lucid-sessions/kit';
import { signWebhook } from '@lucid-sessions/siem';
import { eventually, Rsyslog, skipUnlessPeers, temporaryDirectory } from '@lucid-sessions/testkit';
import { openEventSinks } from '../src/server/event-sinks.ts';
import { runCli } from './support/cli.ts';
import { startGateway } from './support/gateway.ts';

const secret = 'a secret of the two of us';

/** Refuses every third request. */
async function startHook(t: TestContext) {
  const got: { event_id: string; event_type: string }[] = [];
  let asked = 0;
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += String(part);
    const id = String(request.headers['webhook-id']);
    assert.equal(
      request.headers['webhook-signature'],
      signWebhook(secret, id, Number(request.headers['webhook-timestamp']), body),
    );
    asked += 1;
    if (asked % 3 === 0) {
      response.writeHead(500).end();
      return;
    }
    got.push(JSON.parse(body));
    response.writeHead(200).end('ok');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, got };
}

test('a webhook gets every event over restarts and refusals, and again on request', { timeout: 300_000 }, async (t) => {
  const dataDir = temporaryDirectory('siem');
  const hook = await startHook(t);
  const environment = { LUCID_DATA_DIR: dataDir, LUCID_WEBHOOK_URL: hook.url, LUCID_WEBHOOK_SECRET: secret };
  const made: string[] = [];
  for (const round of [1, 2, 3]) {
    const gateway = await startGateway(t, environment);
    for (let at = 0; at < 4; at += 1) {
      const session = await gateway.api.json<{ session_id: string }>('POST', '/sessions', {
        name: `${round}.${at}`,
        rdp_config: { host: '127.0.0.1', port: 3389 },
      });
      made.push(session.session_id);
    }
    if (round < 3) await gateway.lucid.dispose();
    else {
      const { events } = await gateway.api.json<{ events: { event_id: string }[] }>('GET', '/audit?limit=1000');
      const got = () => new Set(hook.got.map(({ event_id }) => event_id));
      await eventually('every event', () => events.every(({ event_id }) => got().has(event_id)), 200_000);
      assert.ok(events.length >= made.length);
      const metrics = await (await fetch(`${gateway.lucid.addresses.pipeline}/metrics`)).text();
      assert.match(metrics, /^lucid_events_sent_total\{sink="webhook http:\/\/127\.0\.0\.1:\d+"\} \d+$/m);
      assert.match(metrics, /^lucid_events_failures_total\{sink=[^}]*\} \d+$/m);
      const before = hook.got.length;
      const cli = ['--api', gateway.lucid.addresses.api ?? '', '--json', 'audit'];
      const listed = await runCli([...cli, 'list', '--type', 'session_created', '--limit', '5'], environment);
      assert.equal(listed.code, 0, listed.stderr);
      const { events: shown, total } = JSON.parse(listed.stdout) as {
        events: { resource_id: string }[];
        total: number;
      };
      assert.deepEqual([shown.length, total], [5, made.length]);
      assert.equal(shown[0]!.resource_id, made.at(-1));
      const refused = await runCli([...cli, 'send', '--session', made[0]!], environment);
      const again = refused.code === 0 ? refused : await runCli([...cli, 'send', '--session', made[0]!], environment);
      assert.equal(again.code, 0, again.stderr);
      assert.ok(hook.got.length > before);
      const nowhere = await runCli([...cli, 'send'], { LUCID_DATA_DIR: dataDir });
      assert.equal(nowhere.code, 2);
      assert.match(nowhere.stderr, /set LUCID_SYSLOG_URL or LUCID_WEBHOOK_URL/);
      assert.ok(!gateway.logged.some((line) => line.includes(secret)));
    }
  }
});

test('rsyslog gets the events of an installation over TLS', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'rsyslog')) return;
  const server = await Rsyslog.start();
  t.after(() => server.stop());
  const gateway = await startGateway(t, {
    LUCID_SYSLOG_URL: `tls://localhost:${server.ports.tls}`,
    LUCID_SYSLOG_CA: server.caPath,
    LUCID_SYSLOG_FORMAT: 'cef',
  });
  const body = { name: 'of syslog', rdp_config: { host: '127.0.0.1', port: 3389 } };
  const { session_id: id } = await gateway.api.json<{ session_id: string }>('POST', '/sessions', body);
  const line = await eventually('the event', () => server.lines.find(({ msg }) => msg.includes(id)));
  assert.deepEqual([line.app, line.msgid, line.pri], ['lucid-sessions', 'session_created', '110']);
  assert.match(line.msg, /CEF:0\|Lucid Sessions\|lucid-sessions\|/);
});

test('wrong settings are named', () => {
  const wrong: Record<string, string>[] = [
    { LUCID_SYSLOG_URL: 'relp://host' },
    { LUCID_SYSLOG_URL: 'tcp://host:0' },
    { LUCID_SYSLOG_URL: 'tcp://host:99999' },
    { LUCID_SYSLOG_URL: 'tls://user@host' },
    { LUCID_SYSLOG_URL: 'tls://host', LUCID_SYSLOG_FORMAT: 'leef' },
    { LUCID_SYSLOG_URL: 'tls://host', LUCID_SYSLOG_CA: '/nowhere' },
    { LUCID_SYSLOG_URL: 'tls://host', LUCID_SYSLOG_CERT: import.meta.filename },
    { LUCID_WEBHOOK_URL: 'http://host' },
    { LUCID_WEBHOOK_URL: 'http://host', LUCID_WEBHOOK_SECRET: 'short' },
    { LUCID_WEBHOOK_URL: 'http://user:pw@host', LUCID_WEBHOOK_SECRET: secret },
  ];
  for (const environment of wrong)
    assert.throws(() => openEventSinks(environment), EnvironmentError, JSON.stringify(environment));
  assert.deepEqual(openEventSinks({}), []);
  const names = openEventSinks({
    LUCID_SYSLOG_URL: 'udp://[::1]',
    LUCID_WEBHOOK_URL: 'https://h/services/secret?k=1',
    LUCID_WEBHOOK_SECRET: secret,
  });
  assert.deepEqual(
    names.map(({ name }) => name),
    ['syslog udp://[::1]:514', 'webhook https://h'],
  );
});
