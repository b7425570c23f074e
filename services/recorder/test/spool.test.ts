import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ChunkToSeal, LucidError } from '@lucid-sessions/contract';
import { decodeNote, frameKinds, readPayload } from '@lucid-sessions/recording';
import { batchSlotBytes, Spool, type SpoolOptions, type SpoolSession } from '../src/spool/index.ts';
import { loadSpoolKey } from '../src/spool/spool-key.ts';
import { end, limits, temporaryDirectory } from './spool-kit.ts';

const receipt = {
  chunkId: 'c',
  index: 0,
  leafHash: '',
  fileSha256: '',
  fileBytes: 0,
  payloadBytes: 0,
  compression: 'none',
  storedAtUs: 0,
} as const;

interface Line {
  spool: Spool;
  chunks: (ChunkToSeal & { copy: Uint8Array })[];
  drained: Promise<[string, number]>;
}

async function openSpool(t: TestContext, directory: string, options: Partial<SpoolOptions> = {}): Promise<Line> {
  const chunks: Line['chunks'] = [];
  let resolveDrained: (value: [string, number]) => void = () => {};
  const drained = new Promise<[string, number]>((resolve) => {
    resolveDrained = resolve;
  });
  const spool = await Spool.start({
    directory: join(directory, 'spool'),
    keyPath: join(directory, 'keys', 'spool.key'),
    limits: { ...limits, segmentBytesMax: 1 << 20 },
    originNs: process.hrtime.bigint(),
    batchSlotsCount: 40,
    sessionsMax: 4,
    chunkSlotsCount: 2,
    flushEveryMs: 2,
    seal: async (chunk) => {
      chunks.push({ ...chunk, copy: chunk.payload.slice() });
      return receipt;
    },
    onDrained: async (sessionId, chunksCount) => resolveDrained([sessionId, chunksCount]),
    onUnstorable: () => {},
    onProblem: () => {},
    ...options,
  });
  t.after(() => spool.close());
  return { spool, chunks, drained };
}

const quiet = { onFailed: () => {}, onGap: () => {} };

function pdu(session: SpoolSession, fill: number, length: number): void {
  session.batch.frame(frameKinds.pdu, 0x01, 1003, new Uint8Array(length).fill(fill), session.nowUs());
}

test('frames and notes cross the thread, become durable and come back sealed', async (t) => {
  const directory = temporaryDirectory(t);
  const { spool, chunks, drained } = await openSpool(t, directory);
  const session = spool.open('alpha', quiet);
  assert.equal(spool.canOpen('alpha'), false);
  assert.throws(() => spool.open('alpha', quiet), /still being stored/);
  for (let i = 0; i < 50; i += 1) pdu(session, i, 60_000);
  session.note({ type: 'pause', atUs: 5 });
  await session.durable();
  assert.equal(session.durableFrames, 51);
  session.end(end);
  assert.deepEqual(await drained, ['alpha', chunks.length]);
  const frames = chunks.flatMap(({ copy }) => [...readPayload(copy)]);
  assert.deepEqual(
    frames.filter((frame) => frame.kind === frameKinds.pdu).map((frame) => [frame.body[0], frame.body.length]),
    Array.from({ length: 50 }, (_, i) => [i, 60_000]),
  );
  const note = frames.at(-1)!;
  assert.deepEqual(decodeNote(note.body), { type: 'pause', atUs: 5 });
  assert.ok(frames.every((frame, i) => frame.timeUs >= (frames[i - 1]?.timeUs ?? 0)));
  const { durableMs, recordsWritten } = await spool.statistics();
  assert.ok(recordsWritten > 0 && durableMs.length > 0 && durableMs.every((ms) => ms >= 0));
  assert.equal(spool.canOpen('alpha'), true);
});

