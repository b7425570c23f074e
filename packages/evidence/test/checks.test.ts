/** Every number of docs/format.md 9.2 is reached: by a bundle of the kit, or by a case here. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { portableDecompressor, REPLAY_RULES, type ReplayTally } from '@lucid-sessions/recording';
import { FakeTimestampAuthority } from '@lucid-sessions/testkit';
import { DecodeError } from '@lucid-sessions/wire';
import {
  type AnchorVerdict,
  type BundleInput,
  type BundleSource,
  bundleNames,
  CHUNK_HEADER_BYTES,
  type CheckId,
  type CustodyBody,
  checks,
  codeOf,
  encodeJson,
  formatReport,
  memoryBundle,
  parseCanonicalJson,
  readRecord,
  readRecordOf,
  recordBase,
  replayFields,
  sha256,
  signRecord,
  toBase64,
  toHex,
  unreadableBundle,
  type VerificationReport,
  type VerifyOptions,
  verdictMoves,
  verdictWords,
  verifyBundle,
} from '../src/index.ts';
import { keptVerify, kitNames, readKit } from './kit.ts';
import {
  anchor,
  dek,
  erasing,
  filesOf,
  fitAndSign,
  identity,
  MemoryLog,
  options,
  policyOf,
  type Recording,
  type RecordingOptions,
  record,
  signedExport,
  T0,
} from './recording-fixture.ts';

type Files = Map<string, Uint8Array>;
const SECOND = 1_000_000;
const reading: VerifyOptions = { ...options, decompressor: portableDecompressor, dek };
const good = await record();
const { sessionId } = good.input;
const verify = keptVerify();

const reached = new Map<string, number>();
function note(report: VerificationReport): VerificationReport {
  for (const { check, code } of report.findings) {
    reached.set(check, (reached.get(check) ?? 0) + 1);
    assert.equal(codeOf(check), code);
    for (const [question, word] of Object.entries(verdictMoves[code])) {
      // The verdict is what the code moves it to, or weightier.
      const words: readonly string[] = verdictWords[question as keyof typeof verdictWords];
      const there = words.indexOf(report.verdicts[question as keyof typeof verdictWords]);
      assert.ok(there <= words.indexOf(word), `${code}: ${question} is ${words[there]}`);
    }
  }
  return report;
}

async function packed(change: Partial<BundleInput>, how?: VerifyOptions, of: Recording = good) {
  return verify(await filesOf({ ...of.input, ...change }), how);
}
async function recorded(change: RecordingOptions, how?: VerifyOptions) {
  return verify(await filesOf((await record(change)).input), how);
}
async function changed(change: (files: Files) => unknown, how?: VerifyOptions, of: Recording = good) {
  const files = await filesOf(of.input);
  await change(files);
  return verify(files, how);
}
const anchored = (change: object, how: VerifyOptions) => recorded({ anchors: (root) => [anchor(root, change)] }, how);
const answering = (answer: AnchorVerdict): VerifyOptions => ({ ...options, checkAnchor: () => answer });

/** Another listing of the good bundle. */
async function listed(change: (list: { name: string; bytes: number }[]) => { name: string; bytes: number }[]) {
  const inner = memoryBundle(await filesOf(good.input));
  const list = change((await inner.list()).map(({ name, bytes }) => ({ name, bytes })));
  const source: BundleSource = { list: () => list, read: (name, offset, length) => inner.read(name, offset, length) };
  return verifyBundle(source, options);
}

async function replayed(change: object, tally: object = {}, how?: VerifyOptions) {
  const drawn: ReplayTally = {
    chunks: 5,
    untilUs: 42 * SECOND,
    pictures: 12,
    lit: true,
    notDrawn: [],
    sharePermille: 0,
    oneColour: { activeSeconds: 30, seconds: 0, longest: null },
    ended: null,
  };
  const replay = await signRecord(identity, {
    ...recordBase('replay', sessionId),
    manifest_sha256: readRecord(good.manifestRecord).sha256,
    examined_us: T0 + 100 * SECOND,
    software: 'lucid-sessions 0.1.0',
    rules: REPLAY_RULES,
    ...replayFields({ ...drawn, ...tally }),
    ...change,
  });
  const walker = { chunk: async () => {}, end: async () => drawn };
  return packed({ replay }, how === undefined ? undefined : { ...how, replay: walker });
}

/** The log as it would be if the manifest had come first. */
async function backwards(): Promise<Partial<BundleInput>> {
  const log = new MemoryLog();
  const before = readRecordOf('open', good.openRecord).body.checkpoint!;
  const manifest = log.append('manifest', good.manifestRecord, good.session);
  const open = log.append('open', good.openRecord, good.session);
  const last = await log.checkpoint(T0 + 51 * SECOND);
  const none = { resumes: [], erases: [], custody: null };
  return {
    custody: [],
    logProofs: { ...none, open: log.proof(open, last), manifest: log.proof(manifest, last) },
    consistency: [log.consistency(before, last)],
  };
}

async function slowCustody(): Promise<Partial<BundleInput>> {
  const custody: Uint8Array[] = [];
  for (const sequence of [0, 1]) {
    const previous = custody.at(-1);
    const body: CustodyBody = {
      ...recordBase('custody', sessionId),
      at_us: T0 + 100 * SECOND + sequence * 7200 * SECOND,
      action: 'view',
      actor: 'auditor',
      detail: '',
      sequence,
      previous_sha256: previous === undefined ? null : toHex(sha256(previous)),
    };
    custody.push(await signRecord(identity, body));
  }
  return { custody, logProofs: { ...good.input.logProofs, custody: null } };
}

