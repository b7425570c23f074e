import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import type { SessionDocument, StoragePort } from '@lucid-sessions/contract';
import { openSidecar, sessionKeys, toHex } from '@lucid-sessions/evidence';
import { SessionDecoder, type SessionSnapshot } from '@lucid-sessions/graphics';
import { createFfmpegH264Decoder, createH264Decoder, indexerPlatform, nodeCrypto } from '@lucid-sessions/node';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { type ReplayTally, ReplayWalk, replayStateOf } from '@lucid-sessions/recording/replay';
import {
  type KeyframeList,
  keyframeHead,
  keyframeName,
  keyframeState,
  type ListedKeyframe,
  type OpenedKeyframe,
  openKeyframe,
} from '@lucid-sessions/recording/session-index';
import { eventually, loopedFrames, skipUnlessPeers } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { CpuPace } from '../src/cpu-pace.ts';
import { Followed } from '../src/followed.ts';
import { type KeyframePolicy, SessionIndexes } from '../src/index.ts';
import { ThreadCpu } from '../src/thread-cpu.ts';
import { chunkFile } from './support/chunk-files.ts';

const sessionId = 'session-1';
const dek = new Uint8Array(32).fill(9);
const dekId = new Uint8Array(16).fill(8);
const sealedSession = { sessionId, dek, dekId };
const { view } = await sessionKeys(nodeCrypto, dek, dekId);
const captures = new URL('../../../testkit/captures/', import.meta.url).pathname;

/** A recording on a shelf in memory: `seconds` of a capture looped, in chunks of 10 s. */
class Shelf {
  readonly sidecars = new Map<string, Uint8Array>();
  readonly frames: Frame[][] = [];
  readonly files: (Uint8Array | null)[] = [];
  shown = 0;
  reads = 0;

  /** `more` frames come behind those of the capture in a chunk. */
  static async of(capture: string, seconds: number, more: (index: number) => Frame[] = () => []): Promise<Shelf> {
    const shelf = new Shelf();
    for (const frame of loopedFrames(`${captures}${capture}.rdpcap.gz`, seconds * 1e6)) {
      const index = Math.floor(frame.timeUs / 10e6);
      while (shelf.frames.length <= index) shelf.frames.push([]);
      shelf.frames[index]!.push(frame);
    }
    for (const [index, frames] of shelf.frames.entries()) frames.push(...more(index));
    for (const [index, frames] of shelf.frames.entries())
      shelf.files.push(await chunkFile(sealedSession, index, frames));
    shelf.shown = shelf.files.length;
    return shelf;
  }

  get port(): StoragePort {
    const session = { session_id: sessionId, storage_config: { encryption_enabled: true }, recording_config: {} };
    const calls = {
      getSession: async () => ({ session: session as unknown as SessionDocument }),
      getWraps: async () => ({ wraps: [{ scheme: 'x', recipient: '', keyId: toHex(dekId), wrapped: dek }] }),
      listChunks: async () => ({ chunks: [], total: this.shown }),
      sessionTotals: async () => ({
        storedBytes: this.files.slice(0, this.shown).reduce((bytes, file) => bytes + (file?.length ?? 0), 0),
      }),
      getChunk: async ({ index }: { index: number }) => ({
        chunk: { flags: index === this.files.length - 1 ? 4 : 0, fileBytes: this.files[index]?.length ?? 0 },
      }),
      readChunk: async ({ index }: { index: number }) => {
        this.reads += 1;
        return { file: this.files[index] ?? null };
      },
      putSidecar: async ({ name, bytes }: { name: string; bytes: Uint8Array }) => void this.sidecars.set(name, bytes),
      getSidecar: async ({ name }: { name: string }) => ({ bytes: this.sidecars.get(name) ?? null }),
    };
    return calls as unknown as StoragePort;
  }

  async plain(number: number): Promise<Uint8Array> {
    const name = keyframeName(number);
    return openSidecar(nodeCrypto, view, { sessionId, name }, this.sidecars.get(name)!);
  }

  /** The state of a keyframe, as the player gets it. */
  async state({ number }: ListedKeyframe): Promise<SessionSnapshot> {
    return keyframeState(await this.opened(number));
  }

  async opened(number: number): Promise<OpenedKeyframe> {
    const plain = await this.plain(number);
    const { base } = keyframeHead(plain);
    return openKeyframe(plain, base === 0 ? null : await this.opened(base));
  }
}

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

/** What a walk that nothing is known to says. */
async function walked(shelf: Shelf): Promise<ReplayTally> {
  const walk = new ReplayWalk(createH264Decoder);
  for (const [index, frames] of shelf.frames.entries()) await walk.chunk(shelf.files[index] === null ? null : frames);
  const tally = await walk.end();
  walk.close();
  return tally;
}

