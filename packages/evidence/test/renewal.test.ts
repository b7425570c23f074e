/** Evidence records (RFC 4998): a timestamp that ages is covered by another while it counts, many recordings by one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCrypto, threadedCrypto } from '@lucid-sessions/node';
import { FakeTimestampAuthority } from '@lucid-sessions/testkit';
import { DecodeError } from '@lucid-sessions/wire';
import fc from 'fast-check';
import {
  type BundleAnchor,
  bundleNames,
  type DerElement,
  type DigestName,
  derChildren,
  derTags,
  type EvidenceRecord,
  encodeJson,
  fromBase64,
  parseLogProof,
  parseSignedCheckpoint,
  planRenewal,
  type RenewalItem,
  readAuthority,
  readDer,
  readEvidenceRecord,
  readTimestamp,
  sha256,
  timestampSigner,
  toBase64,
  toHex,
  utf8,
  type VerificationReport,
  webCrypto,
  writeDer,
} from '../src/index.ts';
import { endOfTrust } from '../src/verify/renewals.ts';
import { keptVerify } from './kit.ts';
import { anchor, filesOf, fitAndSign, options, policyOf, record, T0 } from './recording-fixture.ts';

const verify = keptVerify();
const dayUs = 86_400_000_000;
const yearUs = 365 * dayUs;
/** What the clock of the authorities says, µs since 1970. */
let nowUs = T0 + 120_000_000;
const nowMs = (): number => nowUs / 1000;
const authorityAt = (atUs: number, validDays: number): FakeTimestampAuthority => {
  nowUs = atUs;
  return new FakeTimestampAuthority({ nowMs, validDays });
};
const first = authorityAt(T0, 365);
const second = authorityAt(T0 + yearUs / 2, 730);
const third = authorityAt(T0 + 2 * yearUs, 730);
const tsas = [first, second, third].map(({ certificate }, at) => ({
  name: `tsa ${at}`,
  certificate: toBase64(certificate),
}));

const good = await record();
const { merkle_root: root } = JSON.parse(
  Buffer.from(JSON.parse(Buffer.from(good.manifestRecord).toString()).payload, 'base64').toString(),
) as { merkle_root: string };
const signed = [good.openRecord, good.manifestRecord];

function stamped(by: FakeTimestampAuthority, atUs: number, items: readonly RenewalItem[], hash: DigestName = 'sha256') {
  nowUs = atUs;
  const plan = planRenewal(items, hash);
  return plan.records(by.token(plan.digest, null));
}
const one = (by: FakeTimestampAuthority, atUs: number, item: RenewalItem, hash?: DigestName): Uint8Array =>
  stamped(by, atUs, [item], hash)[0]!;

const token = (by: FakeTimestampAuthority, atUs: number): Uint8Array => {
  nowUs = atUs;
  return by.token(new Uint8Array(Buffer.from(root, 'hex')), null);
};
const stampReceipt = (bytes: Uint8Array): BundleAnchor => anchor(root, { backend: 'rfc3161', detail: toBase64(bytes) });
const receipt = (bytes: Uint8Array): BundleAnchor => anchor(root, { backend: 'rfc4998', detail: toBase64(bytes) });

async function judged(anchors: readonly BundleAnchor[], policy: object = {}): Promise<VerificationReport> {
  const files = await filesOf({ ...good.input, anchors });
  return verify(files, { ...options, policy: policyOf({ tsas, ...policy }) });
}
const found = ({ findings }: VerificationReport): string[] => findings.map(({ code, check }) => `${code} ${check}`);
const asOf = (atUs: number, more: object = {}): object => ({ as_of_us: atUs, ...more });

const old = token(first, T0 + 60_000_000);
const objects = [...signed, old];
const begun = one(first, T0 + dayUs, { objects, record: null });
const renewed = one(second, T0 + (yearUs * 3) / 4, { objects, record: readEvidenceRecord(begun) });
const twice = one(third, T0 + yearUs * 2, { objects, record: readEvidenceRecord(renewed) });
const rehashed = one(third, T0 + yearUs * 2, { objects, record: readEvidenceRecord(renewed) }, 'sha512');

