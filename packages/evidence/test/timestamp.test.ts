import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { FakeTimestampAuthority } from '@lucid-sessions/testkit';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { derTimeUs } from '../src/anchor/der.ts';
import {
  type BundleAnchor,
  derChildren,
  derTags,
  memoryBundle,
  readAuthority,
  readDer,
  readTimestamp,
  timestampRequest,
  timestampSigner,
  timestampToken,
  toBase64,
  verifyBundle,
  webCrypto,
  writeDer,
} from '../src/index.ts';
import { filesOf, options, policyOf, record, T0 } from './recording-fixture.ts';

const browser = webCrypto(crypto as unknown as Parameters<typeof webCrypto>[0]);
const nowMs = (): number => T0 / 1000 + 120_000;
const digest = new Uint8Array(32).fill(7);

for (const kind of ['rsa', 'ecdsa'] as const)
  describe(`timestamps signed with ${kind}`, () => {
    const authority = new FakeTimestampAuthority({ kind, nowMs });
    const trusted = readAuthority('tsa', authority.certificate);
    const token = timestampToken(authority.respond(timestampRequest(digest, new Uint8Array(16).fill(9))));

    it('say what was stamped and when, and by whom', async () => {
      const timestamp = readTimestamp(token);
      assert.deepEqual(timestamp.digest, digest);
      assert.equal(timestamp.timeUs, nowMs() * 1000);
      assert.deepEqual(timestamp.nonce, Uint8Array.of(1, ...new Uint8Array(16).fill(9)));
      for (const crypto of [nodeCrypto, browser])
        assert.equal((await timestampSigner(crypto, timestamp, [trusted]))?.name, 'tsa');
    });

    it('do not pass with any byte changed, and break nothing', async () => {
      await fc.assert(
        fc.asyncProperty(fc.nat(token.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
          const bad = token.slice();
          bad[at] = bad[at]! ^ change;
          try {
            const timestamp = readTimestamp(bad);
            const same = timestamp.timeUs === nowMs() * 1000 && timestamp.digest.every((byte) => byte === 7);
            // Bytes nobody signs (the signer's name, versions) may differ; what is signed may not.
            for (const crypto of [nodeCrypto, browser])
              assert.ok(same || (await timestampSigner(crypto, timestamp, [trusted])) === null, `byte ${at}`);
          } catch (error) {
            assert.ok(error instanceof DecodeError, String(error));
          }
        }),
        { numRuns: 300 },
      );
    });

    it('anchor a recording offline', async () => {
      const stamp = (root: string): BundleAnchor => ({
        v: 1,
        backend: 'rfc3161',
        subject: 'session_root',
        session_id: '0f8fad5b-d9cb-469f-a165-70867728950e',
        digest: root,
        status: 'confirmed',
        submitted_us: T0,
        confirmed_us: T0,
        block_height: null,
        transaction_id: null,
        detail: toBase64(authority.token(new Uint8Array(Buffer.from(root, 'hex')), null)),
      });
      const tsas = [{ name: 'tsa', certificate: toBase64(authority.certificate) }];
      const policy = policyOf({ tsas, anchors_required: 1 });
      const judge = async (change: (anchor: BundleAnchor) => BundleAnchor, with_ = policy) => {
        const { input } = await record({ anchors: (root) => [change(stamp(root))] });
        return verifyBundle(memoryBundle(await filesOf(input)), { ...options, policy: with_ });
      };
      const report = await judge((anchor) => anchor);
      assert.deepEqual(report.findings, []);
      assert.equal(report.verdicts.time, 'anchored');
      assert.equal(report.facts.not_after_us, T0 + 51_000_000);
      const codes = async (...args: Parameters<typeof judge>) =>
        (await judge(...args)).findings.map(({ code }) => code);
      const required = ['ANCHOR_INVALID', 'ANCHOR_INVALID'];
      assert.deepEqual(await codes((anchor) => ({ ...anchor, detail: toBase64(token) })), required);
      assert.deepEqual(await codes((anchor) => ({ ...anchor, detail: null })), required);
      const other = toBase64(new FakeTimestampAuthority({ nowMs }).certificate);
      const strangers = policyOf({ tsas: [{ name: 'x', certificate: other }] });
      assert.deepEqual(await codes((anchor) => anchor, strangers), ['ANCHOR_INVALID']);
      assert.deepEqual(await codes((anchor) => anchor, policyOf({})), []);
    });
  });

describe('DER', () => {
  it('comes back as written, at every length of a length', () => {
    for (const length of [0, 127, 128, 255, 256, 65_535]) {
      const element = readDer(writeDer(derTags.octetString, new Uint8Array(length)), derTags.octetString);
      assert.equal(element.content.length, length);
    }
  });

  it('is refused when malformed', () => {
    for (const bad of ['', '30', '3001', '300100ff', '1f0100', '3080', '30840000000000', '0400', '308200'])
      assert.throws(() => readDer(new Uint8Array(Buffer.from(bad, 'hex')), derTags.sequence), DecodeError, bad);
    const many = writeDer(
      derTags.sequence,
      new Uint8Array(2002).map((_, at) => (at % 2 === 0 ? 5 : 0)),
    );
    assert.throws(() => derChildren(readDer(many, derTags.sequence)), DecodeError);
  });

  it('holds times in UTC', () => {
    const at = (tag: number, text: string) => derTimeUs(readDer(writeDer(tag, Buffer.from(text)), tag));
    assert.equal(at(derTags.generalizedTime, '20260102030405Z'), Date.UTC(2026, 0, 2, 3, 4, 5) * 1000);
    assert.equal(at(derTags.generalizedTime, '20260102030405.25Z'), Date.UTC(2026, 0, 2, 3, 4, 5) * 1000 + 250_000);
    assert.equal(at(derTags.utcTime, '490102030405Z'), Date.UTC(2049, 0, 2, 3, 4, 5) * 1000);
    assert.equal(at(derTags.utcTime, '500102030405Z'), Date.UTC(1950, 0, 2, 3, 4, 5) * 1000);
    for (const bad of ['2026', '20260102030405', '20261302030405Z', '20260102030405+01'])
      assert.throws(() => at(derTags.generalizedTime, bad), DecodeError, bad);
    assert.throws(() => at(derTags.octetString, '20260102030405Z'), DecodeError);
  });

  it('throws nothing but DecodeError on random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const read of [readTimestamp, timestampToken, (b: Uint8Array) => readAuthority('x', b)])
          assert.throws(() => read(bytes), DecodeError);
      }),
    );
    for (const read of [readTimestamp, timestampToken]) assert.throws(() => read(new Uint8Array(100_000)), DecodeError);
  });
});