const indexesOf = (shelf: Shelf, keyframes?: KeyframePolicy) =>
  new SessionIndexes({
    storage: shelf.port,
    crypto: nodeCrypto,
    platform: indexerPlatform,
    unwrapKey: async (wraps) => wraps[0]!.wrapped,
    ...(keyframes && { keyframes }),
  });

/** Asks until all chunks were looked at. */
async function complete(indexes: SessionIndexes, shelf: Shelf): Promise<KeyframeList> {
  let list = await indexes.keyframes(sessionId);
  await eventually(
    'keyframes of every chunk',
    async () => {
      list = await indexes.keyframes(sessionId);
      return list.covered === shelf.shown || list.ended !== null;
    },
    300_000,
  );
  return list;
}

async function draw(decoder: SessionDecoder, frames: readonly Frame[]): Promise<void> {
  for (const { flags, body } of frames)
    await decoder.push({ fromServer: (flags & frameFlags.serverToClient) !== 0, bytes: body });
}

const withH264 = () => new SessionDecoder({ createH264Decoder: () => createFfmpegH264Decoder() });

for (const [capture, seconds, ...peers] of [
  ['gnome-type-gfx-default', 400],
  ['xorg-rfx-lan', 500],
  ['xorg-bpp32-nocomp', 120],
  // AVC420, and both views of AVC444v2; their streams begin anew with every turn of the loop.
  // The first's state holds what its login screen left in the bulk compressor: 3 MB have to be stored to pay for one.
  ['shadow-gfx-avc420', 130, 'ffmpeg'],
  ['shadow-default', 25, 'ffmpeg'],
] as const)
  test(`every keyframe of ${capture} is the state that decoding from the beginning gives`, async (t) => {
    if (peers.length > 0 && skipUnlessPeers(t, ...peers)) return;
    const shelf = await Shelf.of(capture, seconds);
    const indexes = indexesOf(shelf);
    t.after(() => indexes.dispose());
    const { keyframes, keyframeBytes, storedBytes, replay } = await complete(indexes, shelf);
    assert.deepEqual([replay.chunks, replay.lit, replay.ended], [shelf.shown, true, null]);
    assert.ok(keyframes.length >= 3, `${keyframes.length} keyframes`);
    // Those of the last one are so small that none has a base.
    assert.ok(capture === 'shadow-default' || keyframes.some(({ base }) => base !== 0));
    assert.ok(keyframeBytes <= storedBytes * 0.08, `${keyframeBytes} of ${storedBytes}`);
    // Paid from what is stored behind it: its own beginning could not.
    if (capture === 'shadow-gfx-avc420') assert.ok(keyframes[0]!.timeUs < 20e6, `the first at ${keyframes[0]!.timeUs}`);

    const straight = withH264();
    const left = [...keyframes];
    const resumed = withH264();
    t.after(() => {
      straight.close();
      resumed.close();
    });
    /** States that are whole only once the next frames, up to their time, were decoded. */
    let bare = 0;
    for (const [chunkIndex, frames] of shelf.frames.entries()) {
      let from = 0;
      for (; left[0]?.chunkIndex === chunkIndex; from = left.shift()!.frameIndex) {
        const keyframe = left[0];
        await draw(straight, frames.slice(from, keyframe.frameIndex));
        const state = await shelf.state(keyframe);
        const { timeUs } = keyframeHead(await shelf.plain(keyframe.number));
        resumed.restore(state);
        if (timeUs === (frames[keyframe.frameIndex - 1]?.timeUs ?? 0))
          assert.deepEqual(state.screen.pixels.data, straight.screen.pixels.data);
        else {
          bare += 1;
          const [one, other] = [straight, resumed].map((decoder) => decoder.snapshot('lean'));
          // Its picture may come in the next chunk.
          const behind = [...frames.slice(keyframe.frameIndex), ...(shelf.frames[chunkIndex + 1] ?? [])];
          const rest = behind.filter((frame) => frame.timeUs <= timeUs);
          await draw(straight, rest);
          await draw(resumed, rest);
          assert.deepEqual(resumed.screen.pixels.data, straight.screen.pixels.data);
          straight.restore(one!);
          resumed.restore(other!);
        }
      }
      await draw(straight, frames.slice(from));
      if (from > 0) await draw(resumed, frames.slice(from));
      if (from > 0) assert.deepEqual(resumed.screen.pixels.data, straight.screen.pixels.data);
    }
    assert.equal(left.length, 0);
    assert.equal(bare > 0, peers.length > 0);
    // A loop repeats what was compressed against its own past, such as pointers here.
    const graphics = [...straight.screen.unsupported].filter(([kind]) => kind.startsWith('gfx') || peers.length === 0);
    assert.deepEqual(graphics, []);
  });

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
