import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { ChunkPool, type ChunkPoolOptions, type PooledChunk } from '@lucid-sessions/processor';
import { FrameWriter, frameFlags, PAYLOAD_HEADER_BYTES, readPayload } from '@lucid-sessions/recording';
import { noise, pattern, shared } from './support/house.ts';

const prefix = noise(160, 9);
const nonce = noise(12, 8);
const request = { compression: 'zstd', prefixBytes: 160, inputs: null } as const;
const keyOf = () => Uint8Array.from(noise(32, 7));

async function inPool(options: Partial<ChunkPoolOptions>, work: (pool: ChunkPool) => Promise<void>): Promise<void> {
  const pool = new ChunkPool({ workersMax: 2, levelWish: 3, payloadBytesMax: 1 << 20, waitingMax: 100, ...options });
  try {
    await work(pool);
  } finally {
    await pool.dispose();
  }
}

async function finish(chunk: PooledChunk): Promise<{ file: Buffer; compression: string }> {
  const key = keyOf();
  try {
    const { compression } = await chunk.compressed;
    const sealed = await chunk.seal({ prefix, aadBytes: 96, secrets: { key, nonce } });
    assert.ok(
      key.every((byte) => byte === 0),
      'the key is erased once it was used',
    );
    assert.equal(sealed.file.byteOffset % 4096, 0);
    const padding = new Uint8Array(sealed.file.buffer, sealed.file.byteOffset + sealed.file.length, 16);
    if (sealed.file.length % 4096 <= 4080) assert.ok(padding.every((byte) => byte === 0));
    const file = Buffer.from(sealed.file);
    assert.deepEqual(createHash('sha256').update(file).digest(), Buffer.from(sealed.sha256));
    return { file, compression };
  } finally {
    chunk.release();
  }
}

function open({ file, compression }: { file: Buffer; compression: string }): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', keyOf(), nonce).setAAD(file.subarray(0, 96));
  decipher.setAuthTag(file.subarray(-16));
  const body = Buffer.concat([decipher.update(file.subarray(160, -16)), decipher.final()]);
  return compression === 'zstd' ? zstdDecompressSync(body) : body;
}

const workerUrl = new URL('./support/mortal-worker.ts', import.meta.url);

/** A payload whose worker has the given weaknesses. */
function mortal(payload: Uint8Array, weaknesses: [number, number, number?, number?]): Uint8Array {
  const memory = new Uint8Array(new SharedArrayBuffer(4 + payload.length));
  memory.set(weaknesses.map((weakness) => weakness ?? 0));
  memory.set(payload, 4);
  return memory.subarray(4);
}

test('a chunk is compressed, encrypted and hashed from own and from shared memory', () =>
  inPool({}, async (pool) => {
    for (const payload of [pattern(900_000), shared(pattern(900_000)), noise(900_000), shared(noise(5)), pattern(0)]) {
      const chunk = await pool.take(payload, request);
      assert.ok(open(await finish(chunk)).equals(payload));
    }
  }));

test('payloads may come in ever new memory and in memory that grows', () =>
  inPool({ workersMax: 1 }, async (pool) => {
    const same = new SharedArrayBuffer(100_000);
    for (let round = 0; round < 60; round += 1) {
      const payload = round % 3 === 0 ? pattern(1000 * (round + 1)) : shared(pattern(2000 * (round + 1), round));
      const again = new Uint8Array(same, round, 900);
      again.set(pattern(900, round + 1));
      for (const each of [payload, again]) assert.ok(open(await finish(await pool.take(each, request))).equals(each));
    }
  }));

test('more chunks than slots wait for their turn, in order, and memory is used again', () =>
  inPool({ workersMax: 1 }, async (pool) => {
    const payloads = Array.from({ length: 40 }, (_, i) => pattern(200_000, i + 1));
    const taken: number[] = [];
    const memories = new Set<ArrayBufferLike>();
    let inFlightMax = 0;
    await Promise.all(
      payloads.map(async (payload, at) => {
        const chunk = await pool.take(payload, request);
        taken.push(at);
        inFlightMax = Math.max(inFlightMax, pool.health().chunksInFlight);
        await chunk.compressed;
        const { file } = await chunk.seal({ prefix, aadBytes: 96, secrets: { key: keyOf(), nonce } });
        memories.add(file.buffer);
        chunk.release();
        chunk.release();
      }),
    );
    assert.deepEqual(
      taken,
      payloads.map((_, at) => at),
    );
    assert.equal(inFlightMax, 3);
    assert.equal(memories.size, 3);
    const { workers, chunksInFlight, chunksWaiting, crashes } = pool.health();
    assert.deepEqual([workers, chunksInFlight, chunksWaiting, crashes], [1, 0, 0, 0]);
  }));

test('beyond the bound chunks are refused instead of queued', () =>
  inPool({ workersMax: 1, waitingMax: 1 }, async (pool) => {
    const inside = await Promise.all([1, 2, 3].map(() => pool.take(pattern(10), request)));
    const waiting = pool.take(pattern(10), request);
    await assert.rejects(pool.take(pattern(10), request), { code: 'LUCID_ERR_3016' });
    await assert.rejects(pool.take(new Uint8Array(2 << 20), request), { code: 'LUCID_ERR_3017' });
    inside[0]!.release();
    await finish(await waiting);
    await finish(inside[1]!);
    await finish(inside[2]!);
  }));

test('a chunk that is given up frees its slot, whatever its worker is doing', () =>
  inPool({ workersMax: 1, workerUrl }, async (pool) => {
    for (let round = 0; round < 6; round += 1) {
      const chunk = await pool.take(mortal(pattern(500_000), [round === 4 ? 1 : 0, round === 5 ? 1 : 0]), request);
      if (round % 3 === 1) await chunk.compressed;
      if (round % 3 === 2) void chunk.seal({ prefix, aadBytes: 96, secrets: { key: keyOf(), nonce } }).catch(() => {});
      chunk.release();
    }
    assert.ok(open(await finish(await pool.take(pattern(1000), request))).equals(pattern(1000)));
  }));

