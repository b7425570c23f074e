import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { nodeCrypto, threadedCrypto } from '../src/index.ts';

const message = new Uint8Array([1, 2, 3]);
const bytes = (base64url: string | undefined) => new Uint8Array(Buffer.from(base64url ?? '', 'base64url'));

const ed25519 = generateKeyPairSync('ed25519');
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const point = p256.publicKey.export({ format: 'jwk' });
const keys = {
  ed25519Verify: {
    key: bytes(ed25519.publicKey.export({ format: 'jwk' }).x),
    signature: new Uint8Array(sign(null, message, ed25519.privateKey)),
  },
  p256Verify: {
    key: new Uint8Array([4, ...bytes(point.x), ...bytes(point.y)]),
    signature: new Uint8Array(sign('sha256', message, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' })),
  },
};

for (const [name, check] of [
  ['on this thread', nodeCrypto],
  ['in other threads', threadedCrypto],
] as const)
  describe(`signatures checked ${name}`, () => {
    for (const method of ['ed25519Verify', 'p256Verify'] as const)
      it(`${method}: only the good one under its key, and nothing throws`, async () => {
        const { key, signature } = keys[method];
        assert.equal(await check[method](key, message, signature), true);
        assert.equal(await check[method](key, message.with(0, 9), signature), false);
        assert.equal(await check[method](key, message, signature.with(5, signature[5]! ^ 1)), false);
        assert.equal(await check[method](key, message, new Uint8Array(0)), false);
        assert.equal(await check[method](new Uint8Array(3), message, signature), false);
        assert.equal(await check[method](key.with(9, key[9]! ^ 1), message, signature), false);
      });

    it('goes on when more keys come than are kept', async () => {
      const { signature } = keys.ed25519Verify;
      for (let at = 0; at < 200; at += 1)
        assert.equal(await check.ed25519Verify(new Uint8Array(32).fill(at), message, signature), false);
      assert.equal(await check.ed25519Verify(keys.ed25519Verify.key, message, signature), true);
    });
  });
