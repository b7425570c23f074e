import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { replayStateOf } from '@lucid-sessions/recording/replay';
import { keyframeName } from '@lucid-sessions/recording/session-index';
import { eventually, skipUnlessPeers } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { CpuPace } from '../src/cpu-pace.ts';
import { Followed } from '../src/followed.ts';
import { ThreadCpu } from '../src/thread-cpu.ts';
import { complete, indexesOf, Shelf, sessionId, walked } from './support/shelf.ts';

const fromServer = (index: number, hex: string): Frame => ({
  kind: frameKinds.pdu,
  flags: frameFlags.serverToClient | frameFlags.fastPath,
  channelId: 0,
  timeUs: (index + 1) * 10e6,
  body: Buffer.from(hex.replaceAll(' ', ''), 'hex'),
});

/** Fast-path updates that can't be drawn: one that is not defined, and a rectangle of 64 × 64 in a colour depth that is none. */
const undrawable = (index: number): Frame[] => [
  fromServer(index, '00 06 0e 0100 00'),
  fromServer(index, '00 1c 01 1700 0100 0100 0000 0000 3f00 3f00 4000 4000 0500 0000 0100 00'),
];

test('without ffmpeg keyframes end where H.264 begins; with it they go on', async (t) => {
  if (skipUnlessPeers(t, 'ffmpeg')) return;
  const shelf = await Shelf.of('shadow-default', 25);
  const { PATH } = process.env;
  process.env.PATH = '/nowhere';
  const without = indexesOf(shelf);
  t.after(() => {
    process.env.PATH = PATH;
    return without.dispose();
  });
  const { ended, keyframes, replay } = await complete(without, shelf);
  assert.deepEqual([ended, keyframes], ['h264', []]);
  assert.deepEqual([replayStateOf(replay), replay.notDrawn, replay.ended?.reason], ['unexamined', [], 'h264']);
  assert.ok(replay.ended!.atUs <= shelf.frames[0]!.at(-1)!.timeUs);
  await without.dispose();
  process.env.PATH = PATH;
  const having = indexesOf(shelf);
  t.after(() => having.dispose());
  await having.keyframes(sessionId);
  await eventually('keyframes now', async () => (await having.keyframes(sessionId)).covered === shelf.shown, 300_000);
  const now = await having.keyframes(sessionId);
  assert.ok(now.keyframes.length > 0);
  assert.deepEqual(now.replay, await walked(shelf));
});

test('a walk goes on from the last keyframe, and makes all again where that is spoiled', async (t) => {
  const shelf = await Shelf.of('xorg-bpp32-nocomp', 120, undrawable);
  const whole = await walked(shelf);
  const count = shelf.files.length;
  assert.deepEqual(
    whole.notDrawn.map(({ kind, count, firstUs, located }) => [kind, count, firstUs, located]),
    [
      ['bitmap.rectangle.unsupported', count, 10e6, count],
      ['update.unknown', count, 10e6, 0],
    ],
  );
  assert.ok(whole.sharePermille > 0 && whole.sharePermille < 100);
  assert.equal(replayStateOf(whole), 'parts');
  shelf.shown = 8;
  const first = indexesOf(shelf);
  t.after(() => first.dispose());
  const before = await complete(first, shelf);
  // What it was asked for while it walked it would do now.
  await first.dispose();
  shelf.shown = shelf.files.length;
  shelf.reads = 0;
  const second = indexesOf(shelf);
  t.after(() => second.dispose());
  const after = await complete(second, shelf);
  assert.deepEqual(after.replay, whole, 'counts of two pieces are those of one');
  assert.deepEqual(after.keyframes.slice(0, before.keyframes.length), before.keyframes);
  assert.ok(after.keyframes.length > before.keyframes.length);
  const read = `${shelf.reads} of ${shelf.files.length} from ${before.keyframes.at(-1)!.chunkIndex} ${before.covered}`;
  assert.ok(shelf.reads <= shelf.files.length - before.keyframes.at(-1)!.chunkIndex, read);

  const last = before.keyframes.at(-1)!;
  shelf.sidecars.set('keyframe-list', new Uint8Array(100));
  assert.deepEqual((await complete(second, shelf)).covered, shelf.files.length);
  shelf.sidecars.delete('keyframe-list');
  shelf.shown = 8;
  await complete(second, shelf);
  shelf.sidecars.set(keyframeName(last.number), new Uint8Array(100));
  shelf.shown = shelf.files.length;
  const again = await complete(second, shelf);
  assert.ok(again.keyframes.length > 0 && again.covered === shelf.files.length);
  assert.deepEqual(again.replay, whole);
  for (const keyframe of again.keyframes) await shelf.state(keyframe);
  assert.equal(await second.keyframe(sessionId, 9999), null);
});