test('a worker that dies is replaced and its chunks start again elsewhere', () =>
  inPool({ workerUrl }, async (pool) => {
    const payloads = Array.from({ length: 12 }, (_, i) => pattern(100_000 + i, i + 1));
    const files = await Promise.all(
      payloads.map(async (payload, at) => {
        // An odd number left throws, an even one ends the thread.
        const weaknesses: [number, number] = [at % 4 === 0 ? 1 : 0, at % 4 === 2 ? 2 : 0];
        return finish(await pool.take(mortal(payload, weaknesses), request));
      }),
    );
    for (const [at, file] of files.entries()) assert.ok(open(file).equals(payloads[at]!));
    const { workers, chunksInFlight, chunksWaiting, crashes, crashesInARow, lastCrash } = pool.health();
    assert.ok(crashes > 0);
    assert.equal(lastCrash, 'out of luck');
    assert.deepEqual([workers, chunksInFlight, chunksWaiting, crashesInARow], [2, 0, 0, 0]);
  }));

test('a chunk that kills every worker is refused with the code of its stage', () =>
  inPool({ workersMax: 1, workerUrl }, async (pool) => {
    const first = await pool.take(mortal(pattern(1000), [9, 0]), request);
    await assert.rejects(first.compressed, { code: 'LUCID_ERR_3008' });
    await assert.rejects(first.seal({ prefix, aadBytes: 96, secrets: null }), { code: 'LUCID_ERR_3008' });
    first.release();
    const second = await pool.take(mortal(pattern(1000), [0, 9]), request);
    await assert.rejects(finish(second), { code: 'LUCID_ERR_3009' });
    assert.ok(open(await finish(await pool.take(pattern(1000), request))).equals(pattern(1000)));
  }));

test('a worker that fails says at which stage', () =>
  inPool({ workersMax: 1, workerUrl }, async (pool) => {
    await assert.rejects(finish(await pool.take(mortal(pattern(1000), [0, 0, 1]), request)), {
      code: 'LUCID_ERR_3008',
    });
    await assert.rejects(finish(await pool.take(mortal(pattern(1000), [0, 0, 0, 1]), request)), {
      code: 'LUCID_ERR_3009',
    });
    const chunk = await pool.take(pattern(1000), request);
    await assert.rejects(chunk.seal({ prefix, aadBytes: 200, secrets: null }), { code: 'LUCID_ERR_3009' });
    await finish(chunk);
    await assert.rejects(chunk.seal({ prefix, aadBytes: 96, secrets: null }), { code: 'LUCID_ERR_3009' });
  }));

test('where no worker lives the pool says so', () =>
  inPool({ workerUrl: new URL('./support/no-such-worker.ts', import.meta.url) }, async (pool) => {
    const chunk = await pool.take(pattern(1000), request);
    await assert.rejects(chunk.compressed, { code: /LUCID_ERR_30(08|16)/ });
    chunk.release();
    while (pool.health().workers > 0) await new Promise((resolve) => setImmediate(resolve));
    const late = await pool.take(pattern(1000), request);
    await assert.rejects(late.compressed, { code: 'LUCID_ERR_3016' });
    late.release();
    // Tried again after a pause.
    const { crashes } = pool.health();
    while (pool.health().crashes === crashes) await new Promise((resolve) => setTimeout(resolve, 20));
  }));

test('chunks inside and waiting are refused when the pool ends', async () => {
  const pool = new ChunkPool({ workersMax: 1, levelWish: 3, payloadBytesMax: 1 << 20, waitingMax: 9 });
  const inside = await Promise.all([
    pool.take(pattern(10), request),
    pool.take(noise(900_000), { ...request, compression: 'gzip' }),
    pool.take(pattern(10), request),
  ]);
  const waiting = pool.take(pattern(10), request);
  const refused = assert.rejects(waiting, { code: 'LUCID_ERR_3016' });
  await pool.dispose();
  await refused;
  await assert.rejects(finish(inside[0]!));
  inside[1]!.release();
  await assert.rejects(pool.take(pattern(10), request), { code: 'LUCID_ERR_3016' });
});

test('flagged frames are sealed under their own secret, once, also when workers die, and the payload stays as it is', () =>
  inPool({ workersMax: 1, workerUrl }, async (pool) => {
    const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
    const bodies = [pattern(400), noise(300), pattern(0), pattern(17), pattern(90_000)];
    for (const [i, body] of bodies.entries()) writer.append(0, i % 2 === 0 ? frameFlags.inputs : 0, 0, i, body);
    const payload = writer.payload({ firstFrameNumber: 0, openedUs: 1 }).slice();
    const secret = noise(48, 3);
    const stream = createCipheriv('aes-256-ctr', secret.subarray(0, 32), secret.subarray(32));
    const expected = bodies.map((body, i) => (i % 2 === 0 ? stream.update(body) : Buffer.from(body)));
    const given = [payload, shared(payload), mortal(payload, [1, 1]), mortal(payload, [0, 2])];
    for (const compression of ['zstd', 'none'] as const)
      for (const place of given) {
        const chunk = await pool.take(place, { ...request, compression, inputs: Uint8Array.from(secret) });
        const opened = new Uint8Array(open(await finish(chunk)));
        assert.deepEqual(
          [...readPayload(opened)].map(({ body }) => Buffer.from(body)),
          expected,
        );
        assert.deepEqual(Uint8Array.from(place), payload);
      }
  }));
