/** A rule over what is typed, from the keys of a client to the session's end, a SIEM, the audit log and the moment. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { RestAnswer } from '@lucid-sessions/contract';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually, skipUnlessPeers, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import { apart } from './support/apart.ts';
import { runCli } from './support/cli.ts';
import { startFive } from './support/five.ts';
import { armSession, type Gateway, sessionIn, startGateway, verifySession } from './support/gateway.ts';

const secret = 'a secret of the two of us';
const typedText = 'drop table users';
const rule = {
  name: 'destroys tables',
  severity: 'critical',
  end_session: true,
  condition: { kind: 'pattern', pattern: 'drop\\s+table', in: ['typed'], before_logon: true },
};

/** Keeps all it is sent. */
async function startHook(t: TestContext): Promise<{ url: string; got: string[] }> {
  const got: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request) body += String(part);
    got.push(body);
    response.writeHead(200).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, got };
}

const alertsOf = async ({ api }: Pick<Gateway, 'api'>, id: string) =>
  (await api.json<RestAnswer<'listAlerts'>>('GET', `/alerts?session_id=${id}`)).alerts;

/** `typing` types `typedText` and Enter until it is told that this is enough. */
async function endedByRule(
  t: TestContext,
  port: number,
  typing: (gateway: Gateway, routingToken: string, isEnough: () => Promise<boolean>) => Promise<void>,
): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'lucid-alerts-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const hook = await startHook(t);
  const environment = {
    ...{ LUCID_DATA_DIR: dataDir, LUCID_WEBHOOK_URL: hook.url, LUCID_WEBHOOK_SECRET: secret },
    // Chunks close soon: what is judged is what is stored.
    ...{ LUCID_CHUNK_AGE_MS: '500', LUCID_RECONNECT_SECONDS: '0' },
  };
  const gateway = await startGateway(t, environment);
  const made = await gateway.api.json<RestAnswer<'createAlertRule'>>('POST', '/alert-rules', rule);
  const { id, routingToken } = await armSession(gateway, port);
  await typing(gateway, routingToken, async () => (await alertsOf(gateway, id)).length > 0);
  const session = await sessionIn(gateway, id, 'completed');
  assert.deepEqual([session.end_reason, session.end_message], ['stopped', 'ended by the rule “destroys tables”']);
  const metrics = async () => (await fetch(`${gateway.lucid.addresses.pipeline}/metrics`)).text();
  await eventually(
    'the session to be judged to its end',
    async () => /^lucid_pipeline_job_runs_total\{kind="alerts",outcome="done"\} 1$/m.test(await metrics()),
    120_000,
  );
  const alerts = await alertsOf(gateway, id);
  assert.ok(alerts.length > 0);
  const alert = alerts.at(-1)!;
  assert.deepEqual(
    [alert.rule_id, alert.rule_name, alert.severity, alert.host],
    [made.rule_id, 'destroys tables', 'critical', '127.0.0.1'],
  );
  assert.ok(alerts.some(({ ended_session }) => ended_session));
  assert.deepEqual((await gateway.api.json<RestAnswer<'getSession'>>('GET', `/sessions/${id}`)).alerts, {
    count: alerts.length,
    highest: 'critical',
  });

  // The moment is that of the line that was typed, in the chunk that is named.
  const { events } = await gateway.api.json<RestAnswer<'listEvents'>>(
    'GET',
    `/sessions/${id}/events?inputs=true&logon=true&kind=typed`,
  );
  const line = events.find((event) => event.time_us === alert.time_us);
  assert.ok(line !== undefined && 'text' in line && /drop\s+table/.test(String(line.text)));
  assert.ok(alert.chunk !== null && alert.chunk <= session.statistics.chunks_count);
  assert.equal((await verifySession(gateway, id)).clean, true);

  // What is told outside names the rule and the moment alone.
  await eventually('the SIEM to be told', () => hook.got.some((body) => body.includes('"alert_raised"')), 60_000);
  const told = hook.got.map((body) => JSON.parse(body) as { event_type: string; details: Record<string, unknown> });
  const raised = told.filter(({ event_type }) => event_type === 'alert_raised');
  assert.ok(raised.some(({ details }) => details.alert_id === alert.alert_id && details.rule === 'destroys tables'));
  assert.equal(
    hook.got.some((body) => /drop/i.test(body)),
    false,
  );

  const cli = await runCli(
    ['--api', gateway.lucid.addresses.api ?? '', 'alerts', 'list', '--session', id],
    environment,
  );
  assert.match(cli.stdout, /critical +destroys tables/);
  const rules = await runCli(['--api', gateway.lucid.addresses.api ?? '', 'alerts', 'rules'], environment);
  assert.match(rules.stdout, /destroys tables +\/drop\\s\+table\/i in typed, also before the logon +ends sessions/);
  assert.match(
    await metrics(),
    new RegExp(`^lucid_pipeline_alerts_total\\{severity="critical"\\} ${alerts.length}$`, 'm'),
  );

  // Whoever judges the same session again raises nothing new.
  await gateway.lucid.dispose();
  const again = await startGateway(t, environment);
  await again.api.json('GET', `/sessions/${id}/events?inputs=true`);
  assert.deepEqual(await alertsOf(again, id), alerts);
}

test('a session in which something is typed that a rule is against is ended, told of and found', {
  timeout: 300_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  await endedByRule(t, desktop.port, async (gateway, routingToken) => {
    const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'alice' });
    await client.type(`${typedText}\n`);
    // The gateway ends it.
    await client.ended;
  });
});

test('five processes with no directory in common judge and end sessions, too', { timeout: 300_000 }, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const { more, options } = await apart();
  const five = await startFive(t, { ...more, LUCID_CHUNK_AGE_MS: '500' }, options);
  await five.api.json('POST', '/alert-rules', rule);
  const { id, routingToken } = await armSession(five, desktop.port);
  const client = await connectClient({ port: five.rdpPort, routingToken, userName: 'alice' });
  await client.type(`${typedText}\n`);
  await client.ended;
  const session = await sessionIn(five, id, 'completed');
  assert.deepEqual([session.end_reason, session.end_message], ['stopped', 'ended by the rule “destroys tables”']);
  const alerts = async () => (await five.api.json<RestAnswer<'getSession'>>('GET', `/sessions/${id}`)).alerts;
  await eventually('the alert to be listed', async () => (await alertsOf(five, id)).length === 1, 60_000);
  await eventually('the session to say so', async () => (await alerts())?.count === 1, 60_000);
});

test('the same from a real client at a real host', { timeout: 600_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp', 'shadow')) return;
  const server = await startShadow();
  t.after(() => server.stop());
  await endedByRule(t, server.port, async (gateway, routingToken, isEnough) => {
    const client = await startXfreerdp(
      `127.0.0.1:${gateway.rdpPort}`,
      ...['-decorations', '/u:test', '/p:test', `/load-balance-info:Cookie: msts=${routingToken}`],
    );
    t.after(() => client.stop());
    // A click that came while the desktop was still being drawn gives no focus.
    await eventually(
      'the rule to find what was typed',
      async () => {
        await client.click(200, 200);
        await client.type(typedText);
        return isEnough();
      },
      240_000,
    );
  });
});
