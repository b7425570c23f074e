import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { inspectAccessUnit, SessionDecoder, type SessionSnapshot } from '@lucid-sessions/graphics';
import { frameFlags } from '@lucid-sessions/recording';
import { compressState, decompressState, packState, unpackState } from '@lucid-sessions/recording/session-index';
import { captureFrames, readCapture } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { ApiError } from '../src/api/client.ts';
import { noH264Text } from '../src/player/no-h264.ts';
import { lastAtOrBefore, mergeEvents } from '../src/player/page/event-list.ts';
import type { PlayerEvent } from '../src/player/protocol.ts';
import { ChunkTable, scaleActivity } from '../src/player/worker/chunk-table.ts';
import { KeyframeCache, stateBytes } from '../src/player/worker/keyframe-cache.ts';
import { ServerPictures } from '../src/player/worker/server-pictures.ts';
import { WebmClusters, webmHeader } from '../src/player/worker/webm.ts';
import { capturesDirectory } from './support/recording.ts';

const chunk = (sequence: number, startSeconds: number, seconds: number, bytes = 100) => ({
  chunk_id: `c${sequence}`,
  session_id: 's',
  sequence_number: sequence,
  timestamp: new Date(1_700_000_000_000 + startSeconds * 1000).toISOString(),
  status: 'stored',
  size_bytes: bytes,
  duration_seconds: seconds,
  frame_count: 1,
  merkle_hash: '',
  compression_ratio: 1,
  quality_score: 100,
  encryption_key_id: '',
});

describe('the table of chunks', () => {
  test('finds the chunk that was open at a time, and takes no chunk twice', () => {
    const table = new ChunkTable();
    table.append([chunk(1, 0, 10), chunk(2, 10, 10)]);
    table.append([chunk(2, 10, 10), chunk(3, 40, 5)]);
    assert.equal(table.length, 3);
    assert.deepEqual(
      [-1, 0, 9.99, 10, 30, 40, 99].map((seconds) => table.indexAt(seconds * 1e6)),
      [0, 0, 0, 1, 1, 2, 2],
    );
    assert.equal(table.durationUs, 45e6);
    assert.equal(table.totalBytes, 300);
  });

  test('sketches activity: as many bytes as there are, scaled to one', () => {
    const table = new ChunkTable();
    table.append([chunk(1, 0, 10, 1000), chunk(2, 10, 10, 50)]);
    const values = table.activity(20);
    assert.ok(Math.abs(values.reduce((sum, value) => sum + value, 0) - 1050) < 1);
    const scaled = scaleActivity(values);
    assert.equal(Math.max(...scaled), 1);
    assert.ok(scaled.every((value) => value > 0));
    assert.deepEqual([...scaleActivity(new Float32Array(3))], [0, 0, 0]);
  });
});

describe('the cache of keyframes', () => {
  test('stays within its budget and gives the last keyframe at or before a time', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 60 }), (timesUs) => {
        const cache = new KeyframeCache<number>(100);
        for (const timeUs of timesUs) cache.add({ chunkIndex: 0, frameIndex: 0, timeUs, bytes: 20, state: timeUs });
        assert.ok(cache.size <= 5 && cache.bytes === cache.size * 20);
        const found = cache.before(500);
        if (found !== null) assert.ok(found.timeUs <= 500 && found.state === found.timeUs);
        if (new Set(timesUs).size <= 5) assert.equal(cache.size, new Set(timesUs).size);
      }),
    );
  });

  test('drops the one whose neighbours are closest together', () => {
    const cache = new KeyframeCache<number>(3);
    for (const timeUs of [0, 100, 110, 500])
      cache.add({ chunkIndex: 0, frameIndex: 0, timeUs, bytes: 1, state: timeUs });
    assert.deepEqual([cache.before(109)?.timeUs, cache.before(499)?.timeUs, cache.before(500)?.timeUs], [0, 110, 500]);
  });

  test('counts the memory of a state once, however often it is named', () => {
    const pixels = new Uint8Array(1000);
    const twice = { a: pixels, b: new Uint32Array(pixels.buffer), map: new Map([['x', pixels]]), list: [pixels] };
    assert.ok(stateBytes(twice) >= 1000 && stateBytes(twice) < 1500);
    assert.equal(stateBytes(null), 0);
  });
});

