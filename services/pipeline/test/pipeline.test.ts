import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { type ConnectionAttempt, LucidError, rpcClient, type SessionDocument } from '@lucid-sessions/contract';
import { parseLogEntry } from '@lucid-sessions/evidence';
import {
  backoffMs,
  createPipelineServer,
  defaultLimits,
  type PipelineLimits,
  readPipelineEnv,
  tokenSha256,
} from '@lucid-sessions/pipeline';
import { sampleChunk, sampleSession } from '@lucid-sessions/storage/suites';
import { eventually } from '@lucid-sessions/testkit';
import { receiptOf, statistics, type World, world } from './world.ts';

const check = (what: string, work: (world: World) => Promise<void>, limits: Partial<PipelineLimits> = {}) =>
  test(what, async () => {
    const made = await world(limits);
    try {
      await work(made);
    } finally {
      await made.dispose();
    }
  });

const sessionOf = async ({ storage }: World, sessionId: string): Promise<SessionDocument> =>
  (await storage.getSession({ sessionId })).session!;
const stateOf = async (made: World, sessionId: string) => {
  const { status, pipeline_state } = await sessionOf(made, sessionId);
  return `${status} ${pipeline_state}`;
};
const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const admitBy = (made: World, name: string) => made.connect({ kind: 'cookie', name });

check('a session from its connection to a logged manifest', async (made) => {
  await made.admit('s1');
  assert.equal(await stateOf(made, 's1'), 'starting starting');
  assert.equal(made.entries.length, 1, 'open is logged before the first frame');
  await made.pipeline.report({ kind: 'fact', sessionId: 's1', fact: { kind: 'downgrade', atUs: 1, what: 'rfx' } });
  await made.record('s1');
  await made.until('s1', 'completed');
  const session = await sessionOf(made, 's1');
  assert.equal(session.pipeline_state, 'stopped');
  assert.deepEqual(
    [session.end_reason, session.end_message, session.merkle_root?.length],
    ['client_disconnected', 'bye', 64],
  );
  assert.deepEqual(session.statistics, {
    duration_seconds: 10,
    chunks_count: 1,
    size_bytes: 5000,
    frame_count: 10,
    dropped_frames: 1,
    error_count: 2,
    average_fps: 5,
    compression_ratio: 0.25,
  });
  assert.ok(session.started_at !== null && session.stopped_at !== null);
  assert.deepEqual(made.calls, ['open s1', 'finish s1 client_disconnected facts:1']);
  const { records } = await made.storage.getRecords({ sessionId: 's1' });
  assert.deepEqual(
    records.map(({ kind, record }) => (kind === 'open' ? kind : text(record))),
    ['open', 'manifest s1'],
  );
  assert.equal(made.entries.length, 2);
  const [open, manifest] = made.entries.map(parseLogEntry);
  assert.deepEqual([open?.kind, manifest?.kind], ['open', 'manifest']);
  assert.equal(manifest?.subject, open?.recordSha256, 'who reads the log sees which records are of one session');
  const { log, receipts } = await made.pipeline.anchor({ sessionId: 's1' });
  assert.deepEqual([log?.logIndex, receipts], [1, []]);
  assert.deepEqual(await made.pipeline.logCheckpoint(), { checkpoint: 'size 2', publicKey: 'log-key' });
  const { proofs, consistency } = await made.pipeline.logProofs({ sessionId: 's1' });
  assert.deepEqual(
    proofs.map(({ kind, sequence, proof }) => `${kind} ${sequence} ${proof.logIndex}`),
    ['open 1 0', 'manifest 2 1'],
  );
  assert.deepEqual(consistency, [], 'its open record names no checkpoint');
  const { status } = await made.pipeline.status({ sessionId: 's1' });
  assert.equal(status?.pipelineStatus, 'stopped');
  assert.deepEqual(
    status?.stages.map((stage) => `${stage.stageName} ${stage.status} ${stage.itemsProcessed}`),
    [
      'recording completed 10',
      'compression completed 1',
      'encryption completed 1',
      'storage completed 1',
      'manifest completed 1',
      'log completed 2',
    ],
  );
  assert.equal((await made.pipeline.health()).status, 'healthy');
});

check('a token names its session, without any start before', async (made) => {
  const token = 'secret token';
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: tokenSha256(token) });
  const admission = await made.connect({ kind: 'token', token });
  assert.ok(admission.admitted);
  assert.deepEqual(admission.ticket.target, {
    host: 'desk.example',
    port: 3389,
    useTls: true,
    ignoreCert: false,
    leaveIn: [],
    channels: {},
    bulkCompression: true,
  });
  assert.deepEqual([admission.ticket.persistence, admission.ticket.graphics], ['strict', 'passthrough']);
  const wrong = await made.connect({ kind: 'token', token: 'x' });
  assert.deepEqual([wrong.admitted, wrong.admitted || wrong.code], [false, 'unknown_session']);
});

check('a name is no secret: its session must have been started', async (made) => {
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  const early = await admitBy(made, 'alice');
  assert.deepEqual([early.admitted, early.admitted || early.code], [false, 'not_startable']);
  await made.pipeline.start({ sessionId: 's1' });
  assert.equal((await admitBy(made, 'alice')).admitted, true);
  const second = await admitBy(made, 's1');
  assert.ok(second.admitted && second.ticket.reconnects, 'its recorder decides whether it may continue the session');
  const elsewhere = await made.connect({ kind: 'cookie', name: 's1' }, { recorderId: 'another' });
  assert.deepEqual([elsewhere.admitted, elsewhere.admitted || elsewhere.code], [false, 'in_use']);
});

check(
  'a session whose .rdp file was issued takes it only, unless its creator says that its name leads to it',
  async (made) => {
    const issued = { ...sampleSession('s1'), rdp_file_issued_at: '2026-01-01T00:00:00.000Z' };
    await made.pipeline.create({ session: issued, routeTokenSha256: tokenSha256('t') });
    await made.pipeline.start({ sessionId: 's1' });
    const refused = async (name: string) => {
      const answer = await admitBy(made, name);
      return answer.admitted || answer.code;
    };
    assert.deepEqual([await refused('s1'), await refused('alice')], ['unknown_session', 'unknown_session']);
    assert.equal((await sessionOf(made, 's1')).pipeline_state, 'starting', 'and is not used up');
    const rdp_config = { ...issued.rdp_config, route_by_name: true };
    await made.pipeline.create({ session: { ...issued, session_id: 's2', rdp_config }, routeTokenSha256: null });
    await made.pipeline.start({ sessionId: 's2' });
    await made.restart({ cookieRoute: false });
    assert.equal(await refused('s2'), 'unknown_session', 'off where configuration does not turn it on');
    await made.restart({ rdpFileDays: 1 });
    made.clock.us += 2 * 86_400_000_000;
    const old = await made.connect({ kind: 'token', token: 't' });
    assert.deepEqual([old.admitted, old.admitted || old.code], [false, 'expired']);
    await made.restart();
    assert.equal(await refused('s2'), true);
    assert.equal((await made.connect({ kind: 'token', token: 't' })).admitted, true);
  },
);

