import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readPayload } from '@lucid-sessions/recording';
import { end, frame, type HarnessEvent, isKind, openEngine, temporaryDirectory } from './spool-kit.ts';

const bodies = (payload: Uint8Array): number[] => [...readPayload(payload)].map((each) => each.body[0] ?? -1);
const segments = (directory: string): string[] => readdirSync(directory).filter((name) => name.endsWith('.seg'));

test('frames come back as chunks in order, whole, and nothing is left', async (t) => {
  const { engine, append, chunks, until, untilTrue, directory } = openEngine(t, { seal: () => true });
  engine.recover();
  engine.open(0, 'alpha');
  for (let i = 0; i < 20; i += 1) append(0, frame(i, 1000, i));
  engine.end(0, end);
  const complete = await until(isKind('complete'));
  assert.equal(complete.chunksCount, chunks.length);
  assert.ok(chunks.length >= 5, 'a segment never outgrows its limit');
  assert.deepEqual(
    chunks.map(({ chunk }) => chunk.index),
    chunks.map((_, i) => i),
  );
  assert.deepEqual(
    chunks.flatMap(({ payload }) => bodies(payload)),
    Array.from({ length: 20 }, (_, i) => i),
  );
  for (const { chunk, payload } of chunks) {
    assert.ok(payload.length <= 4096);
    assert.equal(chunk.recovered, false);
    assert.equal(chunk.gapBefore, false);
    assert.ok(chunk.openedUs <= chunk.closedUs);
  }
  let next = 0;
  for (const { chunk } of chunks) {
    assert.equal(chunk.firstFrameNumber, next);
    next += chunk.framesCount;
  }
  assert.deepEqual(
    chunks.map(({ chunk }) => chunk.final),
    chunks.map((_, i) => i === chunks.length - 1),
  );
  engine.forget('alpha');
  await untilTrue(() => !existsSync(join(directory, 'alpha')));
  assert.equal(engine.statistics().spooledBytes, 0);
});

test('the watermark follows fdatasync, never runs ahead of it', async (t) => {
  const harness = openEngine(t);
  let syncing = false;
  harness.disk.fault = (operation) => {
    if (operation === 'sync') syncing = true;
    return null;
  };
  harness.engine.open(3, 'alpha');
  harness.append(3, frame(1, 10), 1);
  harness.append(3, frame(2, 10), 1);
  assert.equal(harness.events.some(isKind('durable')), false);
  await harness.until(isKind('durable'));
  assert.equal(syncing, true);
  await harness.untilTrue(() => harness.events.filter(isKind('durable')).length === 2);
  assert.deepEqual(
    harness.events.filter(isKind('durable')).map(({ session, framesDurable }) => [session, framesDurable]),
    [
      [3, 1],
      [3, 2],
    ],
  );
});

test('the spool holds no frame in the clear', async (t) => {
  const { engine, append, until, directory } = openEngine(t);
  engine.open(0, 'alpha');
  append(0, frame(0x5a, 500));
  await until(isKind('durable'));
  const bytes = readFileSync(join(directory, 'alpha', '0000000000.seg'));
  assert.equal(bytes.includes(Buffer.alloc(8, 0x5a)), false);
});

test('pause and idleness close chunks: silence is provable', async (t) => {
  const { engine, append, chunks, untilTrue } = openEngine(t, { seal: () => true, limits: { segmentAgeMs: 8 } });
  engine.open(0, 'alpha');
  append(0, frame(1, 10));
  engine.rotate(0, false);
  await untilTrue(() => chunks.length >= 3);
  assert.deepEqual(bodies(chunks[0]!.payload), [1]);
  assert.equal(chunks[2]!.chunk.framesCount, 0);
  engine.rotate(0, true);
  engine.end(0, end);
  await untilTrue(() => chunks.at(-1)!.chunk.final);
  assert.equal(chunks.at(-1)!.chunk.gapBefore, true);
});

test('sealing that fails is tried again in order', async (t) => {
  let refusals = 3;
  const tries: number[] = [];
  const { engine, append, until } = openEngine(t, {
    seal: (chunk) => {
      tries.push(chunk.index);
      refusals -= 1;
      return refusals < 0;
    },
    limits: { segmentAgeMs: 20 },
  });
  engine.open(0, 'alpha');
  append(0, frame(1, 3000));
  append(0, frame(2, 3000));
  engine.end(0, end);
  assert.equal((await until(isKind('complete'))).chunksCount, 2);
  assert.deepEqual(tries, [0, 0, 0, 0, 1]);
});