describe('packed states', () => {
  test('come back as they were, with shared memory still shared', async () => {
    const memory = new ArrayBuffer(64);
    const state = {
      data: new Uint8ClampedArray(memory),
      words: new Uint32Array(memory),
      part: new Uint8Array(memory, 13, 5),
      map: new Map<unknown, unknown>([
        [1, { a: null, b: undefined }],
        ['x', new Set([1, 'y'])],
      ]),
      list: [1.5, Number.POSITIVE_INFINITY, -0.25, true, 2n ** 70n, ''],
      empty: new Int16Array(0),
    };
    state.words[3] = 0xdeadbeef;
    for (const again of [unpackState(packState(state)), await decompressState(await compressState(state))]) {
      const copy = again as typeof state;
      assert.deepEqual(copy, state);
      copy.data[12] = 7;
      assert.equal(copy.words[3]! & 0xff, 7);
      assert.equal(state.data[12], 0xef);
    }
  });

  test('hold only what views cover of a large buffer', () => {
    const view = new Uint8Array(new ArrayBuffer(1 << 20), 1000, 10).fill(5);
    const packed = packState({ view });
    assert.ok(packed.length < 200);
    assert.deepEqual(unpackState(packed), { view: new Uint8Array(10).fill(5) });
  });

  test('refuse what is no plain value', () => {
    assert.throws(() => packState({ f: () => 1 }), /a function is no state/);
    assert.throws(() => packState({ d: new DataView(new ArrayBuffer(1)) }), /a DataView is no state/);
  });

  test('of a real session draw on as if nothing had happened', async () => {
    for (const name of ['xorg-default', 'xorg-orders-bpp16', 'weston-rfx', 'shadow-bpp16-nocomp']) {
      const frames = captureFrames(readCapture(join(capturesDirectory, `${name}.rdpcap.gz`)));
      const straight = new SessionDecoder();
      const resumed = new SessionDecoder();
      for (const [i, { flags, body }] of frames.entries()) {
        const pdu = { fromServer: (flags & frameFlags.serverToClient) !== 0, bytes: body };
        await straight.push(pdu);
        if (i === Math.floor(frames.length / 2)) {
          const packed = await compressState(straight.snapshot());
          resumed.restore((await decompressState(packed)) as SessionSnapshot);
        } else if (i > frames.length / 2) await resumed.push(pdu);
      }
      assert.deepEqual(resumed.screen.pixels, straight.screen.pixels, name);
    }
  });
});

test('merged events stay in order of time, and the last before a moment is found', () => {
  const event = (timeUs: number): PlayerEvent => ({ timeUs, kind: 'note', text: '' });
  const list = fc.array(fc.integer({ min: 0, max: 100 }).map(event), { maxLength: 20 });
  fc.assert(
    fc.property(list, list, fc.integer({ min: 0, max: 100 }), (a, b, at) => {
      const merged = mergeEvents(mergeEvents([], a), b);
      assert.equal(merged.length, a.length + b.length);
      const index = lastAtOrBefore(merged, at);
      assert.ok(merged.every((one, i) => (i <= index ? one.timeUs <= at : one.timeUs > at)));
    }),
  );
});

test('an access unit says its codec and whether it is a key frame', () => {
  const idr = Uint8Array.from([0, 0, 0, 1, 0x67, 0x64, 0x00, 0x20, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x65, 9]);
  assert.deepEqual(inspectAccessUnit(idr), { codec: 'avc1.640020', key: true });
  assert.deepEqual(inspectAccessUnit(Uint8Array.from([0, 0, 1, 0x41, 1, 2])), { codec: null, key: false });
  assert.deepEqual(inspectAccessUnit(Uint8Array.from([0, 0, 1])), { codec: null, key: false });
});

describe('WebM', () => {
  /** Elements of one level: id and content. Sizes are the writer's 8-byte ones. */
  function elements(bytes: Uint8Array): { id: number; content: Uint8Array }[] {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const found: { id: number; content: Uint8Array }[] = [];
    for (let at = 0; at < bytes.length; ) {
      const idBytes = Math.clz32(bytes[at]!) - 23;
      let id = 0;
      for (let i = 0; i < idBytes; i += 1) id = id * 256 + bytes[at + i]!;
      at += idBytes;
      const size = view.getBigUint64(at) & 0xff_ffff_ffff_ffffn;
      const end = size === 0xff_ffff_ffff_ffffn ? bytes.length : at + 8 + Number(size);
      found.push({ id, content: bytes.subarray(at + 8, Math.min(end, bytes.length)) });
      at = Math.min(end, bytes.length);
    }
    return found;
  }

  test('begins with the EBML head and describes its track', () => {
    const [head, segment] = elements(webmHeader({ codec: 'V_VP9', width: 1024, height: 768, durationMs: 1500 }));
    assert.equal(head?.id, 0x1a45dfa3);
    assert.equal(segment?.id, 0x18538067);
    const [info, tracks] = elements(segment!.content);
    const duration = elements(info!.content).find(({ id }) => id === 0x4489)!.content;
    assert.equal(new DataView(duration.buffer, duration.byteOffset).getFloat64(0), 1500);
    const track = elements(elements(tracks!.content)[0]!.content);
    assert.equal(new TextDecoder().decode(track.find(({ id }) => id === 0x86)!.content), 'V_VP9');
    const video = elements(track.find(({ id }) => id === 0xe0)!.content);
    assert.deepEqual(
      video.map(({ content }) => content[0]! * 256 + content[1]!),
      [1024, 768],
    );
  });

  test('starts a cluster with each key frame and keeps times relative to it', () => {
    const clusters = new WebmClusters();
    const data = Uint8Array.of(1, 2, 3);
    assert.equal(clusters.add({ timeMs: 0, keyFrame: true, data }), null);
    assert.equal(clusters.add({ timeMs: 40, keyFrame: false, data }), null);
    const first = clusters.add({ timeMs: 70_000, keyFrame: true, data });
    const [cluster] = elements(first!);
    const [time, , second] = elements(cluster!.content);
    assert.deepEqual([time!.id, ...time!.content], [0xe7, 0]);
    assert.deepEqual([...second!.content], [0x81, 0, 40, 0, 1, 2, 3]);
    const [last] = elements(clusters.finish()!);
    assert.deepEqual([...elements(last!.content)[0]!.content], [0x01, 0x11, 0x70]);
    assert.equal(clusters.finish(), null);
  });

  test('a long time without a key frame still begins a new cluster', () => {
    const clusters = new WebmClusters();
    clusters.add({ timeMs: 0, keyFrame: true, data: new Uint8Array(1) });
    assert.notEqual(clusters.add({ timeMs: 31_000, keyFrame: false, data: new Uint8Array(1) }), null);
  });
});