check(
  'an .rdp file is too old after its days, whatever the clock does, and never for a session that began with it',
  async (made) => {
    const day = 86_400_000_000;
    const issuedUs = made.clock.us;
    const issued = { ...sampleSession('s1'), rdp_file_issued_at: new Date(issuedUs / 1000).toISOString() };
    await made.pipeline.create({ session: issued, routeTokenSha256: tokenSha256('t') });
    const found = async () => {
      const route = { kind: 'token', token: 't' } as const;
      const request = { connectionId: 'c', clientAddress: '10.0.0.1:1', clientName: null, recorderId: 'recorder-1' };
      const finding = await made.pipeline.find({ ...request, route });
      return finding.found ? 'found' : finding.code;
    };
    for (const [afterDays, answer] of [
      [0, 'found'],
      [2, 'found'],
      [2.0001, 'expired'],
      [36_500, 'expired'],
      // The clock is set back: it was not used, and is fresh again.
      [1, 'found'],
      [-1, 'found'],
      // It was far ahead when the file was issued.
      [-30, 'expired'],
    ] as const) {
      made.clock.us = issuedUs + afterDays * day;
      assert.equal(await found(), answer, `${afterDays} days`);
    }
    made.clock.us = issuedUs + day;
    assert.ok((await made.connect({ kind: 'token', token: 't' })).admitted);
    await made.start('s1');
    // In use: whoever connects again continues it, however old the file is by then.
    made.clock.us = issuedUs + 30 * day;
    const again = await made.connect({ kind: 'token', token: 't' });
    assert.ok(again.admitted && again.ticket.reconnects);
    await made.record('s1');
    for (const afterDays of [30, 1, -30]) {
      made.clock.us = issuedUs + afterDays * day;
      assert.equal(await found(), 'not_startable', 'a used file begins nothing more');
    }
  },
  { rdpFileDays: 2 },
);

check('a listener makes the session itself', async (made) => {
  const route = { kind: 'listener', target: '[2001:db8::1]:3390' } as const;
  const admission = await made.connect(route);
  assert.ok(admission.admitted);
  assert.deepEqual([admission.ticket.target.host, admission.ticket.target.port], ['2001:db8::1', 3390]);
  const { name } = await sessionOf(made, admission.ticket.sessionId);
  assert.equal(name, '[2001:db8::1]:3390 2026-01-01T00:00:00.000Z');
  const plain = await made.connect({ kind: 'listener', target: 'desk' });
  assert.ok(plain.admitted && plain.ticket.target.port === 3389);
  const bad = await made.connect({ kind: 'listener', target: 'a b' });
  assert.deepEqual([bad.admitted, bad.admitted || bad.code], [false, 'unavailable']);
});

check(
  'beyond MAX_CONCURRENT_SESSIONS nobody is admitted, also when many come at once',
  async (made) => {
    const route = { kind: 'listener', target: 'desk' } as const;
    const admissions = await Promise.all(Array.from({ length: 5 }, () => made.connect(route)));
    const codes = admissions.map((admission) => (admission.admitted ? 'admitted' : admission.code)).sort();
    assert.deepEqual(codes, ['admitted', 'admitted', 'at_capacity', 'at_capacity', 'at_capacity']);
    const again = await made.connect(route);
    assert.deepEqual([again.admitted, again.admitted || again.code], [false, 'at_capacity']);
    const first = admissions.find((admission) => admission.admitted)!;
    await made.record(first.admitted ? first.ticket.sessionId : '');
    assert.equal((await made.connect(route)).admitted, true);
  },
  { concurrentSessionsMax: 2 },
);

check('a recording that can not be opened is refused, and the session can be tried again', async (made) => {
  const { open } = made.processor;
  made.processor.open = () => Promise.reject(new LucidError('unavailable', 'processor is away'));
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  await made.pipeline.start({ sessionId: 's1' });
  const refusal = await admitBy(made, 's1');
  assert.deepEqual([refusal.admitted, refusal.admitted || refusal.code], [false, 'unavailable']);
  assert.equal(await stateOf(made, 's1'), 'starting starting');
  made.processor.open = open;
  assert.equal((await admitBy(made, 's1')).admitted, true);
});

const attempt = {
  connectionId: 'gone',
  sessionId: 's1',
  atUs: 1_767_225_600_000_000,
  clientAddress: '10.0.0.7:50000',
  clientName: 'alice',
  outcome: 'target_failed',
  reason: 'target_unreachable',
  message: 'the target refused the connection: is it on?',
  count: 1,
} as const satisfies ConnectionAttempt;

const auditOf = async ({ storage }: World) =>
  (await storage.listAudit({ limit: 100, offset: 0 })).events
    .filter(({ sequence }) => sequence !== 0)
    .map(
      ({ eventType, resourceId, ipAddress, success, details }) =>
        `${eventType} ${resourceId} ${ipAddress} ${success} ${details.reason} ${details.client_name} ${details.count}`,
    );

check('finding a session leaves nothing durable, of a listener not even the session', async (made) => {
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  await made.pipeline.start({ sessionId: 's1' });
  const before = await sessionOf(made, 's1');
  const request = { clientAddress: 'c', clientName: null, recorderId: 'r' };
  const route = { kind: 'listener', target: 'desk' } as const;
  const listener = await made.pipeline.find({ ...request, connectionId: 'a', route });
  const again = await made.pipeline.find({ ...request, connectionId: 'a', route });
  const other = await made.pipeline.find({ ...request, connectionId: 'b', route });
  assert.ok(listener.found && again.found && other.found);
  assert.equal(again.ticket.sessionId, listener.ticket.sessionId, 'asked again: the same');
  assert.notEqual(other.ticket.sessionId, listener.ticket.sessionId);
  const named = await made.pipeline.find({ ...request, connectionId: 'd', route: { kind: 'cookie', name: 's1' } });
  assert.ok(named.found);
  assert.deepEqual(await sessionOf(made, 's1'), before);
  assert.equal((await made.storage.listSessions({ limit: 10, offset: 0 })).total, 1);
  assert.deepEqual([made.calls, made.entries, await auditOf(made)], [[], [], []]);
});

check('whoever is ready first is admitted, once; the others are refused', async (made) => {
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  await made.pipeline.start({ sessionId: 's1' });
  const request = {
    route: { kind: 'cookie', name: 's1' },
    clientAddress: 'c',
    clientName: null,
    recorderId: 'r',
  } as const;
  for (const connectionId of ['a', 'b']) assert.ok((await made.pipeline.find({ ...request, connectionId })).found);
  const answers = await Promise.all(['b', 'a', 'b'].map((connectionId) => made.pipeline.admit({ connectionId })));
  assert.deepEqual(
    answers.map((answer) => (answer.admitted ? answer.ticket.sessionId : answer.code)),
    ['s1', 'in_use', 's1'],
    'an answer that was lost is given again',
  );
  const unknown = await made.pipeline.admit({ connectionId: 'never found' });
  assert.deepEqual([unknown.admitted, unknown.admitted || unknown.code], [false, 'not_reserved']);
  await made.restart();
  const forgotten = await made.pipeline.admit({ connectionId: 'a' });
  assert.deepEqual([forgotten.admitted, forgotten.admitted || forgotten.code], [false, 'not_reserved']);
  assert.deepEqual(made.calls, ['open s1']);
});