test('after a crash nothing durable is lost, at every length of the last record', async (t) => {
  const origin = openEngine(t);
  origin.engine.open(0, 'alpha');
  for (let i = 0; i < 3; i += 1) origin.append(0, frame(i, 50));
  await origin.until(isKind('durable'));
  await origin.untilTrue(() => origin.events.filter(isKind('durable')).at(-1)!.framesDurable === 3);
  const file = readFileSync(join(origin.directory, 'alpha', '0000000000.seg'));
  const recordBytes = 44 + 16 + 50;
  assert.equal(file.length, 204 + 3 * recordBytes);
  for (let cut = 0; cut <= recordBytes; cut += 1) {
    const directory = temporaryDirectory(t);
    const made = openEngine(t, { directory });
    made.engine.open(0, 'alpha');
    await made.engine.close();
    writeFileSync(join(directory, 'alpha', '0000000000.seg'), file.subarray(0, file.length - cut));
    const { engine, chunks, events } = openEngine(t, { directory });
    engine.recover();
    const expected = cut === 0 ? [0, 1, 2] : [0, 1];
    assert.equal(chunks.length, 1);
    assert.deepEqual(bodies(chunks[0]!.payload), expected);
    assert.equal(chunks[0]!.chunk.recovered, true);
    assert.equal(chunks[0]!.chunk.final, true);
    const { sessions } = events.find(isKind('recovered'))!;
    assert.deepEqual(
      sessions.map((session) => [session.sessionId, session.end, session.framesCount]),
      [['alpha', null, expected.length]],
    );
    await engine.close();
  }
});

test('a changed byte anywhere ends the recovered frames before it', async (t) => {
  const origin = openEngine(t);
  origin.engine.open(0, 'alpha');
  for (let i = 0; i < 2; i += 1) origin.append(0, frame(i, 20));
  await origin.engine.close();
  const path = join(origin.directory, 'alpha', '0000000000.seg');
  const file = readFileSync(path);
  for (let at = 204; at < file.length; at += 1) {
    const changed = Buffer.from(file);
    changed[at]! ^= 1;
    writeFileSync(path, changed);
    const { engine, chunks } = openEngine(t, { directory: origin.directory });
    engine.recover();
    assert.deepEqual(bodies(chunks[0]!.payload), at < 204 + 80 ? [] : [0]);
    await engine.close();
  }
});

test('a session that had ended is recovered with its end', async (t) => {
  const first = openEngine(t);
  first.engine.open(0, 'alpha');
  first.append(0, frame(9, 20));
  first.engine.end(0, end);
  await first.engine.close();
  const { engine, chunks, events, until, untilTrue } = openEngine(t, {
    directory: first.directory,
    seal: () => true,
  });
  engine.recover();
  assert.deepEqual(events.find(isKind('recovered'))!.sessions[0]!.end, end);
  await until(isKind('complete'));
  assert.equal(chunks[0]!.chunk.recovered, false);
  engine.forget('alpha');
  await untilTrue(() => !existsSync(join(first.directory, 'alpha')));
});

test('a session that died before its first segment still gets a final chunk', async (t) => {
  const first = openEngine(t);
  first.engine.open(0, 'alpha');
  await first.engine.close();
  writeFileSync(join(first.directory, 'alpha', '0000000000.seg'), Buffer.alloc(17));
  const { engine, chunks, until } = openEngine(t, { directory: first.directory, seal: () => true });
  engine.recover();
  assert.equal((await until(isKind('complete'))).chunksCount, 1);
  assert.equal(chunks[0]!.chunk.framesCount, 0);
});

test('which of the recordings it is comes back with the session, however long its id is', async (t) => {
  const first = openEngine(t);
  const longest = 'l'.repeat(100);
  first.engine.open(0, longest, 2 ** 24 - 1);
  first.append(0, frame(9, 20));
  first.engine.open(1, 'untold');
  await first.engine.close();
  const { engine, events } = openEngine(t, { directory: first.directory, seal: () => true });
  engine.recover();
  const { sessions } = events.find(isKind('recovered'))!;
  assert.deepEqual(Object.fromEntries(sessions.map(({ sessionId, recording }) => [sessionId, recording])), {
    [longest]: 2 ** 24 - 1,
    untold: 0,
  });
});

