import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { openSidecar, sealSidecar, webCrypto } from '../src/index.ts';

const crypto = webCrypto(globalThis.crypto);
const dek = new Uint8Array(32).fill(7);
const place = { sessionId: 'session-1', name: 'index-000001' };

test('a sidecar opens under its key, at its place, and nowhere else', async () => {
  const plain = new TextEncoder().encode('typed: secret');
  const file = await sealSidecar(crypto, dek, place, plain);
  assert.deepEqual(await openSidecar(crypto, dek, place, file), plain);
  assert.equal(new TextDecoder().decode(file).includes('secret'), false);
  assert.notDeepEqual(await sealSidecar(crypto, dek, place, plain), file);
  const refused = { name: 'DecodeError' };
  await assert.rejects(openSidecar(crypto, new Uint8Array(32), place, file), refused);
  await assert.rejects(openSidecar(crypto, dek, { ...place, name: 'index-000002' }, file), refused);
  await assert.rejects(openSidecar(crypto, dek, { ...place, sessionId: 'session-2' }, file), refused);
  await assert.rejects(openSidecar(crypto, null, place, file), refused);
  await assert.rejects(openSidecar(crypto, dek, place, file.subarray(0, 80)), refused);
});

test('a session that is not encrypted has plain sidecars, which do not pass for encrypted ones', async () => {
  const file = await sealSidecar(crypto, null, place, Uint8Array.of(1, 2, 3));
  assert.deepEqual(await openSidecar(crypto, null, place, file), Uint8Array.of(1, 2, 3));
  await assert.rejects(openSidecar(crypto, dek, place, file), { name: 'DecodeError' });
});

test('any changed byte is noticed', async () => {
  const file = await sealSidecar(crypto, dek, place, new Uint8Array(40));
  await fc.assert(
    fc.asyncProperty(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const altered = file.slice();
      altered[at] = altered[at]! ^ change;
      await assert.rejects(openSidecar(crypto, dek, place, altered), { name: 'DecodeError' });
    }),
    { numRuns: 50 },
  );
});