check('a session that becomes another while its client connects is not recorded as that one', async (made) => {
  const token = 'secret token';
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: tokenSha256(token) });
  const request = { route: { kind: 'token', token }, clientAddress: 'c', clientName: null, recorderId: 'r' } as const;
  const change = async (more: Partial<SessionDocument>) => {
    const session = await sessionOf(made, 's1');
    const next = { ...session, ...more, version: session.version + 1 };
    assert.ok((await made.storage.replaceSession({ session: next, expectedVersion: session.version })).replaced);
  };
  const session = await sessionOf(made, 's1');
  for (const [connectionId, more] of [
    ['another target', { rdp_config: { ...session.rdp_config, host: 'harmless.example' } }],
    ['other rules', { rdp_config: { ...session.rdp_config, channels: { clipboard: 'off' } } }],
    ['approval', { recording_config: { ...session.recording_config, approval: true } }],
  ] as const) {
    assert.ok((await made.pipeline.find({ ...request, connectionId })).found);
    await change(more);
    const admission = await made.pipeline.admit({ connectionId });
    assert.deepEqual([admission.admitted, admission.admitted || admission.code], [false, 'not_reserved'], connectionId);
  }
  assert.deepEqual(made.calls, []);
  assert.ok((await made.pipeline.find({ ...request, connectionId: 'as it is now' })).found);
  await change({ description: 'what it is for' });
  assert.ok((await made.pipeline.admit({ connectionId: 'as it is now' })).admitted);
});

check('what find reserved lapses, and is bounded', async (made) => {
  const request = {
    route: { kind: 'listener', target: 'desk' },
    clientAddress: 'c',
    clientName: null,
    recorderId: 'r',
  } as const;
  const find = (connectionId: string) => made.pipeline.find({ ...request, connectionId });
  let found = 0;
  for (let tries = 0; tries < 30_000 && (await find(`c${tries}`)).found; tries++) found++;
  // A recorder lets eight connections for each session wait: its bound, shared out by address, must be met before this one.
  assert.ok(found > 8 * defaultLimits.concurrentSessionsMax && found < 30_000, `${found}`);
  made.clock.us += 661_000_000;
  const late = await made.pipeline.admit({ connectionId: 'c0' });
  assert.deepEqual([late.admitted, late.admitted || late.code], [false, 'not_reserved']);
  assert.ok((await find('later')).found);
});

check('a connection that never got through leaves the session waiting, and says why', async (made) => {
  const token = 'secret token';
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: tokenSha256(token) });
  const request = { route: { kind: 'token', token }, clientAddress: 'c', clientName: null, recorderId: 'r' } as const;
  assert.ok((await made.pipeline.find({ ...request, connectionId: 'gone' })).found);
  await made.pipeline.attempted(attempt);
  await made.pipeline.attempted(attempt);
  assert.equal(await stateOf(made, 's1'), 'created created');
  assert.deepEqual((await sessionOf(made, 's1')).last_attempt, {
    at: '2026-01-01T00:00:00.000Z',
    client_address: '10.0.0.7:50000',
    client_name: 'alice',
    outcome: 'target_failed',
    reason: 'target_unreachable',
    message: attempt.message,
  });
  assert.deepEqual(await auditOf(made), ['connection_failed s1 10.0.0.7:50000 false target_unreachable alice 1']);
  const late = await made.pipeline.admit({ connectionId: 'gone' });
  assert.equal(late.admitted, false, 'its reservation is gone');
  // Admitted, and then the recorder could not go on.
  assert.ok((await made.pipeline.find({ ...request, connectionId: 'second' })).found);
  assert.ok((await made.pipeline.admit({ connectionId: 'second' })).admitted);
  await made.pipeline.attempted({ ...attempt, connectionId: 'first' });
  assert.equal(await stateOf(made, 's1'), 'starting starting', 'told of another connection');
  await made.pipeline.attempted({ ...attempt, connectionId: 'second' });
  assert.equal(await stateOf(made, 's1'), 'created created');
  assert.ok((await made.connect(request.route)).admitted, 'with the same .rdp file');
  assert.equal(made.entries.length, 1, 'the open record is logged once');
  await made.record('s1');
  await made.until('s1', 'completed');
});

check(
  'a flood of connections that become nothing is audited one by one up to a bound, and together beyond it',
  async (made) => {
    await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
    const knock = (at: number, more: Partial<ConnectionAttempt> = {}) =>
      made.pipeline.attempted({
        ...attempt,
        connectionId: `stranger-${at}`,
        sessionId: at % 2 === 0 ? null : `listener-${at}`,
        clientAddress: `10.0.${at >> 8}.${at & 255}:1`,
        ...more,
      });
    for (let at = 0; at < 500; at++) await knock(at);
    assert.equal((await auditOf(made)).length, 10, 'five minutes at 2 a minute');
    // What is of a session that is there has a bound of its own.
    await knock(501, { sessionId: 's1' });
    assert.equal((await auditOf(made)).length, 11);
    made.clock.us += 60_000_000;
    for (let at = 600; at < 700; at++) await knock(at, { outcome: 'refused', reason: 'no_route', count: 3 });
    assert.equal((await auditOf(made)).length, 13);
    await made.restart();
    const counts = (await auditOf(made)).map((line) => Number(line.split(' ').at(-1)));
    assert.equal(counts.length, 15, 'one entry for each kind');
    const told = counts.reduce((sum, count) => sum + count);
    assert.equal(told, 500 + 1 + 300, 'none is lost');
  },
  { attemptsAuditedPerMinute: 2 },
);

check('on a full disk a stranger is counted, and nobody asks again', async (made) => {
  const { appendAudit } = made.storage;
  made.storage.appendAudit = () => Promise.reject(new LucidError('storage', 'the disk is full', { status: 507 }));
  for (const connectionId of ['a', 'b'])
    await made.pipeline.attempted({
      ...attempt,
      connectionId,
      sessionId: null,
      outcome: 'refused',
      reason: 'no_route',
    });
  made.storage.appendAudit = () => Promise.reject(new LucidError('unavailable', 'storage is away'));
  await assert.rejects(made.pipeline.attempted({ ...attempt, connectionId: 'c', sessionId: null }), /away/);
  made.storage.appendAudit = appendAudit;
  await made.restart();
  assert.deepEqual(await auditOf(made), ['connection_refused null 10.0.0.7:50000 false no_route alice 2']);
});

check('attempts of a session nobody knows are audited all the same', async (made) => {
  await made.pipeline.attempted({ ...attempt, sessionId: null, outcome: 'refused', reason: 'no_route', count: 17 });
  await made.pipeline.attempted({ ...attempt, connectionId: 'b', sessionId: 'of-a-listener' });
  assert.deepEqual((await auditOf(made)).sort(), [
    'connection_failed of-a-listener 10.0.0.7:50000 false target_unreachable alice 1',
    'connection_refused null 10.0.0.7:50000 false no_route alice 17',
  ]);
});