describe('an evidence record', () => {
  it('anchors a recording from its first timestamp on, and keeps an old stamp alive', async () => {
    for (const made of [begun, renewed, twice, rehashed]) {
      const report = await judged([stampReceipt(old), receipt(made)], { witnesses: [], witnesses_required: 0 });
      assert.deepEqual(found(report), []);
      assert.deepEqual([report.verdicts.time, report.facts.anchors_confirmed], ['anchored', 2]);
      assert.equal(report.facts.not_after_us, T0 + 60_000_000);
    }
    const alone = await judged([receipt(one(first, T0 + dayUs, { objects: signed, record: null }))], {
      anchors_required: 1,
      witnesses: [],
      witnesses_required: 0,
    });
    assert.deepEqual([found(alone), alone.facts.not_after_us], [[], T0 + dayUs]);
  });

  it('is a claim to who trusts no authority', async () => {
    const report = await judged([receipt(begun)], { tsas: [] });
    assert.deepEqual([found(report), report.facts.anchors_confirmed], [[], 0]);
  });

  it('counts as long as its last timestamp does, and the stamp it took up with it', async () => {
    const both = (made: Uint8Array) => [stampReceipt(old), receipt(made)];
    assert.deepEqual(found(await judged(both(begun), asOf(T0 + 365 * dayUs))), []);
    const late = await judged(both(begun), asOf(T0 + 366 * dayUs));
    assert.deepEqual([found(late), late.verdicts.time], [['RENEWAL_EXPIRED A21', 'RENEWAL_EXPIRED A22'], 'witnessed']);
    assert.deepEqual(found(await judged(both(renewed), asOf(T0 + 2 * yearUs))), []);
    assert.deepEqual(found(await judged(both(renewed), asOf(T0 + 3 * yearUs))), [
      'RENEWAL_EXPIRED A21',
      'RENEWAL_EXPIRED A22',
    ]);
    for (const made of [twice, rehashed]) assert.deepEqual(found(await judged(both(made), asOf(T0 + 3 * yearUs))), []);
    assert.deepEqual(found(await judged([stampReceipt(old)], asOf(T0 + 366 * dayUs))), ['RENEWAL_EXPIRED A22']);
    const other = token(first, T0 + 90_000_000);
    assert.deepEqual(found(await judged([stampReceipt(other), receipt(twice)], asOf(T0 + 2 * yearUs))), [
      'RENEWAL_INVALID A17',
      'RENEWAL_EXPIRED A22',
    ]);
  });

  it('has to be renewed before the certificate or an algorithm is not trusted any more', async () => {
    const late = one(third, T0 + yearUs * 2, { objects, record: readEvidenceRecord(begun) });
    assert.deepEqual(found(await judged([stampReceipt(old), receipt(late)])), ['RENEWAL_EXPIRED A20']);
    const backwards = one(second, T0 + yearUs * 2 - dayUs, { objects, record: readEvidenceRecord(twice) });
    assert.deepEqual(found(await judged([stampReceipt(old), receipt(backwards)])), ['RENEWAL_EXPIRED A20']);
    const until = (name: string, untilUs: number) => ({ algorithms: [{ name, until_us: untilUs }] });
    const both = (made: Uint8Array) => [stampReceipt(old), receipt(made)];
    const endUs = T0 + yearUs * 2;
    assert.deepEqual(found(await judged(both(rehashed), until('sha256', endUs - 1_000_000))), ['RENEWAL_INVALID A19']);
    assert.deepEqual(found(await judged(both(twice), until('sha512', T0))), []);
    assert.deepEqual(found(await judged(both(renewed), until('ecdsa', T0 + (yearUs * 3) / 4))), []);
    assert.deepEqual(found(await judged(both(renewed), until('ecdsa', T0 + (yearUs * 3) / 4 - 1_000_000))), [
      'RENEWAL_INVALID A19',
    ]);
    assert.deepEqual(found(await judged([stampReceipt(old)], asOf(endUs, until('sha256', T0 + dayUs)))), [
      'RENEWAL_EXPIRED A22',
    ]);
  });

  it('of another recording, by a stranger, or of nothing does not hold', async () => {
    const elsewhere = one(first, T0 + dayUs, { objects: [utf8('another'), utf8('recording')], record: null });
    assert.deepEqual(found(await judged([receipt(elsewhere)])), ['RENEWAL_INVALID A17']);
    const half = one(first, T0 + dayUs, { objects: [good.openRecord, utf8('another')], record: null });
    assert.deepEqual(found(await judged([receipt(half)])), ['RENEWAL_INVALID A17']);
    const more = one(first, T0 + dayUs, { objects: [...signed, utf8('something else')], record: null });
    assert.deepEqual(found(await judged([receipt(more)])), ['RENEWAL_INVALID A17']);
    const stranger = one(new FakeTimestampAuthority({ nowMs }), nowUs, { objects: signed, record: null });
    assert.deepEqual(found(await judged([receipt(stranger)])), ['RENEWAL_INVALID A19']);
    for (const bad of ['', 'AAAA', '?', toBase64(begun.slice(0, -1)), toBase64(Buffer.concat([begun, begun]))])
      assert.deepEqual(found(await judged([anchor(root, { backend: 'rfc4998', detail: bad })])), [
        'RENEWAL_INVALID A16',
      ]);
    const swapped = one(
      third,
      T0 + yearUs * 2,
      { objects: [...signed, utf8('x')], record: readEvidenceRecord(renewed) },
      'sha512',
    );
    assert.deepEqual(found(await judged([stampReceipt(old), receipt(swapped)])), ['RENEWAL_INVALID A17']);
  });

  it('whose timestamp is not the one before covers nothing', async () => {
    const [[start]] = readEvidenceRecord(begun) as [[EvidenceRecord[0][0]]];
    const lone = readEvidenceRecord(one(second, T0 + (yearUs * 3) / 4, { objects: [utf8('a')], record: null }));
    const made = put(begun, (chains) => [[start!.raw, lone[0]![0]!.raw], ...chains.slice(1)]);
    assert.deepEqual(found(await judged([stampReceipt(old), receipt(made)])), ['RENEWAL_INVALID A18']);
  });

  it('of which there are more than a recording has is not read', async () => {
    const report = await judged(
      Array.from({ length: 5 }, () => receipt(one(first, T0 + dayUs, { objects: signed, record: null }))),
    );
    assert.deepEqual(found(report), ['RENEWAL_INVALID A16']);
  });

  it('over a stamp that a later chain leaves out does not keep it alive, and over one that a later chain adds it does', async () => {
    const dropped = one(third, T0 + yearUs * 2, { objects: signed, record: readEvidenceRecord(renewed) }, 'sha512');
    const both = [stampReceipt(old), receipt(dropped)];
    assert.deepEqual(found(await judged(both, asOf(T0 + 3 * yearUs))), ['RENEWAL_EXPIRED A22']);
    const before = readEvidenceRecord(one(first, T0 + dayUs, { objects: signed, record: null }));
    for (const hash of ['sha256', 'sha512'] as const) {
      const added = one(second, T0 + (yearUs * 3) / 4, { objects, record: before }, hash);
      assert.equal(readEvidenceRecord(added).length, 2);
      assert.deepEqual(found(await judged([stampReceipt(old), receipt(added)], asOf(T0 + 2 * yearUs))), []);
    }
  });

  it('is over the root, and not under a checkpoint', async () => {
    const { checkpoint } = parseLogProof(good.input.logProofs!.manifest!);
    const digest = toHex(sha256(utf8(parseSignedCheckpoint(checkpoint).note.text)));
    const other = anchor(digest, { subject: 'checkpoint', backend: 'rfc4998', detail: toBase64(begun) });
    assert.deepEqual(found(await judged([stampReceipt(old), other])), ['RENEWAL_INVALID A16']);
  });

  it('is one of the files that the exporter signed for', async () => {
    const files = await filesOf({ ...good.input, anchors: [receipt(begun)] });
    const file = bundleNames.anchor(0);
    files.set(file, encodeJson(receipt(renewed)));
    const policy = policyOf({ tsas });
    assert.deepEqual(found(await verify(files, { ...options, policy })).slice(0, 1), ['FORMAT B9']);
    await fitAndSign(files);
    // The timestamp of the receipt it is over is not in this bundle.
    assert.deepEqual(found(await verify(files, { ...options, policy })), ['RENEWAL_INVALID A17']);
  });
});

