/** The whole product with our own desktop and client: ways to a session, refusals, pauses, limits, what a recording tells. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClientError, connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { decodeNote, frameKinds } from '@lucid-sessions/recording';
import { eventually, freePort, startTap } from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import {
  armSession,
  attemptedSession,
  type Gateway,
  readRecording,
  sessionIn,
  startGateway,
  verifySession,
} from './support/gateway.ts';
import { assertSameStream } from './support/streams.ts';

async function desktopOf(t: TestContext): Promise<Desktop> {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  return desktop;
}

const onlySession = async ({ api }: Gateway): Promise<SessionAnswer> => {
  const { sessions } = await api.json<{ sessions: SessionAnswer[] }>('GET', '/sessions');
  assert.equal(sessions.length, 1);
  return sessions[0] as SessionAnswer;
};

/** The ERRINFO code a connection is turned away with. */
async function refusalOf(connecting: ReturnType<typeof connectClient>): Promise<number> {
  try {
    // Our client may be active for a moment before the refusal reaches it.
    return (await (await connecting).ended).errorInfo;
  } catch (error) {
    assert.ok(error instanceof ClientError && error.code === 'refused', String(error));
    return error.detail;
  }
}

describe('ways to a session', () => {
  test('a fixed listener records everything that goes to its target', async (t) => {
    const desktop = await desktopOf(t);
    const port = await freePort();
    const rule = `${port}=127.0.0.1:${desktop.port};sha256=${desktop.certificateSha256}`;
    const gateway = await startGateway(t, { RDP_LISTENERS: rule });
    const client = await connectClient({ port, userName: 'walk-in' });
    await client.type('no session was made before\n');
    await client.settled();
    await client.close();
    const { session_id: id } = await onlySession(gateway);
    await sessionIn(gateway, id, 'completed');
    assert.deepEqual(desktop.typedLines(), ['no session was made before']);
    assert.equal((await verifySession(gateway, id)).clean, true);
  });

  test('the user name a client sends as mstshash finds the session that was started for it', async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t);
    const { id } = await armSession(gateway, desktop.port, { rdp_config: { username: 'alice' } });
    const client = await connectClient({ port: gateway.rdpPort, cookie: 'alice' });
    await client.settled();
    await client.close();
    await sessionIn(gateway, id, 'completed');
  });

  test('a routing token is good for its own session alone, and unknown ones are turned away', async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t);
    const { id, routingToken } = await armSession(gateway, desktop.port);
    const wrong = await refusalOf(connectClient({ port: gateway.rdpPort, routingToken: 'x'.repeat(43) }));
    assert.notEqual(wrong, 0);
    const client = await connectClient({ port: gateway.rdpPort, routingToken });
    await sessionIn(gateway, id, 'recording');
    const second = await refusalOf(connectClient({ port: gateway.rdpPort, routingToken }));
    assert.notEqual(second, 0);
    await client.settled();
    await client.close();
    await sessionIn(gateway, id, 'completed');
    assert.equal(desktop.users().length, 1, 'nobody else came through');
  });
});

describe('what goes wrong is said to the client and to the operator', () => {
  test('a target that is down', async (t) => {
    const gateway = await startGateway(t);
    const { id, routingToken } = await armSession(gateway, await freePort());
    assert.notEqual(await refusalOf(connectClient({ port: gateway.rdpPort, routingToken })), 0);
    const session = await attemptedSession(gateway, id);
    assert.deepEqual([session.status, session.last_attempt?.reason], ['starting', 'target_unreachable']);
    assert.match(session.last_attempt?.message ?? '', /127\.0\.0\.1/);
  });

  test('a host that was down does not use up the .rdp file', async (t) => {
    const port = await freePort();
    const gateway = await startGateway(t);
    const { id, routingToken } = await armSession(gateway, port);
    assert.notEqual(await refusalOf(connectClient({ port: gateway.rdpPort, routingToken })), 0);
    await attemptedSession(gateway, id);
    const desktop = await startDesktop({ port });
    t.after(() => desktop.stop());
    const client = await connectClient({ port: gateway.rdpPort, routingToken });
    await client.settled();
    await client.close();
    await sessionIn(gateway, id, 'completed');
  });

  test('a target with another certificate than the pinned one', async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t);
    const trust = { ignore_cert: false, pinned_sha256: '0'.repeat(64) };
    const { id, routingToken } = await armSession(gateway, desktop.port, { rdp_config: trust });
    assert.notEqual(await refusalOf(connectClient({ port: gateway.rdpPort, routingToken })), 0);
    const session = await attemptedSession(gateway, id);
    assert.deepEqual([session.status, session.last_attempt?.reason], ['starting', 'target_tls_failed']);
    assert.equal(desktop.users().length, 0, 'no credentials went to a server we do not know');
  });

  test('one session too many, and nothing else is disturbed', async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t, { MAX_CONCURRENT_SESSIONS: '1' });
    const first = await armSession(gateway, desktop.port);
    const second = await armSession(gateway, desktop.port);
    const client = await connectClient({ port: gateway.rdpPort, routingToken: first.routingToken });
    await sessionIn(gateway, first.id, 'recording');
    const refusal = await refusalOf(connectClient({ port: gateway.rdpPort, routingToken: second.routingToken }));
    assert.notEqual(refusal, 0);
    await client.type('still here\n');
    await eventually('the typed line', () => desktop.typedLines().includes('still here'));
    await client.close();
    await sessionIn(gateway, first.id, 'completed');
    // There is room again.
    const later = await connectClient({ port: gateway.rdpPort, routingToken: second.routingToken });
    await later.close();
    await sessionIn(gateway, second.id, 'completed');
  });

  test('stop ends the RDP session with a reason', async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t);
    const { id, routingToken } = await armSession(gateway, desktop.port);
    const client = await connectClient({ port: gateway.rdpPort, routingToken });
    await sessionIn(gateway, id, 'recording');
    const answer = await gateway.api.json<{ status: string; final_statistics: object }>(
      'POST',
      `/sessions/${id}/stop`,
      {},
    );
    assert.ok(answer.final_statistics);
    const end = await client.ended;
    assert.equal(end.errorInfo, ErrorInfo.rpcInitiatedDisconnect.code);
    assert.equal((await sessionIn(gateway, id, 'completed')).end_reason, 'stopped');
    assert.equal(desktop.sessionsCount(), 0);
  });
});