check('a recorder that dies between yes and the first frame leaves the session waiting', async (made) => {
  await made.admit('s1');
  const ended = { kind: 'ended', sessionId: 's1', atUs: 5, reason: 'recorder_crashed', failed: true } as const;
  await made.pipeline.report({ ...ended, message: 'it died', statistics });
  assert.equal(await stateOf(made, 's1'), 'stopped stopping');
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 0 });
  assert.equal(await stateOf(made, 's1'), 'starting starting');
  assert.equal((await admitBy(made, 's1')).admitted, true);
});

check('a lost connection and the one after it are told, counted once, and audited', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5_000_000);
  const client = { kind: 'client', sessionId: 's1', atUs: 5, clientName: 'LAPTOP', clientUser: 'CORP\\alice' } as const;
  await made.pipeline.report(client);
  const lost = { kind: 'lost', sessionId: 's1', atUs: 9_000_000, untilUs: 309_000_000, message: 'lost' } as const;
  await made.pipeline.report(lost);
  await made.pipeline.report(lost);
  const waiting = await sessionOf(made, 's1');
  assert.deepEqual(
    [waiting.status, waiting.reconnect_until, waiting.client_name, waiting.client_user, waiting.connections],
    ['recording', '1970-01-01T00:05:09.000Z', 'LAPTOP', 'CORP\\alice', 1],
  );
  const addresses = { connectionId: 'second', clientAddress: '10.0.0.1:6000', targetAddress: '10.0.0.2:3389' };
  const reconnected = { kind: 'reconnected', sessionId: 's1', atUs: 20_000_000, ...addresses } as const;
  await made.pipeline.report(reconnected);
  await made.pipeline.report(reconnected);
  const back = await sessionOf(made, 's1');
  assert.deepEqual(
    [back.status, back.reconnect_until, back.client_address, back.connections],
    ['recording', null, '10.0.0.1:6000', 2],
  );
  await made.putChunk('s1', 0);
  const ended = { kind: 'ended', sessionId: 's1', atUs: 30_000_000, reason: 'client_disconnected' } as const;
  await made.pipeline.report({ ...ended, message: 'bye', failed: false, statistics });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  assert.equal((await sessionOf(made, 's1')).outcome, 'whole');
  const { events } = await made.storage.listAudit({ resourceId: 's1', limit: 100, offset: 0 });
  assert.deepEqual(
    events
      .sort((a, b) => a.timestampUs - b.timestampUs)
      .map(
        ({ eventType, ipAddress, details }) =>
          `${eventType} ${ipAddress} ${details.client_name} ${details.reason ?? ''}`,
      ),
    [
      'connection_started 10.0.0.1:5000 null ',
      'connection_lost 10.0.0.1:5000 LAPTOP ',
      'connection_started 10.0.0.1:6000 LAPTOP ',
      'connection_ended 10.0.0.1:6000 LAPTOP client_disconnected',
    ],
  );
});

check('a recording that was recovered after a crash is as long as it was, and is no failure', async (made) => {
  await made.admit('s1');
  const startUs = made.clock.us;
  await made.start('s1', startUs);
  await made.pipeline.report({
    kind: 'progress',
    sessionId: 's1',
    statistics: { ...statistics, durationUs: 5_000_000 },
  });
  await made.putChunk('s1', 0);
  const none = { framesCount: 7, relayedBytes: 0, framesDropped: 0, errorsCount: 1, durationUs: 0, updatesCount: 0 };
  const crashed = { reason: 'recorder_crashed', message: 'it died', failed: false, recovered: true } as const;
  await made.pipeline.report({
    kind: 'ended',
    sessionId: 's1',
    atUs: startUs + 8_000_000,
    ...crashed,
    statistics: none,
  });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  const session = await sessionOf(made, 's1');
  assert.deepEqual(
    [session.outcome, session.end_reason, session.statistics.duration_seconds],
    ['recovered', 'recorder_crashed', 8],
  );
  const { framesCount } = await made.storage.sessionTotals({ sessionId: 's1' });
  assert.equal(session.statistics.frame_count, framesCount, 'what its chunks hold');
});

check(
  'one whose recorder told its end and died before that was durable was recovered, and ended as it told',
  async (made) => {
    await made.admit('s1');
    await made.start('s1', made.clock.us);
    await made.putChunk('s1', 0);
    const told = { reason: 'client_disconnected', message: 'bye', failed: false, statistics } as const;
    await made.pipeline.report({ kind: 'ended', sessionId: 's1', atUs: made.clock.us + 1, ...told });
    const crashed = { reason: 'recorder_crashed', message: 'it died', failed: false, recovered: true } as const;
    await made.pipeline.report({ kind: 'ended', sessionId: 's1', atUs: made.clock.us + 2, ...crashed, statistics });
    await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
    await made.until('s1', 'completed');
    const { outcome, end_reason } = await sessionOf(made, 's1');
    assert.deepEqual([outcome, end_reason], ['recovered', 'client_disconnected']);
  },
);

check('frames nobody can count are unknown in the end, and not none', async (made) => {
  const { sessionTotals } = made.storage;
  // Rows that were made again from leaves.
  made.storage.sessionTotals = async (of) => ({ ...(await sessionTotals(of)), framesCount: null, updatesCount: null });
  await made.admit('s1');
  await made.start('s1', made.clock.us);
  await made.putChunk('s1', 0);
  const crashed = { reason: 'recorder_crashed', message: 'it died', failed: false, recovered: true } as const;
  const none = { framesCount: 0, relayedBytes: 0, framesDropped: 0, errorsCount: 1, durationUs: 0, updatesCount: 0 };
  await made.pipeline.report({ kind: 'ended', sessionId: 's1', atUs: made.clock.us + 1, ...crashed, statistics: none });
  const unknown = async () => {
    const { frame_count, average_fps } = (await sessionOf(made, 's1')).statistics;
    assert.deepEqual([frame_count, average_fps], [null, null]);
  };
  await unknown();
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  await unknown();
});

check('one that died while it waited for its client ended when it lost it', async (made) => {
  await made.admit('s1');
  const startUs = made.clock.us;
  await made.start('s1', startUs);
  const lost = { kind: 'lost', sessionId: 's1', atUs: startUs + 3_000_000, untilUs: startUs + 303_000_000 } as const;
  await made.pipeline.report({ ...lost, message: 'lost' });
  await made.putChunk('s1', 0);
  const crashed = { reason: 'recorder_crashed', message: 'it died', failed: false, recovered: true } as const;
  const none = { framesCount: 7, relayedBytes: 0, framesDropped: 0, errorsCount: 1, durationUs: 0, updatesCount: 0 };
  await made.pipeline.report({
    kind: 'ended',
    sessionId: 's1',
    atUs: startUs + 60_000_000,
    ...crashed,
    statistics: none,
  });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  assert.equal((await sessionOf(made, 's1')).statistics.duration_seconds, 3);
});

