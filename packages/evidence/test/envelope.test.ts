import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, hkdfSync, sign, webcrypto } from 'node:crypto';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { concatBytes, DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  CHUNK_CIPHERTEXT_OFFSET,
  CHUNK_HEADER_BYTES,
  type ChunkHeader,
  chunkFileBytes,
  chunkKeyInfo,
  decodeChunkHeader,
  decodeLeaf,
  deriveChunkKeysSync,
  encodeChunkHeader,
  encodeLeaf,
  type Leaf,
  leafHash,
  openChunk,
  sealChunk,
  sealLeaf,
  sessionIdBytes,
  toHex,
  verifySeal,
  webCrypto,
} from '../src/index.ts';

const browser = webCrypto(webcrypto as unknown as Parameters<typeof webCrypto>[0]);
const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const plain = { noNullPrototype: true };

const headers: fc.Arbitrary<ChunkHeader> = fc
  .record(
    {
      suite: fc.constantFrom<0 | 1>(0, 1),
      recovered: fc.boolean(),
      gapBefore: fc.boolean(),
      stored: fc.boolean(),
      compression: fc.constantFrom('none', 'zstd', 'gzip', 'lz4'),
      sessionId: exactly(16),
      index: fc.maxSafeNat(),
      openedUs: fc.maxSafeNat(),
      monotonicNs: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      previousLeafHash: exactly(32),
      dekId: exactly(16),
    },
    plain,
  )
  .map((header) => ({ ...header, compression: header.stored ? 'none' : header.compression }));

const leaves: fc.Arbitrary<Leaf> = fc.record(
  {
    recovered: fc.boolean(),
    gapBefore: fc.boolean(),
    final: fc.boolean(),
    sessionId: exactly(16),
    index: fc.maxSafeNat(),
    openedUs: fc.maxSafeNat(),
    closedUs: fc.maxSafeNat(),
    compressedBytes: fc.maxSafeNat(),
    fileBytes: fc.maxSafeNat(),
    fileSha256: exactly(32),
    previousLeafHash: exactly(32),
    nextSealKey: exactly(32),
  },
  plain,
);

const header: ChunkHeader = {
  suite: 1,
  recovered: false,
  gapBefore: true,
  stored: false,
  compression: 'zstd',
  sessionId: new Uint8Array(16).fill(1),
  index: 2,
  openedUs: 3,
  monotonicNs: 4n,
  previousLeafHash: new Uint8Array(32).fill(5),
  dekId: new Uint8Array(16).fill(6),
};
const dek = new Uint8Array(32).fill(7);

describe('chunk header and leaf', () => {
  it('stand at the offsets the format document gives', () => {
    assert.equal(
      toHex(encodeChunkHeader(header)),
      `4c534331${'01'}${'01'}${'0102'}${'01'.repeat(16)}0000000000000002${'0000000000000003'}0000000000000004${'05'.repeat(32)}${'06'.repeat(16)}`,
    );
    const leaf: Leaf = {
      recovered: true,
      gapBefore: false,
      final: true,
      sessionId: header.sessionId,
      index: 2,
      openedUs: 3,
      closedUs: 4,
      compressedBytes: 5,
      fileBytes: 6,
      fileSha256: new Uint8Array(32).fill(7),
      previousLeafHash: new Uint8Array(32).fill(8),
      nextSealKey: new Uint8Array(32).fill(9),
    };
    const counts = [2, 3, 4, 5, 6].map((value) => value.toString(16).padStart(16, '0')).join('');
    assert.equal(
      toHex(encodeLeaf(leaf)),
      `4c534c31${'01'}${'05'}0000${'01'.repeat(16)}${counts}${'07'.repeat(32)}${'08'.repeat(32)}${'09'.repeat(32)}`,
    );
  });

  it('come back as written', () => {
    fc.assert(fc.property(headers, (value) => assert.deepEqual(decodeChunkHeader(encodeChunkHeader(value)), value)));
    fc.assert(fc.property(leaves, (value) => assert.deepEqual(decodeLeaf(encodeLeaf(value)), value)));
  });

  it('refuse every truncation, and what they do not know', () => {
    const leaf = fc.sample(leaves, 1)[0]!;
    for (const [decode, good] of [
      [decodeChunkHeader, encodeChunkHeader(header)],
      [decodeLeaf, encodeLeaf(leaf)],
    ] as const) {
      for (let length = 0; length < good.length; length += 1)
        assert.throws(() => decode(good.subarray(0, length)), DecodeError);
      for (const at of [0, 4, 5, 6]) {
        const bad = good.slice();
        bad[at] = 0xff;
        assert.throws(() => decode(bad), DecodeError, `byte ${at}`);
      }
    }
    const stored = encodeChunkHeader(header);
    stored[7] = stored[7]! | 4;
    assert.throws(() => decodeChunkHeader(stored), DecodeError);
    assert.throws(() => encodeChunkHeader({ ...header, stored: true }), RangeError);
    assert.throws(() => encodeChunkHeader({ ...header, dekId: new Uint8Array(1) }), RangeError);
    assert.throws(() => encodeLeaf({ ...leaf, sessionId: new Uint8Array(1) }), RangeError);
    assert.throws(() => encodeLeaf({ ...leaf, nextSealKey: new Uint8Array(1) }), RangeError);
  });
});