/** The record with other chains, from the DER of its archive timestamps. */
function put(bytes: Uint8Array, change: (chains: Uint8Array[][]) => Uint8Array[][]): Uint8Array {
  const [version, algorithms] = derChildren(readDer(bytes, derTags.sequence));
  const chains = change(readEvidenceRecord(bytes).map((chain) => chain.map(({ raw }) => raw)));
  const sequence = (...parts: Uint8Array[]) => writeDer(derTags.sequence, ...parts);
  return sequence(version!.raw, algorithms!.raw, sequence(...chains.map((chain) => sequence(...chain))));
}

describe('a timestamp', () => {
  const until = (name: string, untilUs: number) => ({ algorithms: [{ name, until_us: untilUs }] });

  it('made when its algorithm was not trusted any more does not count, whenever it is verified', async () => {
    for (const name of ['ecdsa', 'sha256'])
      for (const more of [{}, asOf(T0)])
        assert.deepEqual(found(await judged([stampReceipt(old)], { ...until(name, T0), ...more })), [
          'ANCHOR_INVALID A7',
        ]);
  });

  it('stands on the hash of what it says, too', async () => {
    // A signature over SHA-512 in name alone: its attributes hold the SHA-256 of what is stamped.
    const { contentHash } = readTimestamp(old);
    assert.equal(contentHash, 'sha256');
    const stamp = {
      ...readTimestamp(old),
      digestHash: 'sha512',
      signature: { scheme: 'ecdsa', hash: 'sha512' },
    } as const;
    assert.equal(endOfTrust(policyOf(until('sha256', T0)), stamp, T0 + yearUs), T0);
  });

  it('is signed by the algorithm it names: the name is not signed, and a policy goes by it', async () => {
    const rsa = new FakeTimestampAuthority({ kind: 'rsa', nowMs: () => T0 / 1000 });
    const made = rsa.token(new Uint8Array(Buffer.from(root, 'hex')), null);
    const [named, renamed] = ['300d06092a864886f70d01010b0500', '300a06082a8648ce3d040302'];
    const policy = { tsas: [{ name: 'rsa', certificate: toBase64(rsa.certificate) }] };
    assert.deepEqual(found(await judged([stampReceipt(made)], policy)), []);
    const bad = replaced(readDer(made, derTags.sequence), named, renamed);
    assert.equal(readTimestamp(bad).signature.scheme, 'ecdsa');
    assert.deepEqual(found(await judged([stampReceipt(bad)], policy)), ['ANCHOR_INVALID A7']);
    for (const port of [nodeCrypto, threadedCrypto, webCrypto(crypto as Parameters<typeof webCrypto>[0])])
      assert.equal(await timestampSigner(port, readTimestamp(bad), [readAuthority('rsa', rsa.certificate)]), null);
  });

  it('that comes twice counts once', async () => {
    const twice = [stampReceipt(old), { ...stampReceipt(old), submitted_us: T0 + 1 }];
    const policy = { anchors_required: 2 };
    assert.deepEqual(found(await judged(twice, policy)), ['ANCHOR_INVALID A12']);
    assert.deepEqual(
      found(await judged([receipt(begun), receipt(begun), stampReceipt(old)], { anchors_required: 3 })),
      ['ANCHOR_INVALID A12'],
    );
    assert.deepEqual(found(await judged([receipt(begun), stampReceipt(old)], policy)), []);
  });
});