test('a browser that can’t show H.264 is told why, and what is shown instead', () => {
  const browser = { isSecure: true, hasWebCodecs: true, isLive: false, problem: null };
  assert.match(
    noH264Text({ ...browser, isSecure: false }),
    /can’t show them: .*Open this one over https.*The server draws them instead.*about one a second while playing\.$/,
  );
  assert.match(noH264Text({ ...browser, hasWebCodecs: false }), /it has no WebCodecs\. A current Chrome/);
  assert.match(
    noH264Text({ ...browser, problem: 'install ffmpeg.' }),
    /no decoder for this kind.*this moment: install ffmpeg\.$/,
  );
  assert.match(noH264Text({ ...browser, isLive: true }), /while playing, up to half a minute behind/);
});

describe('pictures of the server', () => {
  const busy = new ApiError(404, null, 'not there yet', null, { retry_after_seconds: 1 });
  /** A server whose clock moves only while somebody waits. */
  function server(answers: (timeUs: number) => string) {
    const [asked, shown, problems]: [[number, number][], string[], (string | null)[]] = [[], [], []];
    let nowMs = 0;
    let underWay = 0;
    const pictures = new ServerPictures<string>({
      now: () => nowMs,
      sleep: async (ms) => {
        nowMs += ms;
        await turns(1);
      },
      fetch: async (timeUs) => {
        underWay += 1;
        assert.equal(underWay, 1, 'one at a time');
        asked.push([timeUs, nowMs]);
        await turns(3);
        nowMs += 40;
        underWay -= 1;
        return answers(timeUs);
      },
      onPicture: (timeUs, picture) => shown.push(`${picture} of ${timeUs}`),
      onProblem: (text) => problems.push(text),
    });
    return { pictures, asked, shown, problems };
  }
  const turns = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
  };

  test('one at a time, not too often, and of many moments the last', async () => {
    const { pictures, asked, shown } = server(() => 'picture');
    const first = pictures.at(1);
    await turns(2);
    const passed = [2, 3, 4].map((timeUs) => pictures.at(timeUs));
    assert.deepEqual(await Promise.all([first, ...passed]), ['passed', 'passed', 'passed', 'shown']);
    assert.deepEqual(
      asked.map(([timeUs]) => timeUs),
      [1, 4],
    );
    assert.ok(asked[1]![1] - asked[0]![1] >= 250);
    assert.deepEqual(shown, ['picture of 4']);
    await turns(2);
    assert.equal(await pictures.at(4), 'shown');
    assert.equal(asked.length, 2, 'what is shown is not asked for again');
  });

  test('what is not there yet is asked for again; what fails is told, and shown once it is there', async () => {
    let fails = 2;
    const { pictures, asked, shown, problems } = server(() => {
      if (fails === 0) return 'picture';
      fails -= 1;
      throw fails === 1 ? busy : new Error('install ffmpeg');
    });
    assert.equal(await pictures.at(7), 'failed');
    assert.deepEqual([asked.length, problems], [2, ['not there yet', 'install ffmpeg']]);
    assert.ok(asked[1]![1] - asked[0]![1] >= 1000);
    await turns(2);
    assert.equal(await pictures.at(7), 'shown');
    assert.deepEqual([shown, problems.at(-1)], [['picture of 7'], null]);
    pictures.close();
    assert.equal(await pictures.at(8), 'passed');
  });
});
