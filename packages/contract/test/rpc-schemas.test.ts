/** What the doors between services take: of every method a request as its port has it, and what is wrong with it named by field. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  checkRpcRequest,
  decodeRpc,
  encodeRpc,
  LucidError,
  noStatistics,
  type PortName,
  type Ports,
  type RecorderPort,
  recordingConfigSchema,
  rpcPorts,
  rpcRequests,
  rpcServer,
  type SessionDocument,
  noRecordingStatistics as statistics,
  storageConfigSchema,
} from '../src/index.ts';

type RequestOf<F> = F extends (...request: infer R) => unknown ? (R extends [infer First] ? First : undefined) : never;

const sessionId = 's1';
const bytes = new Uint8Array([1, 2, 3]);
const hash = 'ab'.repeat(32);
const session: SessionDocument = {
  session_id: sessionId,
  name: 'one',
  description: null,
  status: 'created',
  created_at: '2026-01-01T00:00:00.000Z',
  started_at: null,
  stopped_at: null,
  created_by: null,
  rdp_config: { host: 'h', port: 3389, use_tls: true, ignore_cert: false },
  recording_config: recordingConfigSchema.parse({}),
  storage_config: storageConfigSchema.parse({}),
  metadata: {},
  statistics: noStatistics,
  end_reason: null,
  end_message: null,
  merkle_root: null,
  version: 1,
  pipeline_state: 'created',
};
const metadata = {
  sessionId,
  chunkId: 's1.000001',
  index: 0,
  leafHash: hash,
  fileSha256: hash,
  fileBytes: 3,
  payloadBytes: 3,
  compression: 'zstd' as const,
  openedUs: 1,
  closedUs: 2,
  framesCount: null,
  updatesCount: 4,
  flags: 4,
  keyId: '',
};
const counts = { openedUs: 1, closedUs: 2, monotonicNs: 3, framesCount: 4, updatesCount: 5 };
const event = {
  ...{ eventId: 'e', timestampUs: 1, eventType: 't', userId: null, resourceId: null, ipAddress: null },
  ...{ userAgent: null, success: true, errorMessage: null, details: { any: ['thing'] } },
};
const attempt = { connectionId: 'c', sessionId: null, atUs: 1.5, clientAddress: 'a', clientName: null, message: '' };
const page = { limit: 10, offset: 0 };

/** The compiler holds each against the port's own type. */
const samples: { [P in PortName]: { [M in keyof Ports[P]]: RequestOf<Ports[P][M]> } } = {
  recorder: {
    stop: { sessionId, reason: 'stopped', message: '' },
    pause: { sessionId },
    resume: { sessionId },
    message: { sessionId, from: 'alice', text: 'we stop at six', seconds: 20 },
    steer: { sessionId, by: 'alice' },
    live: undefined,
    liveFrames: { sessionId, afterFrame: 0, waitMs: 20_000 },
    judgeTarget: { host: 'h', port: 3389 },
    checkTarget: { host: 'h', port: 3389, legacyTls: false },
    drain: undefined,
    replicaState: { recorderId: 'r', begins: false },
    replicate: {
      recorderId: 'r',
      writes: [{ sessionId: 's-1', index: 3, at: 204, bytes: new Uint8Array(9) }],
      removals: [{ sessionId: 's-1', index: 2 }],
    },
    importCapture: {
      ...{ sessionId, name: 'n', description: null, by: 'b', sourceName: 's', sourceSha256: hash },
      ...{ metadata: { project: 'p' }, retentionDays: null, capture: bytes },
    },
    health: undefined,
  },
  processor: {
    open: { session, openedUs: 1, checkpoint: null, persistence: 'strict', graphics: 'classic' },
    seal: { sessionId, index: 0, final: true, recovered: false, gapBefore: false, ...counts, payload: bytes },
    finish: {
      session,
      ...{ reason: 'imported', message: '', endedUs: 1 },
      facts: [
        { kind: 'gap', fromUs: 1, toUs: null, reason: 'paused', framesLost: 0 },
        { kind: 'target_certificate', atUs: 1, sha256: hash, check: 'pinned', valid: true },
        { kind: 'approval', atUs: 1, by: 'bob', reason: 'change 12' },
        { kind: 'consent', atUs: 1, textSha256: 'a'.repeat(64), user: 'u' },
        { kind: 'client_logon', atUs: 1, user: 'u', workstation: '', targetName: '', version: 6 },
        { kind: 'target_logon', atUs: 1, user: 'LAB\\alice', method: 'ntlm', envelope: 'raw', credsspVersion: 6 },
      ],
      statistics: { ...statistics, framesCount: null, updatesCount: null },
    },
    signRecord: { sessionId, kind: 'custody', body: { at_us: 1 } },
    follow: { sessionId },
    health: undefined,
  },
  storage: {
    createSession: { session, routeTokenSha256: null },
    getSession: { sessionId },
    findSession: { route: { cookie: 'alice' } },
    setRouteToken: { sessionId, tokenSha256: hash },
    listSessions: {
      ...page,
      ...{ status: 'failed', search: 'x', held: true, user: 'ada', client: 'pc1', target: 'h:3389', tag: 'blue' },
      ...{ from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z', durationMin: 1.5, durationMax: 60 },
      ...{ sizeMin: 0, sizeMax: 9, outcome: 'gap', replay: 'parts', sort: 'size', descending: false },
    },
    countSessions: undefined,
    replaceSession: { session, expectedVersion: 0 },
    purgeSession: { sessionId },
    acquireLease: { sessionId, owner: 'o', ttlMs: 1.5 },
    releaseLease: { sessionId, owner: 'o' },
    putChunk: { metadata, epoch: 1, leaf: bytes, seal: bytes, file: bytes },
    listChunks: { sessionId, ...page, fromUs: 1 },
    getChunk: { sessionId, index: 2 ** 31 },
    sessionTotals: { sessionId },
    readChunk: { sessionId, index: 0 },
    readLeaves: { sessionId },
    putRecord: { sessionId, kind: 'open', record: bytes, place: 0 },
    getRecords: { sessionId, kind: 'replay' },
    putWraps: { sessionId, wraps: [{ scheme: 'age', recipient: 'r', keyId: 'k', wrapped: bytes }] },
    getWraps: { sessionId },
    holdFiles: { sessionId, held: true },
    putSidecar: { sessionId, name: 'index-000001.bin', bytes },
    getSidecar: { sessionId, name: 'a' },
    appendAudit: event,
    listAudit: { ...page, userId: 'u' },
    getEntry: { kind: 'user', id: 'ada' },
    putEntry: { kind: 'token', id: 't', owner: 'ada', value: { name: 'ci' }, version: 1, untilUs: null },
    listEntries: { kind: 'sign_in', owner: 'ada', after: '', limit: 1000 },
    removeEntry: { kind: 'user', id: 'ada', version: 2 },
    chainHeads: { sessionIds: ['s1'] },
    auditHead: undefined,
    auditRows: { from: 0, limit: 100 },
    statistics: undefined,
    health: undefined,
  },
  pipeline: {
    setHold: { sessionId, holdId: randomUUID(), reference: 'm', reason: 'r', by: 'u' },
    clearHold: { sessionId, holdId: randomUUID(), reason: 'r', by: 'u' },
    create: {
      session,
      routeTokenSha256: hash,
      targetCredentials: {
        source: 'injected',
        credentials: { username: 'u', domain: '', password: 'p' },
        keep: 'session',
      },
    },
    keepTargetSecret: { secretId: randomUUID(), host: 'h', targetCredentials: { source: 'client' } },
    dropTargetSecret: { secretId: randomUUID() },
    takeOverSpool: { recorderId: 'r', by: 'q', quietSeconds: 60 },
    recorderHere: { recorderId: 'r', url: 'http://10.0.0.7:8084', sessions: 2, sessionsMax: 100, draining: false },
    recorders: undefined,
    recorderOf: { sessionId },
    find: {
      ...{ connectionId: 'c', clientAddress: 'a', clientName: null, recorderId: 'r' },
      route: { kind: 'listener', target: 'h:1', leaveIn: ['udp'], retentionDays: null },
    },
    targetCredentials: { connectionId: 'c' },
    approval: { connectionId: 'c', user: 'ann' },
    approvals: undefined,
    decideApproval: { sessionId, connectionId: 'c', approve: true, by: 'bob', reason: 'change 12' },
    askViewing: {
      viewing: {
        ...{ viewingId: 'v', sessionId, by: 'ann', reason: 'incident 7', use: 'once', minutes: 60 },
        approval: true,
        threshold: 2,
      },
    },
    viewings: { sessionId },
    decideViewing: { sessionId, viewingId: 'v', approve: true, by: 'bob', reason: 'incident 7' },
    giveShare: { sessionId, viewingId: 'v', share: { index: 1, by: 'bob', box: 'AAAA' } },
    useViewing: { sessionId, viewingId: 'v', operation: 'getKey', handsOut: true },
    unlockerHere: { processId: 'p', recipient: 'age1' },
    unlockers: undefined,
    issueCredential: { sessionId },
    issueBrowserToken: { sessionId, userId: 'ann' },
    logonAccount: { connectionId: 'c', user: 'lucid-a' },
    logonTried: { connectionId: 'c', user: 'lucid-a', clientAddress: 'a', outcome: 'wrong' },
    admit: { connectionId: 'c' },
    beginImport: { session, recorderId: 'r' },
    attempted: { ...attempt, outcome: 'refused', reason: 'in_use', count: 0 },
    report: {
      ...{ kind: 'ended', sessionId, atUs: 1, reason: 'stopped', message: '', failed: false },
      statistics,
    },
    start: {
      sessionId,
      targetCredentials: {
        source: 'vault',
        reference: { engine: 'kv', mount: 'secret', path: 'a/b', username: null, domain: null },
        keep: 'once',
      },
    },
    stop: { sessionId, reason: '' },
    pause: { sessionId },
    resume: { sessionId },
    message: { sessionId, from: 'alice', text: 'we stop at six', seconds: 20 },
    steer: { sessionId, by: 'alice' },
    remove: { sessionId },
    erase: { sessionId, actor: 'a', reason: 'r' },
    examined: { sessionId, software: 's', counted: { frames: 1 } },
    alertRules: { sessionId },
    alertsFound: {
      ...{ sessionId, chunkIndex: 0, last: true, skipped: 0 },
      progress: { minutes: [[0, 1, 0, 2, 1, 0, 0]], raised: { 'r.1': 0 } },
      hits: [{ ruleId: randomUUID(), timeUs: 1, atUs: 2, more: 0 }],
    },
    status: { sessionId },
    control: { sessionId, action: 'resume' },
    anchor: { sessionId },
    custodyAdded: { sessionId: 's1' },
    logProofs: { sessionId },
    renew: undefined,
    auditProof: undefined,
    logCheckpoint: undefined,
    health: undefined,
  },
};

const all = Object.entries(samples).flatMap(([port, methods]) =>
  Object.entries(methods).map(([method, request]) => ({ port: port as PortName, method, request: request as unknown })),
);
const over = (request: unknown) => decodeRpc(encodeRpc(request));

test('every method has a schema, which takes what the port takes, over the wire too', () => {
  for (const [port, methods] of Object.entries(rpcPorts))
    assert.deepEqual(Object.keys(rpcRequests[port as PortName]).sort(), Object.keys(methods).sort());
  for (const { port, method, request } of all) checkRpcRequest(port, method, over(request));
});

test('a field that is missing or of another type is named, in every request', () => {
  for (const { port, method, request } of all) {
    if (request === undefined) continue;
    const fields = Object.entries(request as Record<string, unknown>);
    for (const [field, value] of fields) {
      const wrong = typeof value === 'boolean' ? 'true' : true;
      assert.throws(
        () => checkRpcRequest(port, method, over({ ...(request as object), [field]: wrong })),
        (thrown) => {
          assert.ok(thrown instanceof LucidError && thrown.code === 'LUCID_ERR_3002', String(thrown));
          return thrown.message.startsWith(`${method}.${field}`);
        },
        `${port}.${method}.${field}`,
      );
    }
    for (const other of [undefined, null, 7, 'x', []])
      assert.throws(() => checkRpcRequest(port, method, other), { code: 'LUCID_ERR_3002' }, `${port}.${method}`);
  }
});

const refused: [PortName, string, unknown, RegExp][] = [
  ['storage', 'getSession', { sessionId: '../x' }, /^getSession\.sessionId: must be 1–100 characters/],
  ['storage', 'createSession', { session: { ...session, session_id: '' }, routeTokenSha256: null }, /session_id/],
  ['storage', 'listSessions', { limit: 1001, offset: 0 }, /listSessions\.limit/],
  ['storage', 'listSessions', { limit: 1, offset: -1 }, /listSessions\.offset/],
  ['storage', 'listAudit', { limit: 0, offset: 0 }, /listAudit\.limit/],
  ['storage', 'getChunk', { sessionId, index: -1 }, /getChunk\.index/],
  ['storage', 'getChunk', { sessionId, index: 2 ** 31 + 1 }, /getChunk\.index/],
  ['storage', 'acquireLease', { sessionId, owner: 'a', ttlMs: 1e9 }, /acquireLease\.ttlMs/],
  ['storage', 'getSidecar', { sessionId, name: '../x' }, /getSidecar\.name/],
  ['storage', 'getSidecar', { sessionId, name: 'a..b' }, /getSidecar\.name/],
  ['storage', 'putWraps', { sessionId, wraps: Array(101).fill(samples.storage.putWraps.wraps[0]) }, /putWraps\.wraps/],
  ['storage', 'putChunk', { ...samples.storage.putChunk, metadata: { ...metadata, index: 0.5 } }, /metadata\.index/],
  ['processor', 'seal', { ...samples.processor.seal, closedUs: 0.5 }, /seal\.closedUs/],
  ['processor', 'seal', { ...samples.processor.seal, payload: 'x' }, /seal\.payload: must be bytes/],
  ['recorder', 'liveFrames', { sessionId, afterFrame: 0, waitMs: 20_001 }, /liveFrames\.waitMs/],
  ['pipeline', 'report', { ...samples.pipeline.report, kind: 'finished' }, /report\.kind/],
  ['pipeline', 'report', { kind: 'fact', sessionId, fact: { kind: 'gap', fromUs: '1' } }, /report\.fact\.fromUs/],
];

test('ids, names, pages and counts out of bounds never reach a service', () => {
  for (const [port, method, request, message] of refused)
    assert.throws(() => checkRpcRequest(port, method, request), { code: 'LUCID_ERR_3002', message });
  const wrapped = new Uint8Array(64 * 1024 + 1);
  const wraps = [{ scheme: 'age', recipient: 'r', keyId: 'k', wrapped }];
  assert.throws(() => checkRpcRequest('storage', 'putWraps', { sessionId, wraps }), {
    code: 'LUCID_ERR_3017',
    message: /putWraps\.wraps\.0\.wrapped: must be at most 65536 bytes/,
  });
});

test('what a newer service says beside it is passed on, and the door says what is wrong', async () => {
  const asked: unknown[] = [];
  const port = {
    pause: async (request: unknown) => {
      asked.push(request);
      return { pausedAtUs: 1 };
    },
  } as unknown as RecorderPort;
  const handle = rpcServer('recorder', port);
  assert.equal((await handle('pause', encodeRpc({ sessionId, since: 'v2' }))).status, 200);
  assert.deepEqual(asked, [{ sessionId, since: 'v2' }]);
  const answer = await handle('pause', encodeRpc({ session_id: sessionId }));
  assert.equal(answer.status, 400);
  const { error } = decodeRpc(answer.body) as { error: { details: unknown; message: string } };
  assert.match(error.message, /^pause\.sessionId: /);
  assert.equal((error.details as { issues: { field: string }[] }).issues[0]?.field, 'pause.sessionId');
  assert.equal(asked.length, 1);
});