test('without the spool key a stolen spool is unreadable, and is kept aside', async (t) => {
  const first = openEngine(t);
  first.engine.open(0, 'alpha');
  first.append(0, frame(9, 20));
  await first.engine.close();
  const { engine, events, chunks } = openEngine(t, { directory: first.directory, key: new Uint8Array(32).fill(8) });
  engine.recover();
  assert.deepEqual(events.find(isKind('recovered'))!.unreadable, ['alpha']);
  assert.equal(chunks.length, 0);
  assert.equal(readdirSync(join(first.directory, 'unreadable')).length, 1);
});

for (const code of ['ENOSPC', 'EIO'] as const) {
  test(`a write that fails with ${code} is told at once; recording goes on behind a gap when the disk does`, async (t) => {
    const { engine, disk, append, chunks, events, until, untilTrue, directory } = openEngine(t, { seal: () => true });
    engine.open(0, 'alpha');
    append(0, frame(1, 100));
    disk.fault = (operation) => (operation === 'append' || operation === 'create' ? code : null);
    append(0, frame(2, 100));
    append(0, frame(3, 100));
    const failed = await until(isKind('failed'));
    assert.equal(failed.code, code === 'ENOSPC' ? 'disk_full' : 'disk_failed');
    assert.equal(events.filter(isKind('failed')).length, 1);
    disk.fault = () => null;
    await untilTrue(() => {
      append(0, frame(4, 100));
      return events.some(isKind('gap'));
    });
    engine.end(0, end);
    await until(isKind('complete'));
    const gap = events.find(isKind('gap'))!;
    assert.ok(gap.framesLost >= 2);
    assert.ok(gap.fromUs <= gap.toUs);
    assert.deepEqual([...new Set(chunks.flatMap(({ payload }) => bodies(payload)))], [1, 4]);
    assert.equal(chunks.find(({ payload }) => bodies(payload).includes(4))!.chunk.gapBefore, true);
    engine.forget('alpha');
    await untilTrue(() => !existsSync(join(directory, 'alpha')));
  });
}

test('a torn write is cut off, so that later records are not behind it', async (t) => {
  const { engine, disk, append, chunks, until } = openEngine(t, { seal: () => true });
  const { append: realAppend } = disk.disk;
  let tear = false;
  disk.disk.append = (file, parts) => {
    if (!tear) return realAppend(file, parts);
    tear = false;
    realAppend(file, [parts[0]!.subarray(0, 10)]);
    throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
  };
  engine.open(0, 'alpha');
  append(0, frame(1, 100));
  tear = true;
  append(0, frame(2, 100));
  engine.end(0, end);
  await until(isKind('complete'));
  assert.deepEqual(bodies(chunks[0]!.payload), [1]);
  assert.equal(chunks[0]!.chunk.recovered, false);
});

test('a failed fsync fails the session: the frames since the last good one do not count', async (t) => {
  const { engine, disk, append, events, until } = openEngine(t);
  engine.open(0, 'alpha');
  append(0, frame(1, 100));
  await until(isKind('durable'));
  disk.fault = (operation) => (operation === 'sync' ? 'EIO' : null);
  append(0, frame(2, 100));
  const failed = await until(isKind('failed'));
  assert.equal(failed.code, 'disk_failed');
  assert.equal(events.filter(isKind('durable')).at(-1)!.framesDurable, 1);
  engine.end(0, end);
  assert.equal(events.find(isKind('gap'))!.framesLost, 1);
});

test('what was appended while an fsync failed is not durable by the next one of the same file', async (t) => {
  const { engine, disk, append, events, until, untilTrue } = openEngine(t);
  engine.open(0, 'alpha');
  append(0, frame(1, 100));
  await until(isKind('durable'));
  disk.fault = (operation) => {
    if (operation !== 'sync') return null;
    disk.fault = () => null;
    queueMicrotask(() => append(0, frame(3, 100)));
    return 'EIO';
  };
  append(0, frame(2, 100));
  await until(isKind('failed'));
  // The kernel tells of a lost page once: the sync of the close record succeeds, and a crash would show neither frame.
  await untilTrue(() => {
    append(0, frame(4, 100));
    return events.filter(isKind('durable')).some(({ framesDurable }) => framesDurable > 3);
  });
  assert.ok(events.find(isKind('gap'))!.framesLost >= 2);
  assert.deepEqual(
    events.filter(isKind('durable')).filter(({ framesDurable }) => framesDurable === 2 || framesDurable === 3),
    [],
  );
});