describe('session id', () => {
  it('is the UUID, or a UUIDv8 of the name', () => {
    assert.equal(toHex(sessionIdBytes('0f8fad5b-d9cb-469f-a165-70867728950e')), '0f8fad5bd9cb469fa16570867728950e');
    const other = sessionIdBytes('demo');
    const hash = createHash('sha256').update('lucid-sessions/v1/session-id\0demo').digest().subarray(0, 16);
    assert.equal(other[6]! >> 4, 8);
    assert.equal(other[8]! >> 6, 2);
    assert.deepEqual(
      [...other].map((v, i) => (i === 6 || i === 8 ? 0 : v)),
      [...hash].map((v, i) => (i === 6 || i === 8 ? 0 : v)),
    );
    assert.notDeepEqual(
      sessionIdBytes('0F8FAD5B-D9CB-469F-A165-70867728950E'),
      sessionIdBytes('0f8fad5b-d9cb-469f-a165-70867728950e'),
    );
  });
});

for (const [name, crypto] of [
  ['node:crypto', nodeCrypto],
  ['WebCrypto', browser],
] as const)
  describe(`chunk file by ${name}`, () => {
    it('opens to what was sealed, in both suites', async () => {
      await fc.assert(
        fc.asyncProperty(headers, fc.uint8Array({ maxLength: 500 }), async (head, compressed) => {
          const file = await sealChunk(crypto, { header: head, dek, compressed });
          assert.equal(file.length, chunkFileBytes(head.suite, compressed.length));
          const opened = await openChunk(nodeCrypto, dek, file);
          assert.ok(opened.opened);
          assert.deepEqual(opened.header, head);
          assert.deepEqual(Buffer.from(opened.compressed), Buffer.from(compressed));
        }),
        { numRuns: 50 },
      );
    });

    it('names what was altered', async () => {
      const file = await sealChunk(crypto, { header, dek, compressed: new Uint8Array(100) });
      const findings = new Set<string>();
      for (let at = 0; at < file.length; at += 1) {
        const bad = file.slice();
        bad[at] = bad[at]! ^ 1;
        const opened = await openChunk(crypto, dek, bad);
        // Byte 5 is the suite: with it flipped to 0 the file reads as plain, which the leaf's hash is there to catch.
        if (at === 5) continue;
        assert.ok(!opened.opened, `byte ${at}`);
        findings.add(opened.finding);
        if (at >= CHUNK_HEADER_BYTES)
          assert.equal(opened.finding, at < CHUNK_CIPHERTEXT_OFFSET ? 'COMMITMENT' : 'AUTH');
      }
      assert.deepEqual([...findings].sort(), ['AUTH', 'COMMITMENT', 'FORMAT']);
      const short = await openChunk(crypto, dek, file.subarray(0, 150));
      assert.equal(!short.opened && short.finding, 'FORMAT');
      const other = await openChunk(crypto, new Uint8Array(32), file);
      assert.equal(!other.opened && other.finding, 'COMMITMENT');
    });

    it('never repeats a key', async () => {
      const files = await Promise.all(
        [1, 2].map(() => sealChunk(crypto, { header, dek, compressed: new Uint8Array(64) })),
      );
      assert.notDeepEqual(files[0]!.subarray(CHUNK_CIPHERTEXT_OFFSET), files[1]!.subarray(CHUNK_CIPHERTEXT_OFFSET));
      await assert.rejects(sealChunk(crypto, { header, dek: new Uint8Array(16), compressed: dek }), RangeError);
    });

    it('seals leaves', async () => {
      const leaf = encodeLeaf(fc.sample(leaves, 1)[0]!);
      const seed = new Uint8Array(32).fill(9);
      const seal = await sealLeaf(crypto, seed, leaf);
      const key = await crypto.ed25519PublicKey(seed);
      assert.equal(await verifySeal(nodeCrypto, key, leafHash(leaf), seal), true);
      assert.equal(await verifySeal(browser, key, leafHash(leaf), seal), true);
      assert.equal(await verifySeal(crypto, key, leafHash(leaf.slice(1)), seal), false);
      assert.equal(await verifySeal(crypto, key.slice(1), leafHash(leaf), seal), false);
    });

    it('agrees with the other adapter', async () => {
      const [a, b] = [crypto.randomBytes(10), crypto.randomBytes(90)];
      assert.deepEqual(await crypto.sha256(a, b), nodeCrypto.sha256(concatBytes(a, b)));
      assert.deepEqual(await crypto.sha256(a), nodeCrypto.sha256(a));
      assert.deepEqual(await crypto.hkdfSha256(a, b, a, 76), nodeCrypto.hkdfSha256(a, b, a, 76));
      const shared = new Uint8Array(new SharedArrayBuffer(50)).fill(3);
      const sealed = await crypto.aes256GcmSeal(dek, dek.subarray(0, 12), a, shared);
      assert.deepEqual(
        Buffer.from(nodeCrypto.aes256GcmOpen(dek, dek.subarray(0, 12), a, sealed)!),
        Buffer.from(shared),
      );
      assert.equal(await crypto.aes256GcmOpen(dek, dek.subarray(0, 12), b, sealed), null);
      assert.equal(await crypto.aes256GcmOpen(dek, dek.subarray(0, 12), b, sealed.subarray(0, 3)), null);
    });

    it('checks P-256 signatures of OpenSSL', async () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const raw = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })).subarray(-65);
      for (let i = 0; i < 8; i += 1) {
        const message = Uint8Array.of(i);
        const signature = new Uint8Array(sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
        assert.equal(await crypto.p256Verify(raw, message, signature), true);
        assert.equal(await crypto.p256Verify(raw, Uint8Array.of(99), signature), false);
        assert.equal(await crypto.p256Verify(raw.subarray(1), message, signature), false);
      }
    });
  });

describe('chunk keys', () => {
  it('are HKDF-SHA-256 over the domain and the header, as the format says', () => {
    const headerBytes = encodeChunkHeader(header);
    const salt = new Uint8Array(32).fill(8);
    const info = Buffer.concat([Buffer.from('lucid-sessions/v1/chunk\0'), headerBytes]);
    assert.deepEqual(Buffer.from(chunkKeyInfo(headerBytes)), info);
    const material = Buffer.from(hkdfSync('sha256', dek, salt, info, 76));
    const keys = deriveChunkKeysSync(nodeCrypto, dek, salt, headerBytes);
    assert.deepEqual(Buffer.concat([keys.key, keys.nonce, keys.commitment]), material);
    assert.deepEqual([keys.key.length, keys.nonce.length, keys.commitment.length], [32, 12, 32]);
  });
});