check('frames that are missing, a refusal and a client that never came are told apart', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  const gap = { kind: 'gap', fromUs: 6, toUs: 7, reason: 'disk_full: no space', framesLost: 3 } as const;
  await made.pipeline.report({ kind: 'fact', sessionId: 's1', fact: gap });
  await made.record('s1');
  await made.until('s1', 'completed');
  assert.equal((await sessionOf(made, 's1')).outcome, 'gap');
  for (const [sessionId, told] of [
    ['s2', 'never_connected'],
    ['s3', 'refused'],
  ] as const) {
    await made.pipeline.create({ session: sampleSession(sessionId), routeTokenSha256: null });
    await made.pipeline.start({ sessionId });
    if (told === 'refused')
      await made.pipeline.attempted({ ...attempt, sessionId, outcome: 'refused', reason: 'target_denied' });
    const { session } = await made.pipeline.stop({ sessionId, reason: '' });
    assert.deepEqual([session.status, session.outcome], ['stopped', told]);
  }
});

check('of a listener, a recording that could not be opened leaves no session', async (made) => {
  made.processor.open = () => Promise.reject(new LucidError('unavailable', 'processor is away'));
  const refusal = await made.connect({ kind: 'listener', target: 'desk' });
  assert.deepEqual([refusal.admitted, refusal.admitted || refusal.code], [false, 'unavailable']);
  await made.until('new-1', 'deleted');
});

check('a session whose chunks could never be compressed does not begin, and says why', async (made) => {
  await made.storage.createSession({ session: sampleSession('s1', { status: 'created' }), routeTokenSha256: null });
  await made.pipeline.start({ sessionId: 's1' });
  made.processor.open = () => Promise.reject(new LucidError('compression', 'the LZ4 codec is not here'));
  const answer = await admitBy(made, 's1');
  assert.deepEqual(answer, { admitted: false, code: 'unavailable', message: 'the LZ4 codec is not here' });
  assert.equal((await sessionOf(made, 's1')).end_message, 'the LZ4 codec is not here');
});

check('chunks that are refused after the end are told in the session, until they are stored', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  const refused = { kind: 'not_stored', sessionId: 's1', message: "chunk 0 can't be stored: damaged" } as const;
  await made.pipeline.report(refused);
  assert.equal((await sessionOf(made, 's1')).end_message, null, 'a running session is ended by its recorder');
  const ended = { kind: 'ended', sessionId: 's1', atUs: 9, reason: 'client_disconnected', failed: false } as const;
  await made.pipeline.report({ ...ended, message: 'bye', statistics });
  await made.pipeline.report(refused);
  assert.equal((await sessionOf(made, 's1')).end_message, "bye; chunk 0 can't be stored: damaged");
  await made.putChunk('s1', 0);
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  assert.equal((await sessionOf(made, 's1')).end_message, 'bye');
});

check('drained may come before ended', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  await made.putChunk('s1', 0);
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.pipeline.report({
    kind: 'ended',
    sessionId: 's1',
    atUs: 9,
    reason: 'recording_not_persisted',
    message: 'spool full',
    failed: true,
    statistics,
  });
  await made.until('s1', 'failed');
  assert.equal((await sessionOf(made, 's1')).pipeline_state, 'stopped');
});

check('pause and resume', async (made) => {
  await made.admit('s1');
  await assert.rejects(made.pipeline.pause({ sessionId: 's1' }), { code: 'LUCID_ERR_3004' });
  await made.start('s1', 5);
  await assert.rejects(made.pipeline.resume({ sessionId: 's1' }), { code: 'LUCID_ERR_3004' }, 'it was never paused');
  const { session, atUs } = await made.pipeline.pause({ sessionId: 's1' });
  assert.deepEqual([session.status, atUs], ['paused', made.clock.us]);
  await made.pipeline.report({ kind: 'paused', sessionId: 's1', atUs });
  // Asked again by whoever lost the answer, also by way of another pipeline: it is paused.
  const again = await made.pipeline.pause({ sessionId: 's1' });
  assert.deepEqual([again.session.status, again.atUs], ['paused', atUs]);
  assert.equal((await made.pipeline.status({ sessionId: 's1' })).status?.pipelineStatus, 'paused');
  made.clock.us += 7;
  const resumed = await made.pipeline.resume({ sessionId: 's1' });
  assert.deepEqual([resumed.session.status, resumed.atUs], ['recording', atUs + 7]);
  made.clock.us += 7;
  assert.deepEqual(await made.pipeline.resume({ sessionId: 's1' }), resumed);
  await made.pipeline.report({ kind: 'paused', sessionId: 's1', atUs });
  assert.equal(await stateOf(made, 's1'), 'recording active', 'a pause that is told late is over');
  made.recorder.pause = () => Promise.reject(new LucidError('unavailable', 'recorder is away'));
  await assert.rejects(made.pipeline.pause({ sessionId: 's1' }), { code: 'LUCID_ERR_3016' });
  assert.equal(await stateOf(made, 's1'), 'recording active');
});

check('who pauses a session and dies in it leaves it to whoever asks again, and to its recorder', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  const { pause } = made.recorder;
  const dies = async () => {
    made.recorder.pause = () => new Promise(() => {});
    void made.pipeline.pause({ sessionId: 's1' });
    await eventually('the pause', async () => (await stateOf(made, 's1')) === 'recording pausing');
    made.recorder.pause = pause;
  };
  await dies();
  const { atUs } = await made.pipeline.pause({ sessionId: 's1' });
  assert.deepEqual([await stateOf(made, 's1'), atUs], ['paused paused', made.clock.us]);
  made.clock.us += 1;
  await made.pipeline.resume({ sessionId: 's1' });
  await dies();
  await made.service.reconcile();
  assert.equal(await stateOf(made, 's1'), 'recording active', 'its recorder does not know of it');
  await dies();
  made.recorder.paused.set('s1', made.clock.us);
  await made.service.reconcile();
  assert.equal(await stateOf(made, 's1'), 'paused paused');
  // The call failed, and had been done.
  await made.pipeline.resume({ sessionId: 's1' });
  made.clock.us += 1;
  await made.pipeline.report({ kind: 'paused', sessionId: 's1', atUs: made.clock.us });
  assert.equal(await stateOf(made, 's1'), 'paused paused');
});

