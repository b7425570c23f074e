import assert from 'node:assert/strict';
import { createCipheriv, hkdfSync } from 'node:crypto';
import { test } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { blankInputs, FrameWriter, frameFlags, PAYLOAD_HEADER_BYTES, readPayload } from '@lucid-sessions/recording';
import fc from 'fast-check';
import {
  type ChunkHeader,
  cipherInputs,
  inputsSecret,
  openChunk,
  openInputs,
  sealChunk,
  sessionKeys,
  webCrypto,
} from '../src/index.ts';

const dek = new Uint8Array(32).fill(7);
const salt = new Uint8Array(32).fill(3);
const header: ChunkHeader = {
  suite: 1,
  recovered: false,
  gapBefore: false,
  stored: false,
  compression: 'none',
  sessionId: new Uint8Array(16).fill(5),
  index: 4,
  openedUs: 1,
  monotonicNs: 1n,
  previousLeafHash: new Uint8Array(32),
  dekId: new Uint8Array(16).fill(2),
};
const browser = webCrypto(globalThis.crypto);

function payloadOf(frames: readonly { inputs: boolean; body: Uint8Array }[]): Uint8Array {
  const writer = new FrameWriter({ start: PAYLOAD_HEADER_BYTES });
  for (const { inputs, body } of frames) writer.append(0, inputs ? frameFlags.inputs : 0, 0, 1, body);
  return writer.payload({ firstFrameNumber: 0, openedUs: 1 }).slice();
}

async function sealed(payload: Uint8Array): Promise<Uint8Array> {
  const keys = await sessionKeys(nodeCrypto, dek, header.dekId);
  const compressed = await cipherInputs(nodeCrypto, await inputsSecret(nodeCrypto, keys.inputs, salt, header), payload);
  return sealChunk(nodeCrypto, { header, dek, compressed, salt });
}

const frames = fc.array(fc.record({ inputs: fc.boolean(), body: fc.uint8Array({ maxLength: 70 }) }), { maxLength: 9 });

test('both keys open every body, the view key opens all but the flagged ones', async () => {
  await fc.assert(
    fc.asyncProperty(frames, async (given) => {
      const file = await sealed(payloadOf(given));
      const keys = await sessionKeys(nodeCrypto, dek, header.dekId);
      for (const [crypto, key] of [
        [nodeCrypto, dek],
        [browser, keys],
      ] as const) {
        const opened = await openChunk(crypto, key, file);
        assert.ok(opened.opened);
        const seen = [...readPayload(await openInputs(crypto, opened.inputs, opened.compressed))];
        assert.deepEqual(
          seen.map(({ body, flags }) => [Uint8Array.from(body), flags]),
          given.map(({ body }) => [body, 0]),
        );
      }
      const opened = await openChunk(nodeCrypto, { view: keys.view, inputs: null }, file);
      assert.ok(opened.opened);
      const seen = [...readPayload(await openInputs(nodeCrypto, opened.inputs, opened.compressed))];
      assert.equal(seen.length, given.length);
      for (const [i, { body, flags }] of seen.entries()) {
        const { inputs, body: plain } = given[i]!;
        assert.equal(flags, inputs ? frameFlags.inputs : 0);
        assert.equal(body.length, plain.length);
        if (!inputs) assert.deepEqual(Uint8Array.from(body), plain);
        else if (plain.length >= 16) assert.notDeepEqual(Uint8Array.from(body), plain);
      }
    }),
    { numRuns: 60 },
  );
});

test('keys and keystream are those of the format, by another implementation', async () => {
  const derive = (name: string): Buffer => {
    const info = Buffer.concat([Buffer.from(`lucid-sessions/v1/${name}\0`), header.dekId]);
    return Buffer.from(hkdfSync('sha256', dek, new Uint8Array(0), info, 32));
  };
  const keys = await sessionKeys(nodeCrypto, dek, header.dekId);
  assert.deepEqual([Buffer.from(keys.view), Buffer.from(keys.inputs)], [derive('view'), derive('inputs')]);
  const [secretOne, secretTwo] = ['a typed password', 'and what followed it'].map((text) => Buffer.from(text));
  const payload = payloadOf([
    { inputs: true, body: secretOne! },
    { inputs: false, body: Uint8Array.of(1) },
    { inputs: true, body: secretTwo! },
  ]);
  const info = Buffer.concat([
    Buffer.from('lucid-sessions/v1/chunk-inputs\0'),
    header.sessionId,
    Buffer.from('0000000000000004', 'hex'),
  ]);
  const material = Buffer.from(hkdfSync('sha256', derive('inputs'), salt, info, 48));
  const stream = createCipheriv('aes-256-ctr', material.subarray(0, 32), material.subarray(32));
  const opened = await openChunk(nodeCrypto, { view: keys.view, inputs: null }, await sealed(payload));
  assert.ok(opened.opened);
  const bodies = [...readPayload(opened.compressed)].map(({ body }) => Buffer.from(body));
  assert.deepEqual(bodies, [stream.update(secretOne!), Buffer.of(1), stream.update(secretTwo!)]);
});

test('the wrong inputs key opens the chunk and no flagged body; in clear, flags go and bodies stay', async () => {
  const body = Buffer.from('a long enough secret');
  const payload = payloadOf([{ inputs: true, body }]);
  const { view } = await sessionKeys(nodeCrypto, dek, header.dekId);
  const opened = await openChunk(nodeCrypto, { view, inputs: new Uint8Array(32) }, await sealed(payload));
  assert.ok(opened.opened);
  assert.equal(Buffer.from(await openInputs(nodeCrypto, opened.inputs, opened.compressed)).includes(body), false);
  const [frame] = readPayload(await openInputs(nodeCrypto, 'clear', payload));
  assert.deepEqual([frame?.flags, Buffer.from(frame!.body)], [0, body]);
  assert.equal([...readPayload(payload)][0]!.flags, frameFlags.inputs, 'what was given stays as it is');
});

test('bad bytes are sealed and opened alike, whatever they are', async () => {
  const secret = new Uint8Array(48).fill(1);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      const twice = await cipherInputs(nodeCrypto, secret, await cipherInputs(nodeCrypto, secret, bytes));
      assert.deepEqual(twice, bytes);
    }),
  );
  const cut = payloadOf([{ inputs: true, body: new Uint8Array(30) }]).subarray(0, 60);
  assert.equal(await cipherInputs(nodeCrypto, secret, cut), cut);
});

test('blanking zeroes flagged bodies and no others', () => {
  const payload = payloadOf([
    { inputs: true, body: Uint8Array.of(1, 2, 3) },
    { inputs: false, body: Uint8Array.of(4, 5) },
  ]);
  blankInputs(payload, PAYLOAD_HEADER_BYTES);
  const seen = [...readPayload(payload)].map(({ flags, body }) => [flags, ...body]);
  assert.deepEqual(seen, [
    [frameFlags.inputs | frameFlags.blanked, 0, 0, 0],
    [0, 4, 5],
  ]);
});
