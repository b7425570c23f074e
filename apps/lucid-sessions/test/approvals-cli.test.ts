/** A second person at the command line: who waits, letting in, refusing, and what the one who waits is told. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { eventually } from '@lucid-sessions/testkit';
import { makeToken } from '../src/commands/token.ts';
import { runCli } from './support/cli.ts';
import { armSession, attemptedSession, sessionIn, startGateway } from './support/gateway.ts';

interface Waiting {
  session_id: string;
  connection_id: string;
  client_user: string;
}

test('sessions approvals, approve and refuse', { timeout: 120_000 }, async (t) => {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { RDP_APPROVAL: 'on', LUCID_RECONNECT_SECONDS: '0' });
  const { root } = gateway.lucid.directory;
  const secret = readFileSync(join(root, 'secrets', 'jwt'), 'utf8').trim();
  const api = { LUCID_API_URL: gateway.lucid.addresses.api ?? '', LUCID_DATA_DIR: root };
  const asBob = {
    ...api,
    LUCID_TOKEN: await makeToken(secret, { userId: 'bob', roles: ['session_manager'], lifetimeS: 600 }),
  };
  const sessions = (...args: string[]) => runCli(['sessions', ...args], asBob);
  const { id, routingToken } = await armSession(gateway, desktop.port);
  const waiting = async (count: number): Promise<Waiting[]> =>
    eventually('somebody waits', async () => {
      const { approvals } = await gateway.api.json<{ approvals: Waiting[] }>('GET', '/approvals');
      return approvals.length === count && approvals;
    });
  const client = (userName: string) => connectClient({ port: gateway.rdpPort, routingToken, userName });

  assert.match((await sessions('approvals')).stdout, /nobody waits/);
  const early = await sessions('approve', id, '--reason', 'change 12');
  assert.equal(early.code, 1);
  assert.match(early.stderr, /nobody waits there/);

  const eve = await client('eve');
  const [first] = await waiting(1);
  const listed = await sessions('approvals');
  assert.match(listed.stdout, new RegExp(`^${id} {2}${first!.connection_id} {2}since .* {2}eve at 127\\.0\\.0\\.1`));
  assert.notEqual((await sessions('refuse', id)).code, 0, 'without a reason');
  const refused = await sessions('refuse', id, '--reason', 'not today');
  assert.deepEqual([refused.code, refused.stdout.trim()], [0, 'refused'], refused.stderr);
  assert.equal((await eve.ended).errorInfo, ErrorInfo.serverDeniedConnection.code);
  const { last_attempt } = await attemptedSession(gateway, id);
  assert.match(JSON.stringify(last_attempt), /bob said: not today/);

  const ann = await client('ann');
  const [second] = await waiting(1);
  const own = await runCli(['sessions', 'approve', id, '--reason', 'my own'], api);
  assert.notEqual(own.code, 0);
  assert.match(own.stderr, /it takes a second person/);
  const approve = ['approve', id, '--reason', 'change 12', '--connection'];
  assert.notEqual((await sessions(...approve, first!.connection_id)).code, 0, 'she is gone');
  const approved = await sessions(...approve, second!.connection_id);
  assert.deepEqual([approved.code, approved.stdout.trim()], [0, 'let in'], approved.stderr);
  await sessionIn(gateway, id, 'recording');
  await ann.settled();
  await ann.close();
  await sessionIn(gateway, id, 'completed');
  const { manifest } = await gateway.api.json<{ manifest: { body: { approvals: unknown[] } } }>(
    'GET',
    `/sessions/${id}/manifest`,
  );
  assert.match(JSON.stringify(manifest.body.approvals), /"bob".*"change 12"|"change 12".*"bob"/);
});