check('what a recorder tells of an earlier recording does not touch the one the session has now', async (made) => {
  const first = await made.admit('s1');
  assert.equal(first.recordingNumber, 1);
  const endOf = (recordingNumber: number) =>
    ({
      ...({
        kind: 'ended',
        sessionId: 's1',
        recordingNumber,
        atUs: 5,
        reason: 'recorder_crashed',
        failed: true,
      } as const),
      ...{ message: 'it died', statistics },
    }) as const;
  await made.pipeline.report(endOf(1));
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', recordingNumber: 1, chunksCount: 0 });
  assert.equal(await stateOf(made, 's1'), 'starting starting');
  const late = [
    ...[endOf(1), { kind: 'drained', sessionId: 's1', recordingNumber: 1, chunksCount: 3 } as const],
    ...[
      { kind: 'lost', sessionId: 's1', recordingNumber: 1, atUs: 6, untilUs: 9, message: 'gone' } as const,
      { kind: 'paused', sessionId: 's1', recordingNumber: 1, atUs: 6 } as const,
      { kind: 'progress', sessionId: 's1', recordingNumber: 1, statistics } as const,
      { kind: 'not_stored', sessionId: 's1', recordingNumber: 1, message: 'refused' } as const,
    ],
    {
      ...({ kind: 'started', sessionId: 's1', recordingNumber: 1, atUs: 4, recorderId: 'recorder-1' } as const),
      ...{ connectionId: 'first', clientAddress: '10.0.0.9:1', targetAddress: '10.0.0.2:3389' },
    },
  ];
  for (const report of late) await made.pipeline.report(report);
  assert.equal(await stateOf(made, 's1'), 'starting starting', 'it waits for its client');
  const second = await admitBy(made, 's1');
  assert.equal(second.admitted && second.ticket.recordingNumber, 2);
  await made.start('s1', 10);
  const before = await sessionOf(made, 's1');
  for (const report of late) await made.pipeline.report(report);
  assert.deepEqual(await sessionOf(made, 's1'), before);
  const fact = { kind: 'downgrade', atUs: 4, what: 'of the first' } as const;
  await made.pipeline.report({ kind: 'fact', sessionId: 's1', recordingNumber: 1, fact });
  await made.putChunk('s1', 0);
  await made.pipeline.report({ ...endOf(2), atUs: 20, reason: 'client_disconnected', failed: false, message: 'bye' });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', recordingNumber: 2, chunksCount: 1 });
  await made.until('s1', 'completed');
  assert.equal((await sessionOf(made, 's1')).end_message, 'bye');
  assert.match(made.calls.join(), /finish s1 client_disconnected facts:1/);
});

check('a recorder that pauses or resumes by itself is followed', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  await made.pipeline.pause({ sessionId: 's1' });
  await made.pipeline.report({ kind: 'resumed', sessionId: 's1', atUs: 6 });
  assert.equal(await stateOf(made, 's1'), 'recording active');
  await made.pipeline.report({ kind: 'resumed', sessionId: 's1', atUs: 6 });
  assert.equal(await stateOf(made, 's1'), 'recording active');
});

check('stopping ends the recording; the recorder may report the end later and better', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  await made.putChunk('s1', 0);
  const { session } = await made.pipeline.stop({ sessionId: 's1', reason: 'audit' });
  assert.deepEqual([session.status, session.end_reason, session.end_message], ['stopped', 'stopped', 'audit']);
  assert.equal(session.statistics.duration_seconds, 0);
  // Whoever waited for the answer no longer asks another pipeline.
  assert.deepEqual((await made.pipeline.stop({ sessionId: 's1', reason: 'audit' })).session, session);
  await made.pipeline.report({
    kind: 'ended',
    sessionId: 's1',
    atUs: 7,
    reason: 'stopped',
    message: 'audit',
    failed: false,
    statistics,
  });
  assert.equal((await sessionOf(made, 's1')).statistics.duration_seconds, 10);
  await assert.rejects(made.pipeline.remove({ sessionId: 's1' }), { code: 'LUCID_ERR_3004' });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
  assert.equal(made.calls.filter((call) => call === 'stop s1 stopped').length, 1);
  await assert.rejects(made.pipeline.stop({ sessionId: 's1', reason: '' }), { code: 'LUCID_ERR_3004' });
  await assert.rejects(
    made.pipeline.start({ sessionId: 's1' }),
    { code: 'LUCID_ERR_3004', message: /start is not possible now/ },
    'a chain is closed for good',
  );
});

check('a stop that could not reach the recorder can be sent again', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  const { stop } = made.recorder;
  made.recorder.stop = () => Promise.reject(new LucidError('unavailable', 'recorder is away'));
  await assert.rejects(made.pipeline.stop({ sessionId: 's1', reason: '' }), { code: 'LUCID_ERR_3016' });
  made.recorder.stop = stop;
  assert.equal((await made.pipeline.stop({ sessionId: 's1', reason: '' })).session.status, 'stopped');
});

check('a session that waits for nobody is stopped without a recording and can be started again', async (made) => {
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  await made.pipeline.start({ sessionId: 's1' });
  await made.pipeline.start({ sessionId: 's1' });
  assert.equal((await made.pipeline.stop({ sessionId: 's1', reason: '' })).session.status, 'stopped');
  assert.deepEqual(made.calls, []);
  assert.equal((await made.pipeline.start({ sessionId: 's1' })).session.status, 'starting');
  await made.pipeline.remove({ sessionId: 's1' });
});

check(
  'progress is written at most every so often, and only for live sessions',
  async (made) => {
    await made.admit('s1');
    await made.pipeline.report({ kind: 'progress', sessionId: 's1', statistics });
    assert.equal((await sessionOf(made, 's1')).statistics.frame_count, 100);
    await made.pipeline.report({ kind: 'progress', sessionId: 's1', statistics: { ...statistics, framesCount: 200 } });
    assert.equal((await sessionOf(made, 's1')).statistics.frame_count, 100);
    made.clock.us += 5_000_000;
    await made.pipeline.report({ kind: 'progress', sessionId: 's1', statistics: { ...statistics, framesCount: 300 } });
    assert.equal((await sessionOf(made, 's1')).statistics.frame_count, 300);
  },
  { progressMs: 5000 },
);

check('reports that come twice, late or for sessions nobody knows', async (made) => {
  await made.admit('s1');
  await made.record('s1');
  await made.until('s1', 'completed');
  const before = await sessionOf(made, 's1');
  await made.start('s1', 5);
  await made.pipeline.report({ kind: 'paused', sessionId: 's1', atUs: 5 });
  await made.pipeline.report({ kind: 'progress', sessionId: 's1', statistics });
  const end = { reason: 'recorder_crashed', message: 'late', failed: true } as const;
  await made.pipeline.report({ kind: 'ended', sessionId: 's1', atUs: 9, ...end, statistics });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  assert.deepEqual(await sessionOf(made, 's1'), before);
  await assert.rejects(made.pipeline.report({ kind: 'paused', sessionId: 'nobody', atUs: 5 }), {
    code: 'LUCID_ERR_3001',
  });
});

