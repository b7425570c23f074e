import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import fc from 'fast-check';
import type { LoadedChunk } from '../src/player/worker/chunk-store.ts';
import { type ChunkEntry, ChunkTable } from '../src/player/worker/chunk-table.ts';
import { Engine, type PictureDecoder, type StoredStates } from '../src/player/worker/engine.ts';

/** A picture that is the list of frames drawn so far: any frame lost, doubled or out of order shows. */
class ListDecoder implements PictureDecoder<string[]> {
  drawn: string[] = [];
  framesCount = 0;
  resets = 0;
  restores = 0;
  readonly #asynchronous: boolean;

  constructor(asynchronous = false) {
    this.#asynchronous = asynchronous;
  }
  /** An asynchronous one puts off what it may. */
  readonly #later: Frame[] = [];
  async take(frame: Frame, later = false): Promise<void> {
    if (this.#asynchronous && later) this.#later.push(frame);
    else {
      await this.settle();
      if (this.#asynchronous) await new Promise(setImmediate);
      this.#draw(frame);
    }
  }
  async settle(): Promise<void> {
    for (const frame of this.#later.splice(0)) {
      await new Promise(setImmediate);
      this.#draw(frame);
    }
  }
  #draw(frame: Frame): void {
    this.drawn.push(new TextDecoder().decode(frame.body));
    // Every third frame changes nothing that can be seen.
    if (this.drawn.length % 3 !== 0) this.framesCount += 1;
  }
  snapshot(): string[] | null {
    return this.#later.length > 0 ? null : [...this.drawn];
  }
  restore(state: string[]): void {
    this.#later.length = 0;
    this.restores += 1;
    this.drawn = [...state];
  }
  reset(): void {
    this.#later.length = 0;
    this.resets += 1;
    this.drawn = [];
  }
}

function frame(timeUs: number, name: string, flags = 0): Frame {
  return { kind: frameKinds.pdu, flags, channelId: 0, timeUs, body: new TextEncoder().encode(name) };
}

interface World {
  engine: Engine<string[]>;
  decoder: ListDecoder;
  /** What must be drawn at a time. */
  expected(timeUs: number): string[];
  endUs: number;
}

/** A recording of chunks of `chunkUs` from frame times. */
function world(
  timesUs: number[],
  options: { chunkUs?: number; asynchronous?: boolean; keyframeBytes?: number; stored?: StoredStates<string[]> } = {},
): World {
  const { chunkUs = 5_000_000, asynchronous = false, keyframeBytes = 1 << 20 } = options;
  const sorted = [...timesUs].sort((a, b) => a - b);
  const frames = sorted.map((timeUs, i) => frame(timeUs, `${i}@${timeUs}`));
  const chunksCount = Math.floor((sorted.at(-1) ?? 0) / chunkUs) + 1;
  const chunks: LoadedChunk[] = Array.from({ length: chunksCount }, (_, index) => ({
    index,
    payloadBytes: 0,
    frames: frames.filter(({ timeUs }) => Math.floor(timeUs / chunkUs) === index),
  }));
  const table = new ChunkTable();
  table.append(
    chunks.map((_, i) => ({
      chunk_id: `c${i}`,
      session_id: 's',
      sequence_number: i + 1,
      timestamp: new Date((i * chunkUs) / 1000).toISOString(),
      status: 'stored',
      size_bytes: 1,
      duration_seconds: chunkUs / 1e6,
      frame_count: 0,
      merkle_hash: '',
      compression_ratio: 1,
      quality_score: 100,
      encryption_key_id: '',
    })),
  );
  const load = (entry: ChunkEntry): Promise<LoadedChunk> =>
    asynchronous
      ? new Promise((resolve) => setImmediate(() => resolve(chunks[entry.index]!)))
      : Promise.resolve(chunks[entry.index]!);
  const decoder = new ListDecoder(asynchronous);
  let clockMs = 0;
  const engine = new Engine(
    table,
    { load, prefetch: () => {} },
    decoder,
    {
      now: () => {
        clockMs += 1;
        return clockMs;
      },
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    },
    { keyframeBytesMax: keyframeBytes, keyframeEveryUs: 2_000_000 },
    options.stored,
  );
  const expected = (timeUs: number): string[] =>
    frames.filter((one) => one.timeUs <= timeUs).map(({ body }) => new TextDecoder().decode(body));
  return { engine, decoder, expected, endUs: sorted.at(-1) ?? 0 };
}

const times = fc.array(fc.integer({ min: 0, max: 40_000_000 }), { minLength: 1, maxLength: 120 });
const seeks = fc.array(fc.integer({ min: 0, max: 45_000_000 }), { minLength: 1, maxLength: 12 });

test('after any seeks the picture is that of playing straight to the last one', async () => {
  await fc.assert(
    fc.asyncProperty(times, seeks, async (timesUs, targets) => {
      const { engine, decoder, expected } = world(timesUs);
      for (const target of targets) {
        assert.ok(await engine.seek(target));
        assert.deepEqual(decoder.drawn, expected(target));
      }
    }),
  );
});

test('a seek that overtakes another leaves its own picture, whatever was running', async () => {
  await fc.assert(
    fc.asyncProperty(times, seeks, async (timesUs, targets) => {
      const { engine, decoder, expected } = world(timesUs, { asynchronous: true });
      const results = await Promise.all(targets.map((target) => engine.seek(target)));
      assert.equal(results.at(-1), true);
      assert.deepEqual(decoder.drawn, expected(targets.at(-1)!));
    }),
    { numRuns: 30 },
  );
});

test('going back restores a kept state instead of beginning again', async () => {
  const { engine, decoder, expected } = world(Array.from({ length: 40 }, (_, i) => i * 1e6));
  await engine.seek(39e6);
  assert.ok(engine.keyframesCount > 5);
  await engine.seek(30e6);
  assert.deepEqual([decoder.restores, decoder.resets], [1, 0]);
  assert.deepEqual(decoder.drawn, expected(30e6));
});

test('a stored state is gone on from, and one that can not be had is passed over', async () => {
  const place = (timeUs: number) => ({ chunkIndex: timeUs / 5e6, frameIndex: 1, timeUs });
  let places = [place(10e6), place(20e6)];
  const asked: number[] = [];
  const stored: StoredStates<string[]> = {
    before: (timeUs) => places.findLast((one) => one.timeUs <= timeUs) ?? null,
    load: async (one) => {
      asked.push(one.timeUs);
      places = places.filter((other) => other !== one);
      return one.timeUs === 20e6 ? null : ['stored'];
    },
  };
  const { engine, decoder } = world([0, 1e6, 10e6, 20e6, 21e6], { stored });
  await engine.seek(21e6);
  assert.deepEqual(asked, [20e6, 10e6]);
  assert.deepEqual(decoder.drawn, ['stored', '3@20000000', '4@21000000']);
  await engine.seek(1e6);
  assert.deepEqual(decoder.drawn, ['0@0', '1@1000000']);
});

test('stepping forward and back visits the same changes', async () => {
  const { engine, decoder, expected } = world(Array.from({ length: 30 }, (_, i) => i * 700_000));
  const forward: number[] = [];
  for (let time = await engine.stepForward(); time !== null; time = await engine.stepForward()) forward.push(time);
  assert.equal(forward.length, 20);
  const back: number[] = [];
  for (let time: number | null = forward.at(-1)!; time !== null; time = await engine.stepBack(time)) {
    back.push(time);
    if (time !== forward.at(-1)) assert.deepEqual(decoder.drawn, expected(time));
  }
  assert.deepEqual(back.reverse(), forward);
});

test('a deadline stops the walk where it stands, and it goes on from there', async () => {
  const { engine, decoder, expected, endUs } = world(Array.from({ length: 200 }, (_, i) => i * 1000));
  assert.equal(await engine.forward(endUs, 20), false);
  assert.ok(decoder.drawn.length > 0 && decoder.drawn.length < 200);
  assert.equal(await engine.forward(endUs), true);
  assert.deepEqual(decoder.drawn, expected(endUs));
});

test('frames the client never got are not drawn', async () => {
  const { engine, decoder } = world([0]);
  const chunk: LoadedChunk = {
    index: 0,
    payloadBytes: 0,
    frames: [frame(0, 'received', frameFlags.receivedOnly), frame(0, 'delivered', frameFlags.deliveredOnly)],
  };
  const table = new ChunkTable();
  table.entries.push({ chunkId: 'c', index: 0, startUs: 0, endUs: 1, fileBytes: 1, framesCount: 2 });
  const hooks = { now: () => 0, turn: () => Promise.resolve() };
  const other = new Engine(table, { load: () => Promise.resolve(chunk), prefetch: () => {} }, decoder, hooks, {
    keyframeBytesMax: 0,
  });
  await other.seek(1);
  assert.deepEqual(decoder.drawn, ['delivered']);
  assert.equal(await engine.nextFrameUs(), 0);
  assert.equal(await other.nextFrameUs(), null);
});
