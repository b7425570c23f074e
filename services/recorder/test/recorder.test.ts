import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  type Admission,
  LucidError,
  noRecordingStatistics,
  type RecorderPresence,
  rpcClient,
} from '@lucid-sessions/contract';
import { connectClient, makeCertificate, startDesktop } from '@lucid-sessions/desktop';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { readPayload } from '@lucid-sessions/recording';
import { ReportQueue } from '../src/front-door/report-queue.ts';
import { readRecorderEnv, startRecorderServer } from '../src/index.ts';
import { WallClock } from '../src/wall-clock.ts';
import { configFor, receipt, startGateway, ticketFor } from './gateway-kit.ts';
import { temporaryDirectory } from './spool-kit.ts';

const secret = 'a-secret-of-the-services-0123456789';

async function session(t: TestContext, options: Partial<Parameters<typeof startGateway>[1]> = {}, more = {}) {
  const target = await startDesktop();
  t.after(() => target.stop());
  const admit = (): Admission => ({ admitted: true, ticket: ticketFor(target.port, more) });
  const gateway = await startGateway(t, { admit, ...options });
  const rdp = await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice', password: 'x' });
  t.after(() => rdp.destroy());
  return { target, gateway, rdp };
}

/** A disk module whose writes fail while the file `fail` is there. */
function faultyDisk(directory: string): { module: string; fail: string } {
  const fail = join(directory, 'fail');
  const module = join(directory, 'disk.mjs');
  const real = new URL('../src/spool/spool-disk.ts', import.meta.url).href;
  writeFileSync(
    module,
    `import { existsSync } from 'node:fs';
     import { createDisk as real } from ${JSON.stringify(real)};
     const disk = real();
     export const createDisk = () => ({ ...disk, append(file, parts) {
       if (existsSync(${JSON.stringify(fail)})) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
       disk.append(file, parts);
     } });`,
  );
  return { module, fail };
}

test('strict: a full disk ends the session with an error', async (t) => {
  const { module, fail } = faultyDisk(temporaryDirectory(t));
  const { gateway, rdp } = await session(t, { deps: { spoolDiskModule: module } });
  writeFileSync(fail, '');
  const end = await rdp.ended;
  assert.equal(end.errorInfo, ErrorInfo.outOfMemory.code);
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'recording_not_persisted');
  assert.equal(ended.failed, true);
  assert.match(ended.message, /no space left/);
});