check('deleting signs the erasure, shreds and frees, and can not be done twice', async (made) => {
  await made.admit('s1');
  await assert.rejects(made.pipeline.remove({ sessionId: 's1' }), { code: 'LUCID_ERR_3004' });
  await made.record('s1');
  await made.until('s1', 'completed');
  await made.storage.putWraps({
    sessionId: 's1',
    wraps: [{ scheme: 'local', recipient: 'r', keyId: 'ab'.repeat(16), wrapped: new Uint8Array(3) }],
  });
  assert.deepEqual(await made.pipeline.remove({ sessionId: 's1' }), { deletedAtUs: made.clock.us });
  await made.until('s1', 'deleted');
  for (let left = 200; left > 0 && (await stateOf(made, 's1')) !== 'deleted destroyed'; left--)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(await stateOf(made, 's1'), 'deleted destroyed');
  const [erase] = (await made.storage.getRecords({ sessionId: 's1', kind: 'erase' })).records;
  assert.match(text(erase?.record), /"reason":"deleted".*"dek_id":"abab/);
  assert.equal((await made.storage.readChunk({ sessionId: 's1', index: 0 })).file, null);
  assert.deepEqual((await made.storage.getWraps({ sessionId: 's1' })).wraps, []);
  assert.equal(made.entries.length, 3);
  await assert.rejects(made.pipeline.remove({ sessionId: 's1' }), { code: 'LUCID_ERR_3001' });
  await assert.rejects(made.pipeline.control({ sessionId: 's1', action: 'pause' }), { code: 'LUCID_ERR_3004' });
});

check('a manifest that can not be made is retried, then said, then resumed', async (made) => {
  const { finish } = made.processor;
  let tries = 0;
  made.processor.finish = () => {
    tries += 1;
    return Promise.reject(new LucidError('encryption', 'no identity key'));
  };
  await made.admit('s1');
  await made.record('s1');
  await made.until('s1', 'failed');
  assert.equal(tries, 4, 'once and three retries');
  const session = await sessionOf(made, 's1');
  assert.equal(session.pipeline_state, 'error');
  assert.match(session.end_message ?? '', /no identity key/);
  const { status } = await made.pipeline.status({ sessionId: 's1' });
  const manifest = status?.stages.find(({ stageName }) => stageName === 'manifest');
  assert.deepEqual([manifest?.status, manifest?.retryCount, manifest?.lastError], ['error', 3, 'no identity key']);
  assert.equal((await made.pipeline.health()).status, 'degraded');
  made.processor.finish = finish;
  await made.pipeline.control({ sessionId: 's1', action: 'resume' });
  await made.until('s1', 'completed');
});

check('processing can be held back and let go', async (made) => {
  await made.admit('s1');
  const paused = await made.pipeline.control({ sessionId: 's1', action: 'pause' });
  assert.equal(paused.status.state, 'starting');
  await made.record('s1');
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(await stateOf(made, 's1'), 'processing stopping');
  const { status } = await made.pipeline.status({ sessionId: 's1' });
  assert.equal(status?.pipelineStatus, 'paused');
  assert.equal(status?.stages.find(({ stageName }) => stageName === 'manifest')?.status, 'paused');
  await made.pipeline.control({ sessionId: 's1', action: 'resume' });
  await made.until('s1', 'completed');
});

check('chunks that were promised but are not stored hold the manifest back', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  const hash = await made.putChunk('s1', 0);
  await made.pipeline.report({
    kind: 'ended',
    sessionId: 's1',
    atUs: 9,
    reason: 'stopped',
    message: '',
    failed: false,
    statistics,
  });
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 2 });
  await made.until('s1', 'failed');
  assert.match((await sessionOf(made, 's1')).end_message ?? '', /1 of 2 chunks/);
  await made.putChunk('s1', 1, hash);
  await made.pipeline.control({ sessionId: 's1', action: 'resume' });
  await made.until('s1', 'completed');
});