/** DER with other bytes in place of an element (hex). */
function replaced({ tag, raw, content }: DerElement, before: string, after: string): Uint8Array {
  if (toHex(raw) === before) return new Uint8Array(Buffer.from(after, 'hex'));
  const isConstructed = (tag & 0x20) !== 0;
  const parts = isConstructed
    ? derChildren({ tag, raw, content }).map((one) => replaced(one, before, after))
    : [content];
  return writeDer(tag, ...parts);
}

describe('one timestamp', () => {
  it('is over any number of recordings, new ones and ones to renew, each with a record of its own', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ count: fc.integer({ min: 1, max: 4 }), old: fc.constantFrom(null, 'sha256', 'sha384') }), {
          minLength: 1,
          maxLength: 40,
        }),
        fc.constantFrom<DigestName>('sha256', 'sha384', 'sha512'),
        (kinds, hash) => {
          const items = kinds.map(({ count, old: before }, at): RenewalItem => {
            const data = Array.from({ length: count }, (_, place) => utf8(`object ${place} of ${at}`));
            const known =
              before === null
                ? null
                : readEvidenceRecord(one(first, T0 + dayUs, { objects: data, record: null }, before as DigestName));
            return { objects: data, record: known };
          });
          const made = stamped(second, T0 + yearUs / 2, items, hash);
          for (const [at, bytes] of made.entries()) {
            const known = items[at]!.record;
            const chains = readEvidenceRecord(bytes);
            assert.equal(chains.flat().length, (known?.flat().length ?? 0) + 1);
            assert.equal(chains.length, known === null || known.at(-1)![0]!.hash === hash ? 1 : 2);
            assert.equal(chains.at(-1)!.at(-1)!.hash, hash);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it('of thousands of recordings makes records of a few kilobytes', () => {
    const items = Array.from({ length: 3000 }, (_, at) => ({
      objects: [utf8(`open ${at}`), utf8(`manifest ${at}`)],
      record: null,
    }));
    const made = stamped(first, T0 + dayUs, items);
    assert.ok(Math.max(...made.map(({ length }) => length)) < 2000);
    for (const at of [0, 1, 1499, 2999]) assert.equal(readEvidenceRecord(made[at]!)[0]![0]!.lists.length <= 13, true);
  });
});