test('best effort: the session goes on, and the gap is a fact', async (t) => {
  const { module, fail } = faultyDisk(temporaryDirectory(t));
  const { target, gateway, rdp } = await session(
    t,
    { deps: { spoolDiskModule: module, spoolLimits: { retryMs: 10 } } },
    { persistence: 'best_effort' },
  );
  writeFileSync(fail, '');
  await rdp.type('unseen\n');
  while (target.typedLines().length === 0) await rdp.nextUpdates(1, 50);
  const { rmSync } = await import('node:fs');
  rmSync(fail);
  const gaps = () =>
    gateway.reports.flatMap((report) => (report.kind === 'fact' && report.fact.kind === 'gap' ? [report.fact] : []));
  while (!gaps().some(({ toUs }) => toUs !== null)) {
    await rdp.type('x');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await rdp.close();
  assert.equal((await gateway.reported('ended')).reason, 'client_disconnected');
  await gateway.reported('drained');
  const [begun, ended] = gaps();
  assert.equal(begun?.toUs, null, 'told when it began');
  assert.equal(ended?.fromUs, begun?.fromUs);
  assert.ok(gateway.chunks.some((chunk) => chunk.gapBefore));
  assert.ok(gateway.notes().some((note) => note.type === 'gap' && note.reason.startsWith('disk_full')));
});

test('a processor that is away: chunks wait in the spool, health says degraded, nothing is lost', async (t) => {
  let away = true;
  let sealed = 0;
  const { gateway, rdp } = await session(t, {
    deps: {
      processor: {
        seal: async () => {
          if (away) throw new Error('processor is away');
          sealed += 1;
          return receipt;
        },
      },
      spoolLimits: { retryMs: 5, retryMsMax: 20 },
    },
  });
  await rdp.close();
  await gateway.reported('ended');
  const degraded = async (): Promise<boolean> => (await gateway.recorder.port.health()).status === 'degraded';
  while (!(await degraded())) await new Promise((resolve) => setTimeout(resolve, 2));
  away = false;
  assert.equal((await gateway.reported('drained')).chunksCount, sealed);
});

const refusing = async (): Promise<never> => {
  throw new LucidError('compression', 'the LZ4 codec can not be loaded');
};

test('a chunk that is refused for good ends the session: its user, the operator and the session are told why', async (t) => {
  const { gateway, rdp } = await session(t, {
    config: { chunkAgeMs: 200 },
    deps: { processor: { seal: refusing }, spoolLimits: { retryMs: 5, retryMsMax: 10 } },
  });
  const end = await rdp.ended;
  assert.equal(end.errorInfo, ErrorInfo.outOfMemory.code);
  const ended = await gateway.reported('ended');
  assert.deepEqual([ended.reason, ended.failed], ['recording_not_persisted', true]);
  assert.match(ended.message, /chunk 0 can't be stored: the LZ4 codec can not be loaded/);
  const { status, message } = await gateway.recorder.port.health();
  assert.equal(status, 'degraded');
  assert.match(message ?? '', /chunk 0 of session session-1: the LZ4 codec/);
  assert.match(gateway.problems.join('\n'), /chunk 0 of session session-1: .+ waits in the spool and is tried again/);
});

test('one that is over already says so, once, and nothing more when its chunks are stored after all', async (t) => {
  let refuse = true;
  const { gateway, rdp } = await session(t, {
    deps: {
      processor: { seal: async () => (refuse ? refusing() : receipt) },
      spoolLimits: { retryMs: 5, retryMsMax: 10 },
    },
  });
  await rdp.close();
  const { message } = await gateway.reported('not_stored');
  assert.match(message, /chunk 0 can't be stored: the LZ4 codec can not be loaded/);
  assert.match(gateway.problems.join('\n'), /session session-1 is over and not whole in storage: chunk 0/);
  refuse = false;
  await gateway.reported('drained');
  assert.equal(gateway.reports.filter(({ kind }) => kind === 'not_stored').length, 1);
  assert.equal((await gateway.recorder.port.health()).status, 'healthy');
});

test('a recorder that dies is recovered by the next: ended as crashed, chunks flagged, then drained', async (t) => {
  const dataDir = temporaryDirectory(t);
  const never = { seal: () => new Promise<never>(() => {}) };
  const { gateway, rdp } = await session(t, { dataDir, deps: { processor: never } }, { recordingNumber: 7 });
  await rdp.nextUpdates(3, 200);
  // Nothing says goodbye: the spool is closed under the session's feet, as a kill would leave it.
  await gateway.recorder.spool.close();
  const next = await startGateway(t, {
    dataDir,
    admit: () => ({ admitted: false, code: 'unknown_session', message: '' }),
  });
  const ended = await next.reported('ended');
  assert.deepEqual([ended.reason, ended.failed, ended.recovered], ['recorder_crashed', false, true]);
  const drained = await next.reported('drained');
  assert.ok(gateway.reports.every(({ recordingNumber }) => recordingNumber === 7));
  assert.deepEqual([ended.recordingNumber, drained.recordingNumber], [7, 7], 'it is told of as the recording it was');
  assert.equal(next.chunks[0]!.recovered, true);
  assert.ok([...readPayload(next.chunks[0]!.copy)].length > 10);
});

test('shutdown ends sessions with a word and hands their chunks on', async (t) => {
  const { gateway, rdp } = await session(t);
  await gateway.recorder.dispose();
  assert.equal((await rdp.ended).errorInfo, ErrorInfo.rpcInitiatedDisconnect.code);
  assert.equal((await gateway.reported('ended')).reason, 'recorder_shutdown');
  await gateway.reported('drained');
});

test('over HTTP the recorder is the same port', async (t) => {
  const config = configFor(temporaryDirectory(t), { serviceSecret: secret });
  const presence = Promise.withResolvers<RecorderPresence>();
  const server = await startRecorderServer(config, {
    pipeline: { recorderHere: async (recorder: RecorderPresence) => presence.resolve(recorder) } as never,
    processor: { seal: async () => receipt },
    onError: () => {},
  });
  t.after(() => server.dispose());
  const port = rpcClient('recorder', server.address, { token: secret });
  assert.deepEqual(await port.live(), { sessions: [], spooled: [] });
  assert.deepEqual(await port.stop({ sessionId: 'none', reason: 'stopped', message: '' }), { stopped: false });
  await assert.rejects(port.pause({ sessionId: 'none' }), (error) => error instanceof LucidError);
  assert.equal((await port.health()).service, 'recorder');
  const { url, ...said } = await presence.promise;
  assert.deepEqual(said, { recorderId: 'test-recorder', sessions: 0, sessionsMax: 10, draining: false });
  assert.equal((await rpcClient('recorder', url, { token: secret }).health()).service, 'recorder');
});

test('a recorder that listens on every address is found under its machine’s name, or where it is told', async (t) => {
  const urlOf = async (more: { host: string; ownUrl?: string }) => {
    const presence = Promise.withResolvers<RecorderPresence>();
    const server = await startRecorderServer(configFor(temporaryDirectory(t), { serviceSecret: secret, ...more }), {
      pipeline: { recorderHere: async (recorder: RecorderPresence) => presence.resolve(recorder) } as never,
      processor: { seal: async () => receipt },
    });
    t.after(() => server.dispose());
    return { url: (await presence.promise).url, port: new URL(server.address).port };
  };
  const every = await urlOf({ host: '0.0.0.0' });
  assert.equal(every.url, `http://${hostname().toLowerCase()}:${every.port}`);
  const own = await urlOf({ host: '127.0.0.1', ownUrl: 'http://recorder-0.recorders:8084' });
  assert.equal(own.url, 'http://recorder-0.recorders:8084');
});

test('the certificate is made once, its key is nobody else’s, and an own one is taken', async (t) => {
  const dataDir = temporaryDirectory(t);
  const admit = (): Admission => ({ admitted: false, code: 'unavailable', message: '' });
  const first = await startGateway(t, { dataDir, admit });
  const sha256 = first.recorder.certificateSha256;
  await first.recorder.dispose();
  const second = await startGateway(t, { dataDir, admit });
  assert.equal(second.recorder.certificateSha256, sha256);
  assert.equal(statSync(join(dataDir, 'keys', 'rdp.key')).mode & 0o777, 0o600);
  const own = await makeCertificate('gateway.example');
  const certificatePath = join(dataDir, 'own.crt');
  const keyPath = join(dataDir, 'own.key');
  writeFileSync(certificatePath, own.cert);
  writeFileSync(keyPath, own.key);
  const third = await startGateway(t, { admit, config: { certificatePath, keyPath } });
  assert.equal(third.recorder.certificateSha256, own.sha256);
});

test('reports come in order, again and again until they arrive; progress gives way', async () => {
  const seen: string[] = [];
  let failures = 3;
  const queue = new ReportQueue({
    report: async (report) => {
      failures -= 1;
      if (failures >= 0) throw new Error('away');
      seen.push(report.kind);
    },
    reportsMax: 3,
    retryMs: 1,
    retryMsMax: 2,
    onProblem: () => {},
  });
  const statistics = noRecordingStatistics;
  const sessionId = 'a';
  const sent = [
    queue.send({ kind: 'started', sessionId, atUs: 1, recorderId: 'r', ...addresses }),
    queue.send({ kind: 'progress', sessionId, statistics }),
    queue.send({ kind: 'progress', sessionId, statistics }),
    queue.send({ kind: 'paused', sessionId, atUs: 2 }),
    queue.send({ kind: 'progress', sessionId: 'b', statistics }),
    queue.send({ kind: 'drained', sessionId, chunksCount: 1 }),
  ];
  assert.equal(queue.length, 4);
  await Promise.all(sent);
  assert.deepEqual(seen, ['started', 'progress', 'paused', 'drained']);
  assert.equal(queue.length, 0);
});

const addresses = { connectionId: 'c', clientAddress: '', targetAddress: '' };
test('reports of a session the pipeline does not have are let go', async () => {
  const problems: string[] = [];
  const queue = new ReportQueue({
    report: async () => {
      throw new LucidError('sessionNotFound', 'no such session');
    },
    reportsMax: 3,
    retryMs: 1,
    retryMsMax: 1,
    onProblem: (message) => problems.push(message),
  });
  await queue.send({ kind: 'drained', sessionId: 'gone', chunksCount: 1 });
  assert.match(problems[0]!, /report drained of session gone/);
});

test('the wall clock runs evenly and tells a step', () => {
  let system = 1_000_000_000;
  let monotonic = 0;
  const clock = new WallClock(
    () => system,
    () => monotonic,
  );
  monotonic += 5;
  system += 9;
  assert.equal(clock.nowUs(), 1_000_000_005);
  assert.equal(clock.check(), 0);
  system += 3_600_000_000;
  assert.equal(clock.check(), 3_600_000_000);
  assert.equal(clock.nowUs(), system);
  assert.equal(clock.check(), 0);
});

test('the environment is read once, and mistakes name the variable', () => {
  const base = { LUCID_SERVICE_SECRET: secret };
  const replicas = (LUCID_SPOOL_REPLICA: string) => readRecorderEnv({ ...base, LUCID_SPOOL_REPLICA }).spoolReplicas;
  assert.deepEqual(replicas(''), []);
  assert.deepEqual(replicas('http://b:8084/, https://c:8084'), ['http://b:8084', 'https://c:8084']);
  for (const wrong of [
    'http://b,',
    'http://b,http://b/',
    'b:8084',
    Array(9)
      .fill('http://b')
      .map((url, at) => `${url}${at}`)
      .join(),
  ])
    assert.throws(() => replicas(wrong), /LUCID_SPOOL_REPLICA must be/);
  const config = readRecorderEnv({ ...base, RDP_LISTENERS: '13389=10.0.0.5:3389, 13390=[fe80::1]:3390' });
  assert.deepEqual(
    config.listeners.map(({ port, target }) => [port, target]),
    [
      [3389, null],
      [13389, '10.0.0.5:3389'],
      [13390, '[fe80::1]:3390'],
    ],
  );
  assert.equal(config.chunkBytesMax, 10 * 1024 * 1024);
  const pin = 'ab'.repeat(32);
  const written = pin.toUpperCase().replaceAll(/..(?=.)/g, '$&:');
  const trusting = readRecorderEnv({
    ...base,
    RDP_LISTENERS: `1=a:2;ignore_cert,3=b:4;sha256=${pin.toUpperCase()},5=c:6;sha256=${written}`,
  });
  assert.deepEqual(
    trusting.listeners.slice(1).map(({ ignoreCert, pinnedSha256 }) => [ignoreCert, pinnedSha256]),
    [
      [true, undefined],
      [undefined, pin],
      [undefined, pin],
    ],
  );
  const kept = readRecorderEnv({
    ...base,
    RDP_LISTENERS: `1=a:2;retention=90;ignore_cert,3=b:4;sha256=${pin};retention=none,5=c:6;retention=36500,7=d:8`,
  });
  assert.deepEqual(
    kept.listeners.slice(1).map(({ retentionDays, ignoreCert }) => [retentionDays, ignoreCert]),
    [
      [90, true],
      [null, undefined],
      [36_500, undefined],
      [undefined, undefined],
    ],
  );
  const wrong = ['0', '36501', '1.5', '-1', '', 'ever', '1;retention=2', '1;ignore_cert;ignore_cert', '1;', '1;x=1'];
  for (const options of [...wrong.map((days) => `retention=${days}`), `ignore_cert;sha256=${pin}`])
    assert.throws(
      () => readRecorderEnv({ ...base, RDP_LISTENERS: `1=a:2;${options}` }),
      /RDP_LISTENERS must be/,
      options,
    );
  const changed = readRecorderEnv({
    ...base,
    RDP_LISTENERS:
      '1=a:2;bulk_compression=off;leave_in=udp+bitmap_cache,3=b:4;leave_in=none;bulk_compression=on,5=c:6;leave_in=graphics',
  });
  assert.deepEqual(
    changed.listeners.slice(1).map(({ bulkCompression, leaveIn }) => [bulkCompression, leaveIn]),
    [
      [false, ['bitmap_cache', 'udp']],
      [true, []],
      [undefined, ['graphics']],
    ],
  );
  for (const options of [
    'leave_in',
    'leave_in=',
    'leave_in=movies',
    'leave_in=udp+udp',
    'bulk_compression',
    'bulk_compression=no',
  ])
    assert.throws(
      () => readRecorderEnv({ ...base, RDP_LISTENERS: `1=a:2;${options}` }),
      /RDP_LISTENERS must be/,
      options,
    );
  const ruled = readRecorderEnv({
    ...base,
    RDP_LISTENERS: '1=a:2;channels=clipboard:out+drives:off+deny:*::RDS::Location,3=b:4;channels=none,5=c:6',
  });
  assert.deepEqual(
    ruled.listeners.slice(1).map(({ channels }) => channels),
    [{ clipboard: 'out', drives: false, deny: ['*::RDS::Location'] }, {}, undefined],
  );
  const bound = { ...base, RDP_TARGET_CHANNELS: '*.bank.example=clipboard:off, 10.0.0.0/8:3389=usb:off+deny:ECHO' };
  assert.deepEqual(
    readRecorderEnv(bound).channelBounds.map(({ rules }) => rules),
    [{ clipboard: 'off' }, { usb: false, deny: ['ECHO'] }],
  );
  for (const wrong of ['usb:off', 'a=usb:maybe', '=usb:off', '!=usb:off'])
    assert.throws(() => readRecorderEnv({ ...base, RDP_TARGET_CHANNELS: wrong }), /RDP_TARGET_CHANNELS must be/, wrong);
  for (const rules of ['', 'clipboard', 'clipboard:up', 'drives:no', 'drives:off+drives:on', 'deny:', 'toys:off', 'on'])
    assert.throws(
      () => readRecorderEnv({ ...base, RDP_LISTENERS: `1=a:2;channels=${rules}` }),
      /RDP_LISTENERS must be/,
      rules,
    );
  const targets = readRecorderEnv({
    ...base,
    RDP_LISTENERS: '4000=a:2;legacy_tls;ignore_cert',
    RDP_TARGETS_ALLOW: '*.corp.example:3389, 10.0.0.0/8',
    RDP_TARGETS_DENY: '10.0.0.1',
  });
  assert.equal(targets.listeners[1]?.legacyTls, true);
  assert.deepEqual([targets.targets.allow.length, targets.targets.deny.length], [2, 1]);
  assert.equal(targets.targets.opensLoopback, false);
  assert.ok([8083, 8084, 8085, 8086, 8087, 3389, 4000].every((port) => targets.targets.ownPorts.includes(port)));
  assert.equal(readRecorderEnv({ ...base, RDP_LISTEN_HOST: '127.0.0.1' }).targets.opensLoopback, true);
  const many = (count: number) => Array.from({ length: count }, (_, at) => `h${at}.example`).join(',');
  assert.equal(readRecorderEnv({ ...base, RDP_TARGETS_DENY: `\n ${many(1000)} ,` }).targets.deny.length, 1000);
  for (const wrong of ['a b', '10.0.0.0/40', 'x:0-', ':3389', ' , ', ' ', '0x7f.1', many(1001), many(100_000)])
    assert.throws(() => readRecorderEnv({ ...base, RDP_TARGETS_DENY: wrong }), /RDP_TARGETS_DENY must be/);
  for (const rule of ['x', '1=host', '70000=host:1', '1=host:0', '1=host:99999', '1=h:2;sha256=ab', '1=h:2;trust'])
    assert.throws(() => readRecorderEnv({ ...base, RDP_LISTENERS: rule }), /RDP_LISTENERS must be/);
  assert.throws(() => readRecorderEnv({ ...base, RDP_TLS_CERT: '/a' }), /RDP_TLS_KEY and RDP_TLS_CERT/);
  assert.throws(() => readRecorderEnv({}), /LUCID_SERVICE_SECRET/);
  const own = readRecorderEnv({ ...base, RDP_TLS_CERT: '/a', RDP_TLS_KEY: '/b', RDP_IDLE_MINUTES: '5' });
  assert.deepEqual([own.certificatePath, own.keyPath, own.idleMs], ['/a', '/b', 300_000]);
});

test('nothing is left in the spool when everything is stored', async (t) => {
  const dataDir = temporaryDirectory(t);
  const { gateway, rdp } = await session(t, { dataDir });
  await rdp.close();
  await gateway.reported('drained');
  while (existsSync(join(dataDir, 'spool', 'session-1'))) await new Promise((resolve) => setTimeout(resolve, 2));
});