test('PDUs that arrive in pieces, both directions at once, across flushes', async (t) => {
  const { spool, chunks, drained } = await openSpool(t, temporaryDirectory(t));
  const session = spool.open('alpha', quiet);
  const { batch } = session;
  batch.begin(0x01, 1003, 60_000, session.nowUs());
  batch.fill(1, new Uint8Array(20_000).fill(1));
  batch.begin(0x00, 1004, 65_000, session.nowUs());
  batch.fill(0, new Uint8Array(30_000).fill(2));
  pdu(session, 3, 10);
  // Only what is complete is handed over; both open PDUs move on.
  await session.durable();
  assert.equal(session.framesHandedOver, 1);
  batch.fill(1, new Uint8Array(40_000).fill(1));
  for (let i = 0; i < 8; i += 1) pdu(session, 10 + i, 60_000);
  batch.fill(0, new Uint8Array(35_000).fill(2));
  batch.begin(0x01, 1003, 100, session.nowUs());
  batch.fill(1, new Uint8Array(99));
  session.end(end);
  await drained;
  const frames = chunks.flatMap(({ copy }) => [...readPayload(copy)]);
  const found = frames.map((frame) => `${frame.body[0]}x${frame.body.length}@${frame.channelId}`).sort();
  const expected = ['1x60000@1003', '2x65000@1004', '3x10@1003'];
  for (let i = 0; i < 8; i += 1) expected.push(`${10 + i}x60000@1003`);
  assert.deepEqual(found, expected.sort());
  for (const frame of frames) assert.ok(frame.body.every((byte) => byte === frame.body[0]));
  assert.ok(frames.every((frame, i) => frame.timeUs >= (frames[i - 1]?.timeUs ?? 0)));
});

test('the pool is bounded: it says when it has no room, and drops rather than grows', async (t) => {
  const directory = temporaryDirectory(t);
  const gate = join(directory, 'gate');
  // The disk stands still until the gate is there: how fast it is must not decide what this test sees.
  writeFileSync(
    join(directory, 'disk.mjs'),
    `import { existsSync } from 'node:fs';
     import { createDisk as real } from ${JSON.stringify(new URL('../src/spool/spool-disk.ts', import.meta.url).href)};
     const pause = new Int32Array(new SharedArrayBuffer(4));
     export const createDisk = () => {
       const disk = real();
       const append = disk.append.bind(disk);
       return Object.assign(disk, { append(...given) {
         while (!existsSync(${JSON.stringify(gate)})) Atomics.wait(pause, 0, 0, 2);
         return append(...given);
       } });
     };`,
  );
  const { spool, drained } = await openSpool(t, directory, { diskModule: join(directory, 'disk.mjs') });
  const session = spool.open('alpha', quiet);
  assert.equal(spool.hasRoom, true);
  // 40 slots of 192 KiB against 24 MB.
  for (let i = 0; i < 400; i += 1) {
    const hadRoom: boolean = spool.hasRoom;
    const before: number = session.batch.framesDropped;
    pdu(session, 1, 60_000);
    assert.ok(session.batch.framesDropped === before || !hadRoom, 'what it has room for is never dropped');
  }
  assert.ok(session.batch.framesDropped > 0);
  assert.equal(spool.hasRoom, false);
  writeFileSync(gate, '');
  session.end(end);
  await drained;
  while (!spool.hasRoom) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.ok(batchSlotBytes >= 2 * (65_535 + 16));
});

/** A recorder that dies with one durable frame of a session. */
async function leaveOneFrame(t: TestContext, directory: string): Promise<void> {
  const { spool } = await openSpool(t, directory);
  const session = spool.open('alpha', quiet);
  pdu(session, 7, 100);
  await session.durable();
  await spool.close();
}

test('what a dead recorder left is sealed by the next one, and a failing line is tried again', async (t) => {
  const directory = temporaryDirectory(t);
  await leaveOneFrame(t, directory);
  let refusals = 2;
  const problems: (string | null)[] = [];
  const second = await openSpool(t, directory, {
    seal: async () => {
      problems.push(second.spool.sealProblem);
      refusals -= 1;
      if (refusals >= 0) throw new Error('processor unreachable');
      return receipt;
    },
  });
  assert.deepEqual(
    second.spool.recovered.map(({ sessionId, framesCount }) => [sessionId, framesCount]),
    [['alpha', 1]],
  );
  assert.equal(second.spool.canOpen('alpha'), false);
  assert.deepEqual(await second.drained, ['alpha', 1]);
  assert.match(problems[2]!, /chunk 0 of session alpha: processor unreachable/);
  while (existsSync(join(directory, 'spool', 'alpha'))) await new Promise((resolve) => setTimeout(resolve, 1));
});