describe('what a recording tells', () => {
  test('a pause is a gap: work goes on, and none of it is kept', async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t);
    const { id, routingToken } = await armSession(gateway, desktop.port);
    const client = await connectClient({ port: gateway.rdpPort, routingToken });
    await sessionIn(gateway, id, 'recording');
    await gateway.api.json('POST', `/sessions/${id}/pause`, {});
    assert.equal((await sessionIn(gateway, id, 'paused')).status, 'paused');
    await client.type('off the record\n');
    await eventually('the typed line', () => desktop.typedLines().includes('off the record'));
    await gateway.api.json('POST', `/sessions/${id}/resume`, {});
    await sessionIn(gateway, id, 'recording');
    await client.type('on the record\n');
    await eventually('the typed line', () => desktop.typedLines().includes('on the record'));
    await client.close();
    await sessionIn(gateway, id, 'completed');
    const report = await verifySession(gateway, id);
    assert.deepEqual([...new Set(report.findings.map(({ code }) => code))], ['GAP']);
    assert.deepEqual([report.verdicts.integrity, report.verdicts.completeness], ['intact', 'gaps']);
    assert.equal(report.facts.pauses_count, 1);
    const story = (await readRecording(gateway, id)).map(({ kind, body }) =>
      kind === frameKinds.note ? decodeNote(body).type : 'pdu',
    );
    const [from, to] = [story.indexOf('pause'), story.indexOf('resume')];
    assert.ok(from > 0 && to > from, story.join());
    assert.equal(story.slice(from, to).includes('pdu'), false);
    assert.ok(story.slice(to).includes('pdu'));
  });

  test('what the gateway changed is kept as both sides saw it, and the password as neither', async (t) => {
    const desktop = await desktopOf(t);
    const tap = await startTap({ host: '127.0.0.1', port: desktop.port });
    t.after(() => tap.stop());
    const gateway = await startGateway(t);
    const recording_config = { graphics: 'classic' };
    const { id, routingToken } = await armSession(gateway, tap.port, { recording_config });
    const client = await connectClient({ port: gateway.rdpPort, routingToken, userName: 'u', password: 'pass-0815' });
    await client.settled();
    await client.close();
    await sessionIn(gateway, id, 'completed');
    const frames = await readRecording(gateway, id);
    const seen = tap.connection(0);
    const { blankedBytes } = assertSameStream(frames, 'client_to_server', 'receiver', seen.clientToServer);
    assertSameStream(frames, 'server_to_client', 'sender', seen.serverToClient);
    assert.ok(blankedBytes >= 'pass-0815'.length, 'the password is blank');
    assert.equal((await verifySession(gateway, id)).clean, true);
  });

  test('silence is sealed too: an idle session keeps making chunks', { timeout: 90_000 }, async (t) => {
    const desktop = await desktopOf(t);
    const gateway = await startGateway(t);
    const { id, routingToken } = await armSession(gateway, desktop.port);
    const client = await connectClient({ port: gateway.rdpPort, routingToken });
    await client.settled();
    client.suppress(true);
    await sleep(33_000);
    const { chunks } = await gateway.api.json<{ chunks: { sequence_number: number }[] }>(
      'GET',
      `/sessions/${id}/chunks`,
    );
    assert.equal(chunks.length, 1, 'the first 30 s are stored while the session runs');
    await client.close();
    const session = await sessionIn(gateway, id, 'completed');
    assert.equal(session.statistics.chunks_count, 2);
    assert.equal((await verifySession(gateway, id)).verdicts.completeness, 'whole');
  });
});