async function untilReceipt(made: World, sessionId: string, status: string): Promise<void> {
  for (let left = 400; left > 0; left--) {
    const { receipts } = await made.pipeline.anchor({ sessionId });
    if (receipts.some((receipt) => receipt.status === status)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`no receipt became ${status}: ${made.failures}`);
}

check('anchors are asked until they confirm, whatever is down meanwhile', async (made) => {
  const asked: string[] = [];
  let down = 1;
  made.anchors.push({
    backend: 'chain',
    submit: async ({ merkleRoot, chunksCount }) => {
      asked.push('submit');
      if (down-- > 0) throw new LucidError('anchoring', 'not reachable', { status: 502 });
      assert.equal(chunksCount, 1);
      return receiptOf('chain', 'pending', merkleRoot);
    },
    check: async ({ merkleRoot }) => {
      asked.push('check');
      return receiptOf('chain', 'confirmed', merkleRoot);
    },
  });
  await made.admit('s1');
  await made.record('s1');
  await untilReceipt(made, 's1', 'confirmed');
  assert.deepEqual(asked, ['submit', 'submit', 'check']);
  assert.equal((await sessionOf(made, 's1')).status, 'completed');
  const { status } = await made.pipeline.status({ sessionId: 's1' });
  assert.equal(status?.stages.find(({ stageName }) => stageName === 'anchoring_chain')?.status, 'completed');
});

check('an anchor that refuses for good is a failed receipt, not a failed session', async (made) => {
  made.anchors.push({
    backend: 'chain',
    submit: () => Promise.reject(new LucidError('anchoring', 'another root under our id', { status: 500 })),
    check: async () => null,
  });
  await made.admit('s1');
  await made.record('s1');
  await untilReceipt(made, 's1', 'failed');
  const { receipts } = await made.pipeline.anchor({ sessionId: 's1' });
  assert.equal(receipts[0]?.detail, 'another root under our id');
  assert.equal((await sessionOf(made, 's1')).status, 'completed');
});

check('after a crash a session whose recorder is gone is driven to its end', async (made) => {
  await made.admit('s1');
  await made.start('s1', made.clock.us);
  await made.putChunk('s1', 0);
  await made.restart();
  const again = await admitBy(made, 's1');
  assert.ok(again.admitted && again.ticket.reconnects);
  made.recorder.alive.clear();
  await made.service.reconcile();
  assert.equal(await stateOf(made, 's1'), 'recording active', 'it may be between two moments');
  made.clock.us += 31_000_000;
  await made.service.reconcile();
  assert.equal(await stateOf(made, 's1'), 'stopped stopping');
  made.clock.us += 601_000_000;
  await made.service.reconcile();
  await made.until('s1', 'failed');
  const session = await sessionOf(made, 's1');
  assert.deepEqual([session.pipeline_state, session.end_reason], ['stopped', 'recorder_crashed']);
});

check('an end that was only concluded is not before chunks that came meanwhile', async (made) => {
  await made.admit('s1');
  await made.start('s1', made.clock.us);
  const chunk = sampleChunk('s1', 0, null);
  // Its recorder was out of the pipeline's reach, not out of the processor's.
  const closedUs = made.clock.us + 600_000_000;
  new DataView(chunk.leaf.buffer).setBigUint64(40, BigInt(closedUs));
  const leafHash = createHash('sha256').update(Uint8Array.of(0)).update(chunk.leaf).digest('hex');
  const { epoch } = await made.storage.acquireLease({ sessionId: 's1', owner: 'p', ttlMs: 1000 });
  await made.storage.putChunk({ ...chunk, epoch, metadata: { ...chunk.metadata, closedUs, leafHash } });
  const { finish } = made.processor;
  let endedUs = 0;
  made.processor.finish = (request) => {
    ({ endedUs } = request);
    return finish(request);
  };
  made.recorder.alive.clear();
  for (const seconds of [31, 601]) {
    await made.service.reconcile();
    made.clock.us += seconds * 1_000_000;
  }
  await made.service.reconcile();
  await made.until('s1', 'failed');
  assert.equal(endedUs, closedUs);
});

check('a recorder that came back and has nothing of a session is believed: no wait for chunks', async (made) => {
  for (const [id, chunks] of [
    ['s1', 1],
    ['s2', 0],
  ] as const) {
    await made.admit(id);
    await made.start(id, made.clock.us);
    if (chunks > 0) await made.putChunk(id, 0);
  }
  await made.restart();
  made.recorder.alive.clear();
  for (let looks = 0; looks < 3; looks += 1) {
    made.clock.us += 31_000_000;
    await made.service.reconcile();
  }
  // What was stored is all there is of the one; the other died before its first frame was durable, and waits again.
  await made.until('s1', 'failed');
  const again = await sessionOf(made, 's2');
  assert.deepEqual([again.status, again.started_at, again.end_reason], ['starting', null, null]);
  const admitted = await admitBy(made, 's2');
  assert.ok(admitted.admitted && !admitted.ticket.reconnects);
});

check('a recorder that does not answer is waited for, and its own report is the better one', async (made) => {
  await made.admit('s1');
  await made.start('s1', made.clock.us);
  await made.putChunk('s1', 0);
  const { live } = made.recorder;
  made.recorder.live = () => Promise.reject(new Error('no answer'));
  await made.service.reconcile();
  made.clock.us += 60_000_000;
  await made.service.reconcile();
  assert.equal(await stateOf(made, 's1'), 'recording active');
  made.clock.us += 300_000_000;
  await made.service.reconcile();
  assert.equal(await stateOf(made, 's1'), 'stopped stopping');
  made.recorder.live = live;
  await made.record('s1');
  await made.until('s1', 'completed');
  assert.equal((await sessionOf(made, 's1')).end_reason, 'client_disconnected');
});

check('a crash between journal and state is repaired', async (made) => {
  await made.admit('s1');
  await made.start('s1', 5);
  await made.putChunk('s1', 0);
  const { replaceSession } = made.storage;
  made.storage.replaceSession = () => Promise.reject(new LucidError('unavailable', 'crash'));
  const end = { reason: 'stopped', message: '', failed: false } as const;
  await assert.rejects(
    made.pipeline.report({ kind: 'ended', sessionId: 's1', atUs: made.clock.us, ...end, statistics }),
  );
  made.storage.replaceSession = replaceSession;
  assert.equal(await stateOf(made, 's1'), 'recording active');
  await made.restart();
  assert.equal(await stateOf(made, 's1'), 'stopped stopping');
  await made.pipeline.report({ kind: 'drained', sessionId: 's1', chunksCount: 1 });
  await made.until('s1', 'completed');
});

check('another writer of the document is no obstacle', async (made) => {
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  const { replaceSession } = made.storage;
  let rivals = 3;
  made.storage.replaceSession = async (request) => {
    if (rivals-- > 0) {
      const current = await sessionOf(made, 's1');
      await replaceSession({ session: { ...current, version: current.version + 1 }, expectedVersion: current.version });
    }
    return replaceSession(request);
  };
  assert.equal((await made.pipeline.start({ sessionId: 's1' })).session.version, 5);
  rivals = 1000;
  await assert.rejects(made.pipeline.stop({ sessionId: 's1', reason: '' }), { code: 'LUCID_ERR_3020' });
});

check('the same over HTTP', async (made) => {
  const serviceSecret = 'test secret of the services, 32 or more';
  const limits = { ...defaultLimits, progressMs: 0, cookieRoute: true };
  const server = createPipelineServer({ host: '127.0.0.1', port: 0, serviceSecret, limits }, made.deps());
  const { address } = await server.start();
  const client = rpcClient('pipeline', address, { token: serviceSecret });
  made.pipeline = client;
  await made.admit('s1');
  await made.record('s1');
  await made.until('s1', 'completed');
  assert.equal((await client.anchor({ sessionId: 's1' })).log?.logIndex, 1);
  assert.equal((await client.status({ sessionId: 'nobody' })).status, null);
  await assert.rejects(client.anchor({ sessionId: 'nobody' }), { code: 'LUCID_ERR_3001', status: 404 });
  assert.deepEqual(await client.status({ sessionId: 's1' }), await server.service.status({ sessionId: 's1' }));
  await server.dispose();
});

check('a new session begins at the beginning', async (made) => {
  const session = sampleSession('s1', { status: 'completed' });
  await assert.rejects(made.pipeline.create({ session, routeTokenSha256: null }), { code: 'LUCID_ERR_3002' });
  await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null });
  assert.deepEqual(await made.pipeline.create({ session: sampleSession('s1'), routeTokenSha256: null }), {
    created: false,
  });
  await assert.rejects(made.pipeline.start({ sessionId: 'nobody' }), { code: 'LUCID_ERR_3001' });
});

check('it says when what it stands on is not well', async (made) => {
  made.storage.health = async () => ({ service: 'storage', status: 'unhealthy', message: null, details: {} });
  assert.equal((await made.pipeline.health()).status, 'unhealthy');
  made.storage.health = () => Promise.reject(new Error('gone'));
  assert.equal((await made.pipeline.health()).status, 'unhealthy');
});

test('waits grow and are spread over their whole range', () => {
  const limits = { backoffBaseMs: 1000, backoffMaxMs: 60_000 };
  assert.equal(backoffMs(0, limits, 0.5), 500);
  assert.equal(backoffMs(3, limits, 0.5), 4000);
  assert.equal(backoffMs(1000, limits, 0.999), 59_940);
  assert.equal(backoffMs(5, limits, 0), 0);
});

test('the environment is read once', () => {
  const secret = { LUCID_SERVICE_SECRET: 'x'.repeat(32) };
  const config = readPipelineEnv({ ...secret, MAX_CONCURRENT_SESSIONS: '7' });
  assert.deepEqual([config.port, config.limits.concurrentSessionsMax], [8083, 7]);
  assert.deepEqual([config.limits.leaveIn, config.limits.bulkCompression], [[], true]);
  const changed = readPipelineEnv({ ...secret, RDP_LEAVE_IN: 'udp, graphics', RDP_BULK_COMPRESSION: 'off' }).limits;
  assert.deepEqual([changed.leaveIn, changed.bulkCompression], [['graphics', 'udp'], false]);
  assert.deepEqual(config.limits.channels, {});
  const ruled = readPipelineEnv({
    ...secret,
    RDP_CHANNELS: 'clipboard_files:off usb:on+allow:Contoso*+allow:x',
  }).limits;
  assert.deepEqual(ruled.channels, { clipboard_files: 'off', usb: true, allow: ['Contoso*', 'x'] });
  assert.throws(() => readPipelineEnv({ ...secret, RDP_CHANNELS: 'off' }), /RDP_CHANNELS must be none, or with \+/);
  for (const wrong of [{ RDP_LEAVE_IN: 'all' }, { RDP_LEAVE_IN: 'udp,,' }, { RDP_BULK_COMPRESSION: 'no' }])
    assert.throws(() => readPipelineEnv({ ...secret, ...wrong }), /RDP_(?:LEAVE_IN|BULK_COMPRESSION) must be/);
  assert.throws(() => readPipelineEnv({ ...secret, MAX_CONCURRENT_SESSIONS: '0' }), {
    variable: 'MAX_CONCURRENT_SESSIONS',
  });
});