describe('evidence records', () => {
  it('throw nothing but DecodeError on changed bytes, and lead to no other data', async () => {
    for (const whole of [begun, renewed, rehashed])
      fc.assert(
        fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
          const bad = whole.slice();
          bad[at] = bad[at]! ^ change;
          try {
            readEvidenceRecord(bad);
          } catch (error) {
            assert.ok(error instanceof DecodeError, String(error));
          }
        }),
        { numRuns: 300 },
      );
  });

  it('are refused in a form this format does not have', () => {
    const sequence = (...parts: Uint8Array[]) => writeDer(derTags.sequence, ...parts);
    const [version, algorithms, chains] = derChildren(readDer(begun, derTags.sequence));
    const long = (der: Uint8Array) => Buffer.concat([der.subarray(0, 1), lengthOf(der), readDer(der, der[0]!).content]);
    const lengthOf = (der: Uint8Array) => Buffer.from([0x83, 0, ...pairOf(readDer(der, der[0]!).content.length)]);
    const pairOf = (length: number) => [length >> 8, length & 255];
    const oid = writeDer(derTags.oid, new Uint8Array(Buffer.from('608648016503040201', 'hex')));
    const derNull = writeDer(derTags.null);
    const refused = [
      sequence(writeDer(derTags.integer, Uint8Array.of(2)), algorithms!.raw, chains!.raw),
      sequence(version!.raw, algorithms!.raw, writeDer(0xa0), chains!.raw),
      sequence(version!.raw, sequence(), chains!.raw),
      sequence(version!.raw, algorithms!.raw, sequence()),
      put(begun, () => [[]]),
      put(begun, ([chain]) => Array.from({ length: 17 }, () => chain!)),
      put(begun, ([chain]) => [Array.from({ length: 101 }, () => chain![0]!)]),
      put(rehashed, (all) => [all.flat()]),
      // Lengths in more bytes than they need, a hash named twice, and parameters.
      long(begun),
      sequence(version!.raw, long(algorithms!.raw), chains!.raw),
      sequence(version!.raw, algorithms!.raw, long(chains!.raw)),
      sequence(version!.raw, sequence(algorithms!.content, algorithms!.content), chains!.raw),
      sequence(version!.raw, sequence(sequence(oid, sequence())), chains!.raw),
      sequence(version!.raw, sequence(sequence(oid, derNull, derNull)), chains!.raw),
    ];
    for (const bad of refused) assert.throws(() => readEvidenceRecord(bad), DecodeError);
    assert.throws(() => readEvidenceRecord(new Uint8Array((1 << 20) + 1)), DecodeError);
    assert.throws(() => planRenewal([], 'sha256'), RangeError);
    assert.deepEqual(fromBase64(toBase64(begun)), begun);
  });
});
