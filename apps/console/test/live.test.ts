/** The live stream as the player takes it: its blocks, the line of chunks it makes, and what happens when it breaks. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Frame, FrameWriter, frameKinds, PAYLOAD_HEADER_BYTES } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { ApiError } from '../src/api/client.ts';
import { blockBytesMax, type LiveBlock, LiveBlockReader } from '../src/player/live/live-blocks.ts';
import { LiveChunks } from '../src/player/live/live-chunks.ts';
import { followLive, type LiveSource, type LiveState } from '../src/player/live/live-feed.ts';
import type { LoadedChunk } from '../src/player/worker/chunk-store.ts';
import { type ChunkEntry, ChunkTable } from '../src/player/worker/chunk-table.ts';

const frame = (timeUs: number): Frame => ({
  kind: frameKinds.pdu,
  flags: 1,
  channelId: 0,
  timeUs,
  body: new TextEncoder().encode(`frame at ${timeUs}`),
});

/** One block as the API sends it. */
function encodeBlock(chunkIndex: number, firstFrame: number, frames: readonly Frame[]): Uint8Array {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  for (const { kind, flags, channelId, timeUs, body } of frames) writer.append(kind, flags, channelId, timeUs, body);
  const payload = writer.payload({ firstFrameNumber: firstFrame, openedUs: 1 });
  const block = new Uint8Array(8 + payload.length);
  new DataView(block.buffer).setUint32(0, chunkIndex);
  new DataView(block.buffer).setUint32(4, payload.length);
  block.set(payload, 8);
  return block;
}

const joined = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

const plain = (blocks: readonly LiveBlock[]): unknown[] =>
  blocks.map(({ chunkIndex, firstFrame, frames }) => [chunkIndex, firstFrame, frames.map(({ timeUs }) => timeUs)]);

