/** What a session's manifest and its verification say of the clock, and of the build, from the environment to the report. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import { NtpServer } from '@lucid-sessions/testkit';
import { runCli } from './support/cli.ts';
import { recordSession, startGateway, verifySession } from './support/gateway.ts';

test('the clock is compared with three servers of which one lies: signed, clean, and in the report of whoever verifies', {
  timeout: 120_000,
}, async (t) => {
  const servers = await Promise.all([
    NtpServer.start({ aheadMs: 30 }),
    NtpServer.start({ aheadMs: 3_600_000 }),
    NtpServer.start({ aheadMs: 31 }),
  ]);
  t.after(() => Promise.all(servers.map((server) => server.stop())));
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const sources = servers.map(({ port }) => `127.0.0.1:${port}`).join();
  const gateway = await startGateway(t, {
    LUCID_RECONNECT_SECONDS: '0',
    LUCID_CLOCK_SOURCES: sources,
    LUCID_CLOCK_REQUIRED: 'on',
  });
  const id = await recordSession(gateway, desktop.port);
  const report = await verifySession(gateway, id);
  assert.deepEqual([report.clean, report.findings], [true, []]);
  const { clock } = report.facts;
  assert.ok(clock !== null && clock.offset_us !== null && clock.most_us !== null && clock.checks_count >= 1);
  assert.match(clock.source, /\(2 of 3 agree\)$/);
  // Two milliseconds of difference between the honest ones, and what each says of its error.
  assert.ok(Math.abs(clock.offset_us - 30_500) <= clock.most_us, JSON.stringify(clock));

  const { root } = gateway.lucid.directory;
  const environment = { LUCID_API_URL: gateway.lucid.addresses.api ?? '', LUCID_DATA_DIR: root };
  const [bundle, policy] = [join(root, 'one.lucid.tar'), join(root, 'policy.json')];
  assert.equal((await runCli(['export', id, '--out', bundle], environment)).code, 0);
  assert.equal((await runCli(['keys', 'export-public', '--out', policy], environment)).code, 0);
  const verified = await runCli(['verify', bundle, '--policy', policy], environment);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  assert.match(verified.stdout, /^Clock +\d+\.\d ms behind at last, by .*\(2 of 3 agree\); \d+ comparisons/m);
  assert.match(verified.stdout, /^Made by +version \S+ \(development\)/m);
});