const cutFile = good.chunks[0]!.slice(0, CHUNK_HEADER_BYTES + 34);
const authority = new FakeTimestampAuthority({ kind: 'ecdsa', nowMs: () => T0 / 1000 + 120_000 });
const tsas = (certificate: Uint8Array) => policyOf({ tsas: [{ name: 'tsa', certificate: toBase64(certificate) }] });
const stamped = (certificate: Uint8Array, detail?: string) =>
  recorded(
    {
      anchors: (root) => [
        anchor(root, {
          backend: 'rfc3161',
          detail: detail ?? toBase64(authority.token(new Uint8Array(Buffer.from(root, 'hex')), null)),
        }),
      ],
    },
    { ...options, policy: tsas(certificate) },
  );

const cases: Partial<Record<CheckId, () => Promise<VerificationReport>>> = {
  B1: () => listed((list) => [...list, ...Array.from({ length: 1 << 20 }, (_, at) => ({ name: `x${at}`, bytes: 0 }))]),
  B11: () =>
    changed(async (files) => {
      const bundle = parseCanonicalJson(files.get(bundleNames.bundle)!, 1 << 20) as { leaves: { count: number } };
      bundle.leaves.count = 4;
      files.set(bundleNames.bundle, encodeJson(bundle));
      const digest = toHex(sha256(files.get(bundleNames.bundle)!));
      files.set(bundleNames.export, await signedExport(identity, sessionId, digest));
    }),
  B14: () => packed({ wraps: [{ scheme: 'test', recipient: 'auditor', key_id: 'ab'.repeat(16), wrapped: 'AAAA' }] }),
  B15: () =>
    packed({}, { ...options, unwrap: () => Promise.reject(Object.assign(new Error('no'), { code: 'damaged' })) }),
  B16: async () => unreadableBundle(new DecodeError('invalid', 'not a tar file')),
  R6: () =>
    recorded({
      open: (body) => ({ ...body, recorder: { ...body.recorder, identity_key: 'ed25519:AAAA' } }),
    }),
  R8: () => recorded({ open: (body) => ({ ...body, encryption: 'none' }) }),
  R31: () => changed((files) => void files.set(bundleNames.custody, new Uint8Array(100_001).fill(0x0a))),
  R20: () => replayed({ manifest_sha256: 'ab'.repeat(32) }),
  R26: async () => {
    const erased = await record(erasing());
    const gone = { ...erased, input: { ...erased.input, wraps: [], chunk: () => null } };
    return changed(
      (files) => {
        files.delete(bundleNames.open);
        return fitAndSign(files);
      },
      undefined,
      gone,
    );
  },
  C22: () =>
    listed((list) =>
      list.map((file) => (file.name === bundleNames.chunk(0) ? { ...file, bytes: (68 << 20) + 1 } : file)),
    ),
  K1: async () => {
    const of = await record({
      leaf: (leaf) => (leaf.index === 0 ? { ...leaf, fileBytes: cutFile.length, fileSha256: sha256(cutFile) } : leaf),
    });
    return packed({ chunk: (index) => (index === 0 ? cutFile : (of.chunks[index] ?? null)) }, reading, of);
  },
  L2: async () => packed(await backwards()),
  L5: async () => packed(await slowCustody()),
  L11: async () => {
    const checkpoint = await good.log.checkpoint(T0);
    return recorded({ open: (body) => ({ ...body, checkpoint }) });
  },
  A6: () => stamped(authority.certificate, 'AAAA'),
  A7: () => stamped(new FakeTimestampAuthority({ kind: 'ecdsa', nowMs: () => T0 / 1000 }).certificate),
  A8: () => anchored({ backend: 'evm', detail: 'AAAA' }, options),
  A9: () => anchored({}, answering({ state: 'invalid', message: 'no such transaction' })),
  A10: () => anchored({}, answering({ state: 'reorged', message: 'gone' })),
  A11: () => anchored({}, answering({ state: 'pending', message: 'two blocks to go' })),
  A13: () => anchored({}, answering({ state: 'confirmed', timeUs: T0 - 3600 * SECOND })),
  A15: () => recorded({ witnessedLateUs: 8 * 86_400 * SECOND }),
  P1: () =>
    replayed(
      {},
      {
        notDrawn: [
          { kind: 'gfx.codec.119', count: 3, firstUs: SECOND, lastUs: 2 * SECOND, located: 2, sharePermille: 40 },
        ],
        sharePermille: 40,
      },
    ),
  P2: () => replayed({}, { pictures: 11 }, reading),
};

describe('check', () => {
  for (const [check, run] of Object.entries(cases))
    it(`${check}: ${codeOf(check as CheckId)}`, async () => {
      const report = note(await run());
      assert.ok(
        report.findings.some((finding) => finding.check === check),
        formatReport(report),
      );
    });

  it('of every bundle of the kit has its code, and moves the verdicts as the table says', async () => {
    for (const name of kitNames()) {
      const { source, options: how } = await readKit(name);
      note(await verifyBundle(source, how));
    }
  });

  it('of no number is left out', () => {
    const never = Object.keys(checks).filter((check) => !reached.has(check));
    assert.deepEqual(never, [], 'no bundle of the kit and no case here reaches these numbers');
  });
});

describe('a stamp of an authority the policy trusts', () => {
  it('anchors the recording, and needs no network', async () => {
    const report = await stamped(authority.certificate);
    assert.deepEqual(report.findings, []);
    assert.equal(report.verdicts.time, 'anchored');
  });
});