test('a directory that can not be made durable fails its sessions', async (t) => {
  const { engine, disk, until } = openEngine(t);
  disk.fault = (operation) => (operation === 'syncDirectory' ? 'EIO' : null);
  engine.open(0, 'alpha');
  assert.equal((await until(isKind('failed'))).code, 'disk_failed');
});

test('a session that can not even be opened fails', async (t) => {
  const { engine, disk, append, until, untilTrue, chunks } = openEngine(t, {
    seal: () => true,
    limits: { segmentAgeMs: 8 },
  });
  disk.fault = (operation) => (operation === 'create' ? 'ENOSPC' : null);
  engine.open(0, 'alpha');
  assert.equal((await until(isKind('failed'))).code, 'disk_full');
  append(0, frame(1, 10));
  engine.end(0, end);
  disk.fault = () => null;
  // The end alone makes the empty final segment as soon as the disk lets it.
  await untilTrue(() => chunks.length === 1);
  assert.equal(chunks[0]!.chunk.final, true);
  await until(isKind('complete'));
});

test('a full spool says so, and takes frames again when chunks are stored', async (t) => {
  let store = false;
  const { engine, append, until, untilTrue, events } = openEngine(t, {
    seal: () => store,
    limits: { spoolBytesMax: 12_000, segmentAgeMs: 20 },
  });
  engine.open(0, 'alpha');
  await untilTrue(() => {
    append(0, frame(1, 1000));
    return events.some(isKind('failed'));
  });
  const failed = await until(isKind('failed'));
  assert.equal(failed.code, 'spool_full', failed.message);
  assert.ok(engine.statistics().spooledBytes <= 12_000);
  store = true;
  await untilTrue(() => {
    append(0, frame(2, 10));
    return events.some(isKind('gap'));
  });
  engine.end(0, end);
  await until(isKind('complete'));
});

test('a disk that is nearly full takes no frames, but the end of a session; with room again it goes on', async (t) => {
  let freeBytes = 1e9;
  const { engine, disk, append, until, untilTrue, chunks, events } = openEngine(t, { seal: () => true });
  (disk.disk as { space: unknown }).space = () => ({ freeBytes, totalBytes: 1e9 });
  engine.open(0, 'alpha');
  append(0, frame(1, 10));
  freeBytes = 1e6;
  await untilTrue(() => {
    append(0, frame(1, 10));
    return engine.statistics().recordsWritten > 0 && chunks.length > 0;
  });
  const failed = await until(isKind('failed'));
  assert.equal(failed.code, 'disk_full');
  assert.match(failed.message, /nearly full: 0 MiB are free, and 12 MiB stay so/);
  engine.open(1, 'beta');
  await until(
    (event): event is Extract<HarnessEvent, { kind: 'failed' }> => event.kind === 'failed' && event.session === 1,
  );
  engine.end(1, end);
  freeBytes = 1e9;
  await untilTrue(() => {
    append(0, frame(2, 10));
    return events.some(isKind('gap'));
  });
  engine.end(0, end);
  await until(isKind('complete'));
});

test('a segment that can not be read now is tried again', async (t) => {
  const { engine, disk, append, until } = openEngine(t, { seal: () => true, limits: { segmentAgeMs: 8 } });
  let failures = 2;
  disk.fault = (operation) => {
    if (operation !== 'openForReading' || failures === 0) return null;
    failures -= 1;
    return 'EIO';
  };
  engine.open(0, 'alpha');
  append(0, frame(1, 10));
  engine.end(0, end);
  await until(isKind('complete'));
  assert.equal(failures, 0);
});

test('segments go only after the one behind them is durable', async (t) => {
  const { engine, append, until, untilTrue, directory, disk, chunks } = openEngine(t, { seal: () => true });
  engine.open(0, 'alpha');
  append(0, frame(1, 3000));
  append(0, frame(2, 3000));
  await untilTrue(() => chunks.length === 1);
  await untilTrue(() => segments(join(directory, 'alpha')).length === 1);
  const lastRemoval = disk.operations.lastIndexOf('removeLater');
  assert.ok(disk.operations.slice(0, lastRemoval).includes('sync'));
  engine.end(0, end);
  await until(isKind('complete'));
});

test('a busy session does not starve the others', async (t) => {
  const order: string[] = [];
  const { engine, append, untilTrue } = openEngine(t, {
    seal: (chunk) => {
      order.push(chunk.sessionId);
      return true;
    },
  });
  engine.open(0, 'busy');
  engine.open(1, 'quiet');
  append(1, frame(1, 10));
  for (let i = 0; i < 10; i += 1) append(0, frame(1, 3000));
  engine.end(1, end);
  engine.end(0, end);
  await untilTrue(() => order.length === 11);
  assert.ok(order.indexOf('quiet') < 4);
});