describe('blocks of the live stream', () => {
  const stream = joined([
    encodeBlock(0, 0, [frame(1), frame(2)]),
    encodeBlock(0, 2, []),
    encodeBlock(7, 2, [frame(3)]),
  ]);
  const expected = [
    [0, 0, [1, 2]],
    [0, 2, []],
    [7, 2, [3]],
  ];

  test('are read wherever the stream is cut in two, and byte by byte', () => {
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const reader = new LiveBlockReader();
      const blocks = [...reader.push(stream.subarray(0, cut)), ...reader.push(stream.subarray(cut))];
      assert.deepEqual(plain(blocks), expected, `cut at ${cut}`);
      assert.ok(reader.betweenBlocks);
    }
    const reader = new LiveBlockReader();
    assert.deepEqual(plain([...stream].flatMap((byte) => reader.push(Uint8Array.of(byte)))), expected);
  });

  test('are not given before they are whole', () => {
    const whole = encodeBlock(0, 0, [frame(1)]);
    for (let length = 1; length < whole.length; length += 1) {
      const reader = new LiveBlockReader();
      assert.deepEqual(reader.push(whole.subarray(0, length)), []);
      assert.equal(reader.betweenBlocks, false);
    }
  });

  test('of impossible lengths are refused before there is memory for them', () => {
    for (const length of [0, PAYLOAD_HEADER_BYTES - 1, blockBytesMax + 1, 0xffff_ffff]) {
      const header = new Uint8Array(8);
      new DataView(header.buffer).setUint32(4, length);
      assert.throws(() => new LiveBlockReader().push(header), /a block of the live stream has/);
    }
  });

  test('made of random bytes give a block or one of two errors', () => {
    const damaged = fc.record({ at: fc.nat(stream.length - 1), byte: fc.nat(255), tail: fc.uint8Array() });
    fc.assert(
      fc.property(damaged, ({ at, byte, tail }) => {
        const bytes = joined([stream, tail]);
        bytes[at] = byte;
        try {
          new LiveBlockReader().push(bytes);
        } catch (error) {
          assert.ok(error instanceof RangeError || error instanceof DecodeError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

const stored = (sequence: number, frameCount: number) => ({
  chunk_id: `c${sequence}`,
  session_id: 's',
  sequence_number: sequence,
  timestamp: new Date(sequence * 1000).toISOString(),
  status: 'stored',
  size_bytes: 1,
  duration_seconds: 1,
  frame_count: frameCount,
  merkle_hash: '',
  compression_ratio: 1,
  quality_score: 100,
  encryption_key_id: '',
});

const block = (chunkIndex: number, firstFrame: number, timesUs: readonly number[]): LiveBlock => ({
  chunkIndex,
  firstFrame,
  frames: timesUs.map(frame),
  payloadBytes: 100,
});

function line(bytesMax = 1 << 20) {
  const table = new ChunkTable();
  const loaded: number[] = [];
  const load = async (entry: ChunkEntry): Promise<LoadedChunk> => {
    loaded.push(entry.index);
    return { index: entry.index, frames: [], payloadBytes: 0 };
  };
  const chunks = new LiveChunks(table, { load, prefetch: (entry) => void loaded.push(entry.index) }, bytesMax);
  return { table, chunks, loaded };
}

describe('the line of stored and live chunks', () => {
  test('begins behind what is stored, grows, and reads as stored what was stored meanwhile', async () => {
    const { table, chunks, loaded } = line();
    table.append([stored(1, 5)]);
    assert.equal(chunks.resume(), 5);
    chunks.add(block(1, 5, [10, 20]));
    chunks.add(block(1, 7, []));
    chunks.add(block(1, 7, [30]));
    chunks.add(block(2, 8, [40]));
    assert.deepEqual([table.length, table.storedLength, chunks.lastFrameUs], [3, 1, 40]);
    const timesOf = async (index: number): Promise<number[]> =>
      (await chunks.load(table.entries[index]!)).frames.map(({ timeUs }) => timeUs);
    assert.deepEqual([await timesOf(1), await timesOf(2)], [[10, 20, 30], [40]]);
    assert.deepEqual(loaded, []);

    table.append([stored(2, 3)]);
    chunks.release();
    await chunks.load(table.entries[1]!);
    chunks.prefetch(table.entries[2]!);
    assert.deepEqual(loaded, [1]);
    assert.equal(table.length, 3);
    assert.equal(chunks.resume(), 9);
    table.settle();
    assert.equal(table.length, 2);
  });

  test('passes over frames that were stored before the stream brought them', () => {
    const { table, chunks } = line();
    chunks.resume();
    table.append([stored(1, 2)]);
    chunks.add(block(0, 0, [1, 2]));
    chunks.add(block(1, 2, [3]));
    assert.deepEqual([table.length, table.storedLength], [2, 1]);
  });

  test('refuses frames and chunks that do not go on where the ones before ended', () => {
    const { chunks } = line();
    chunks.resume();
    chunks.add(block(0, 0, [1]));
    assert.throws(() => chunks.add(block(0, 2, [3])), /frame 2 instead of 1/);
    assert.throws(() => chunks.add(block(2, 1, [3])), /chunk 3 behind chunk 1/);
    chunks.add(block(1, 1, [3]));
    assert.throws(() => chunks.add(block(0, 2, [4])), /chunk 1 behind chunk 2/);
  });

  test('is full when what is not stored takes its memory, but never for one chunk', () => {
    const { table, chunks } = line(250);
    chunks.resume();
    chunks.add(block(0, 0, [1, 2]));
    assert.equal(chunks.full, false);
    chunks.add(block(1, 2, [3]));
    assert.equal(chunks.full, true);
    table.append([stored(1, 2)]);
    chunks.release();
    assert.equal(chunks.full, false);
  });
});

/** A server that plays its part call by call; each try takes the next answer. */
function feed(answers: readonly (Uint8Array[] | Error | 'silent')[], options: { bytesMax?: number } = {}) {
  const { table, chunks } = line(options.bytesMax);
  const states: LiveState[] = [];
  const waits: number[] = [];
  const asked: number[] = [];
  let running = true;
  const stop = new AbortController();
  const source: LiveSource = {
    connect: async (afterFrame, signal) => {
      const answer = answers[asked.length];
      asked.push(afterFrame);
      if (asked.length === answers.length) running = false;
      if (answer instanceof Error) throw answer;
      return new ReadableStream({
        start: (controller) => {
          signal.addEventListener('abort', () => controller.error(signal.reason));
          if (answer === undefined || answer === 'silent') return;
          for (const piece of answer) controller.enqueue(piece);
          controller.close();
        },
      });
    },
    refresh: async () => {},
    running: async () => running,
    sleep: async (ms) => {
      waits.push(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
    random: () => 1,
  };
  const run = (silenceMs?: number): Promise<void> =>
    followLive(source, chunks, (state) => states.push(state), stop.signal, silenceMs);
  return { run, table, chunks, states, waits, asked, stop };
}

const refusal = (status: number, details: unknown = null): ApiError => new ApiError(status, null, 'no', null, details);

describe('following the live stream', () => {
  test('goes on behind the last whole block when the stream breaks, and ends with the session', async () => {
    const second = encodeBlock(0, 1, [frame(2)]);
    const { run, asked, states, chunks } = feed([[encodeBlock(0, 0, [frame(1)]), second.subarray(0, 11)], [second]]);
    await run();
    assert.deepEqual(asked, [0, 1]);
    assert.deepEqual(
      states.map(({ kind }) => kind),
      ['live', 'waiting', 'live', 'ended'],
    );
    assert.equal(chunks.lastFrameUs, 2);
  });

  test('waits longer and longer between tries, up to a limit, and not in step with others', async () => {
    const { run, waits } = feed(Array.from({ length: 12 }, () => refusal(502)));
    await run();
    assert.deepEqual(waits.slice(0, 6), [500, 1000, 2000, 4000, 8000, 16_000]);
    assert.ok(waits.slice(6).every((ms) => ms === 20_000));
  });

  test('says when there are too many viewers, and takes the place that is given back', async () => {
    const crowded = refusal(503, { viewers_max: 32, viewers_per_user_max: 4 });
    const { run, states } = feed([crowded, [encodeBlock(0, 0, [frame(1)])]]);
    await run();
    assert.match(states[0]?.kind === 'waiting' ? states[0].message : '', /too many sessions are being watched/i);
    assert.deepEqual(
      states.map(({ kind }) => kind),
      ['waiting', 'live', 'ended'],
    );
  });

  test('does not come back where it was refused', async () => {
    for (const status of [401, 403, 404]) {
      const { run, asked, states } = feed([refusal(status), []]);
      await run();
      assert.equal(asked.length, 1);
      assert.equal(states.at(-1)?.kind, 'refused');
    }
  });

  test('begins again when the stream is out of order or gives no sign of life', async () => {
    const { run, asked, states } = feed([
      [encodeBlock(0, 0, [frame(1)]), encodeBlock(0, 9, [frame(2)])],
      'silent',
      [encodeBlock(0, 1, [frame(2)])],
    ]);
    await run(50);
    assert.deepEqual(asked, [0, 1, 1]);
    assert.equal(states.at(-1)?.kind, 'ended');
  });

  test('reads nothing on while memory is used up', async () => {
    const { run, chunks, waits, stop } = feed(
      [[encodeBlock(0, 0, [frame(1)]), encodeBlock(1, 1, [frame(2)]), encodeBlock(2, 2, [frame(3)])]],
      { bytesMax: 100 },
    );
    const done = run();
    while (waits.length < 10) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(chunks.lastFrameUs, 2, 'the third block waits');
    stop.abort();
    await done;
  });

  test('ends at once when it is told to', async () => {
    const { run, stop, states } = feed(['silent', []]);
    const done = run();
    stop.abort();
    await done;
    assert.deepEqual(states, []);
  });
});