test('a copy that is behind what its recorder stored lets that count, and ends the session as cut off', async (t) => {
  const directory = temporaryDirectory(t);
  await leaveOneFrame(t, directory);
  const asked: ChunkToSeal[] = [];
  const copy = await openSpool(t, directory, {
    isCopy: true,
    seal: async (chunk) => {
      asked.push(chunk);
      if (chunk.index === 0) throw new LucidError('conflict', 'storage holds another chunk 0 of this session');
      return receipt;
    },
  });
  assert.deepEqual(await copy.drained, ['alpha', 2]);
  assert.deepEqual(
    asked.map(({ index, final, recovered, framesCount }) => [index, final, recovered, framesCount]),
    [
      [0, true, true, 1],
      [1, true, true, 0],
    ],
  );
});

test('a spool of another key is moved away, and the operator is told', async (t) => {
  const directory = temporaryDirectory(t);
  await leaveOneFrame(t, directory);
  writeFileSync(join(directory, 'keys', 'spool.key'), new Uint8Array(32).fill(1));
  const problems: string[] = [];
  await openSpool(t, directory, { onProblem: (message) => problems.push(message) });
  assert.match(problems[0]!, /session alpha can't be opened/);
});

test('a disk that fails reaches the session, and its gap does', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(
    join(directory, 'disk.mjs'),
    `import { createDisk as real } from ${JSON.stringify(new URL('../src/spool/spool-disk.ts', import.meta.url).href)};
     export const createDisk = () => ({ ...real(), append() { throw Object.assign(new Error('no'), { code: 'ENOSPC' }); } });`,
  );
  const { spool } = await openSpool(t, directory, { diskModule: join(directory, 'disk.mjs') });
  const failed = await new Promise<[string, string]>((resolve) => {
    spool.open('alpha', { ...quiet, onFailed: (code, message) => resolve([code, message]) });
  });
  assert.deepEqual(failed, ['disk_full', 'disk_full: no']);
});

test('a spool thread that dies fails its sessions and takes no more', async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(
    join(directory, 'disk.mjs'),
    `import { createDisk as real } from ${JSON.stringify(new URL('../src/spool/spool-disk.ts', import.meta.url).href)};
     export const createDisk = () => ({ ...real(), makeDirectory(path) { if (path.endsWith('alpha')) queueMicrotask(() => { throw new Error('bug'); }); real().makeDirectory(path); } });`,
  );
  const { spool } = await openSpool(t, directory, { diskModule: join(directory, 'disk.mjs') });
  const message = await new Promise<string>((resolve) => {
    spool.open('alpha', { ...quiet, onFailed: (_, why) => resolve(why) });
  });
  assert.match(message, /the spool thread has died: bug/);
  assert.equal(spool.canOpen('beta'), false);
  assert.throws(() => spool.open('beta', quiet), /died/);
  await assert.rejects(spool.statistics(), /died/);
});

test('the spool key is 0600, 32 bytes, made once', (t) => {
  const path = join(temporaryDirectory(t), 'keys', 'spool.key');
  const key = loadSpoolKey(path);
  assert.equal(key.length, 32);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(loadSpoolKey(path), key);
  writeFileSync(path, new Uint8Array(31));
  assert.throws(() => loadSpoolKey(path), /must be 32 bytes/);
});

test('a spool key others can read is refused', (t) => {
  const path = join(temporaryDirectory(t), 'spool.key');
  writeFileSync(path, new Uint8Array(32), { mode: 0o644 });
  assert.throws(() => loadSpoolKey(path), /chmod 600/);
});