test('keyframes end where a chunk is lost', async (t) => {
  const lost = await Shelf.of('xorg-bpp32-nocomp', 120);
  lost.files[6] = null;
  const b = indexesOf(lost);
  t.after(() => b.dispose());
  const { ended, keyframes, replay } = await complete(b, lost);
  assert.equal(ended, 'chunk');
  assert.deepEqual(replay, await walked(lost));
  assert.deepEqual([replayStateOf(replay), replay.ended?.chunk, replay.chunks], ['parts', 6, 6]);
  assert.ok(keyframes.every(({ chunkIndex }) => chunkIndex < 6));
});

test('following makes the index, and keyframes only by policy: else they wait for somebody to look', async (t) => {
  const shelf = await Shelf.of('xorg-bpp32-nocomp', 120);
  const asked = indexesOf(shelf);
  t.after(() => asked.dispose());
  asked.follow(sessionId);
  const indexed = `index-${String(shelf.files.length).padStart(6, '0')}`;
  await eventually('the index', () => shelf.sidecars.has(indexed), 300_000);
  // Twice: behind the second one's index the first one's keyframes would have begun.
  asked.follow(sessionId);
  for await (const _ of asked.segments(sessionId));
  assert.deepEqual(
    [...shelf.sidecars.keys()].filter((name) => name.startsWith('keyframe')),
    [],
  );
  assert.equal(asked.keyframesUsedMs, 0);
  await asked.dispose();

  const ahead = indexesOf(shelf, { made: 'ahead', coresMax: 1 });
  t.after(() => ahead.dispose());
  ahead.follow(sessionId);
  await eventually('keyframes without being asked for', () => shelf.sidecars.has(keyframeName(1)), 300_000);
  assert.ok(ahead.keyframesUsedMs > 0);
});

test('keyframes made ahead keep to their share of the cores, and hurry when somebody waits', async (t) => {
  const shelf = await Shelf.of('xorg-bpp32-nocomp', 300);
  const coresMax = 0.1;
  const indexes = indexesOf(shelf, { made: 'ahead', coresMax });
  t.after(() => indexes.dispose());
  for await (const _ of indexes.segments(sessionId));
  indexes.follow(sessionId);
  await eventually('the first chunks', () => indexes.keyframesUsedMs > 0, 300_000);
  const [beganMs, beforeMs] = [performance.now(), indexes.keyframesUsedMs];
  await eventually('more chunks', () => indexes.keyframesUsedMs > beforeMs + 400, 300_000);
  const share = (indexes.keyframesUsedMs - beforeMs) / (performance.now() - beganMs);
  // What the index thread does beside walking counts as well; a rest saved up, 100 ms of work, may be used at once.
  t.diagnostic(`${share} of a core`);
  assert.ok(share <= coresMax * 1.5, `${share} of a core`);
  const list = await complete(indexes, shelf);
  assert.equal(list.covered, shelf.files.length);
});

test('a pace lets through what its share earns, whatever the times of asking', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.05, max: 4, noNaN: true }),
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 50, maxLength: 200 }),
      (cores, works) => {
        const pace = new CpuPace(cores, 0, 0);
        let [nowMs, usedMs] = [0, 0];
        for (const work of works) {
          // One thread and what it started: as fast as a core and a half.
          nowMs += work / 1.5;
          usedMs += work;
          for (let waitMs = pace.waitMs(usedMs, nowMs); waitMs > 0; waitMs = pace.waitMs(usedMs, nowMs)) {
            assert.ok(waitMs <= 1000);
            nowMs += waitMs;
          }
          assert.ok(usedMs <= cores * (nowMs + 1000 + 20) + 1e-6, `${usedMs} in ${nowMs} with ${cores}`);
        }
      },
    ),
  );
  assert.throws(() => new CpuPace(0, 0, 0), RangeError);
});

test('what programs of the thread use is counted, also when they have ended', {
  skip: process.platform !== 'linux',
}, async () => {
  const cpu = new ThreadCpu();
  const before = cpu.usedMs();
  const child = spawn(process.execPath, [
    '-e',
    'for (const end = Date.now() + 400; Date.now() < end; );setTimeout(() => {}, 1e6)',
  ]);
  const seen = await eventually(
    'processor time of a program',
    () => cpu.usedMs() - before > 200 && cpu.usedMs(),
    60_000,
  );
  child.kill();
  await once(child, 'close');
  assert.ok(cpu.usedMs() >= seen);
});

test('a recording somebody looks at does not wait for the one made ahead', async (t) => {
  const looked: string[] = [];
  const followed = new Followed(
    async (id) => {
      looked.push(id);
      if (id === 'ahead 1') {
        followed.add('ahead 2');
        followed.add('looked at', true);
        assert.ok(followed.hasUrgentBeside('ahead 1'));
        assert.ok(!followed.hasUrgentBeside('looked at'));
      }
    },
    (thrown) => t.diagnostic(String(thrown)),
  );
  followed.add('ahead 1');
  await eventually('all were looked at', () => looked.length === 3);
  assert.deepEqual(looked, ['ahead 1', 'looked at', 'ahead 2']);
});