test('in a burst chunks wait on disk, and come when it is over', async (t) => {
  const { engine, append, chunks, untilTrue } = openEngine(t, {
    seal: () => true,
    limits: { segmentAgeMs: 40, burstBytesPerSecond: 1, burstChunksPerSecond: 0 },
  });
  engine.open(0, 'alpha');
  let appended = 0;
  // The first ticks learn that there is a burst; after that nothing is sent while it lasts.
  await untilTrue(() => {
    append(0, frame(1, 3000));
    appended += 1;
    return engine.statistics().closedSegmentsCount > 20;
  });
  const during = chunks.length;
  assert.ok(during < appended - 20);
  await untilTrue(() => engine.statistics().closedSegmentsCount === 0);
  assert.ok(chunks.length >= appended - 1);
});

/** A second engine on what the first one left, as after a crash; answers what it sends to the processor. */
async function recoverAfter(t: TestContext, directory: string) {
  const next = openEngine(t, { directory, seal: () => true });
  next.engine.recover();
  await next.until(isKind('complete'));
  return next;
}

test('a crash while the disk takes nothing: the stored chunks are not begun again from 0', async (t) => {
  const first = openEngine(t, { seal: () => true });
  first.engine.open(0, 's');
  first.append(0, frame(1, 10));
  await first.until(isKind('durable'));
  first.disk.fault = (operation) => (operation === 'append' || operation === 'create' ? 'ENOSPC' : null);
  first.append(0, frame(2, 10));
  await first.until(isKind('failed'));
  await first.untilTrue(() => first.chunks.length === 1);
  await first.untilTrue(() => first.engine.statistics().closedSegmentsCount === 0);
  await first.engine.close();

  const next = openEngine(t, {
    directory: first.directory,
    // What storage says of a chunk it has as one of the middle.
    seal: (chunk) => {
      next.engine.sealed(chunk.sessionId, chunk.index, chunk.slot, chunk.index === 0 ? 'not_final' : 'as_asked');
      return true;
    },
    answer: false,
  });
  next.engine.recover();
  const { chunksCount } = await next.until(isKind('complete'));
  assert.equal(chunksCount, 2);
  assert.deepEqual(
    next.chunks.map(({ chunk }) => [chunk.index, chunk.framesCount]),
    [
      [0, 1],
      [1, 0],
    ],
  );
});

test('a session cut off between two chunks gets an empty final one that says so', async (t) => {
  const first = openEngine(t);
  first.engine.open(0, 's');
  first.append(0, frame(1, 10));
  await first.until(isKind('durable'));
  first.disk.fault = (operation) => (operation === 'create' ? 'EIO' : null);
  first.engine.rotate(0, false);
  await first.until(isKind('failed'));
  await first.engine.close();

  const next = await recoverAfter(t, first.directory);
  assert.deepEqual(
    next.chunks.map(({ chunk }) => [chunk.index, chunk.final, chunk.recovered]),
    [
      [0, false, false],
      [1, true, true],
    ],
  );
});

test('frames lost to the disk just before a crash: the recovered session does not look gapless', async (t) => {
  const first = openEngine(t);
  first.engine.open(0, 's');
  first.append(0, frame(1, 10));
  await first.until(isKind('durable'));
  let failures = 1;
  first.disk.fault = (operation) => (operation === 'append' && failures-- > 0 ? 'EIO' : null);
  first.append(0, frame(2, 10));
  await first.until(isKind('failed'));
  await first.engine.close();

  const next = await recoverAfter(t, first.directory);
  assert.deepEqual(
    next.chunks.map(({ chunk }) => [chunk.index, chunk.final, chunk.recovered, chunk.gapBefore]),
    [
      [0, false, false, false],
      [1, true, true, true],
    ],
  );
});

test('a directory that was on its way out when the process died is no session', async (t) => {
  const { engine, directory, until } = openEngine(t);
  mkdirSync(join(directory, '.forgotten', 's'), { recursive: true });
  writeFileSync(join(directory, '.forgotten', 's', '0000000004.seg'), 'rest');
  engine.recover();
  assert.deepEqual((await until(isKind('recovered'))).sessions, []);
  assert.deepEqual(readdirSync(join(directory, '.forgotten')), []);
});
