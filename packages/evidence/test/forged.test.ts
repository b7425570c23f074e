/** What somebody can do who holds a key of the installation, or the disk: each was once accepted as clean. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { portableDecompressor } from '@lucid-sessions/recording';
import {
  type BundleInput,
  bundleNames,
  cosign,
  ed25519NoteSigner,
  emptyRoot,
  encodeJson,
  type FindingCode,
  formatNote,
  formatNoteKey,
  formatReport,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  type Leaf,
  logEntry,
  type ManifestBody,
  memoryBundle,
  noteAlgorithms,
  parseCanonicalJson,
  parseSignedCheckpoint,
  readRecordOf,
  sha256,
  signCheckpoint,
  toHex,
  utf8,
  type VerificationReport,
  type VerifyOptions,
  verifyBundle,
} from '../src/index.ts';
import { keptVerify } from './kit.ts';
import {
  anchor,
  dek,
  dekId,
  eraseRecord,
  erasing,
  filesOf,
  fitAndSign,
  fitDescription,
  identity,
  logOf,
  logSigner,
  options,
  policyOf,
  type Recording,
  type RecordingOptions,
  record,
  seed,
  signedExport,
  stranger,
  T0,
  witnessKey,
} from './recording-fixture.ts';

type Files = Map<string, Uint8Array>;
const good = await record();
const { sessionId } = good.input;
const logFiles = await good.log.files(T0 + 200_000_000);
const part = await record({ range: { first: 2, last: 3 } });
const resumed = await record({ resumeAt: 2 });
const SECOND = 1_000_000;
const reading: VerifyOptions = { ...options, decompressor: portableDecompressor, dek };

const verify = keptVerify();
const codesOf = ({ findings }: VerificationReport): FindingCode[] => [...new Set(findings.map(({ code }) => code))];
const packed = async (change: Partial<BundleInput>, how?: VerifyOptions, of: Recording = good) =>
  verify(await filesOf({ ...of.input, ...change }), how);
const recorded = async (change: RecordingOptions, how?: VerifyOptions) =>
  verify(await filesOf((await record(change)).input), how);
async function changed(change: (files: Files) => void, how?: VerifyOptions, of: Recording = good) {
  const files = await filesOf(of.input);
  change(files);
  await fitAndSign(files);
  return verify(files, how);
}

const gone = { wraps: [], chunk: () => null };

describe('an erase record', () => {
  it('that was never logged excuses nothing', async () => {
    const { merkle_root } = readRecordOf('manifest', good.manifestRecord).body;
    const report = await packed({ erases: [await eraseRecord(merkle_root)], ...gone });
    assert.deepEqual(codesOf(report), ['LOG_INCLUSION', 'CHUNK_MISSING']);
    assert.equal(report.verdicts.completeness, 'incomplete');
    const trusting = policyOf({ log_keys: [], witnesses: [], witnesses_required: 0 });
    const unproven = await packed(
      { erases: [await eraseRecord(merkle_root)], ...gone },
      { ...options, policy: trusting },
    );
    assert.deepEqual(codesOf(unproven), ['CHUNK_MISSING']);
  });

  it('counts only under a checkpoint that enough witnesses cosigned', async () => {
    const of = await record(erasing());
    const other = await ed25519NoteSigner(nodeCrypto, 'witness.other', seed(44));
    const witnesses = [witnessKey, { ...other.key, algorithm: noteAlgorithms.cosignatureV1 }].map(formatNoteKey);
    const policy = policyOf({ witnesses, witnesses_required: 2 });
    assert.deepEqual(codesOf(await packed(gone, { ...options, policy }, of)), ['LOG_INCLUSION', 'CHUNK_MISSING']);
    const clean = await packed(gone, undefined, of);
    assert.deepEqual([clean.findings, clean.verdicts.completeness], [[], 'erased']);
  });

  for (const [what, change] of [
    ['names another key', { dek_id: 'ab'.repeat(16) }],
    ['names another root', { merkle_root: 'ab'.repeat(32) }],
    ['names no root', { merkle_root: null }],
    ['is from before the recording', { at_us: T0 - 600_000_000 }],
  ] as const)
    it(`that ${what} is another recording's`, async () => {
      const report = await packed(gone, undefined, await record(erasing(change)));
      assert.deepEqual(codesOf(report), ['SPLICED', 'CHUNK_MISSING']);
      assert.ok(!report.states.includes('SHREDDED'));
    });

  it('does not excuse some of the chunks', async () => {
    const of = await record(erasing());
    const some = { wraps: [], chunk: (index: number) => (index === 2 ? null : (of.chunks[index] ?? null)) };
    const report = await packed(some, undefined, of);
    assert.deepEqual(codesOf(report), ['CHUNK_MISSING']);
    assert.equal(report.findings[0]?.index, 2);
  });

  it('does not stand beside the keys it says are destroyed', async () => {
    assert.deepEqual(codesOf(await packed({ chunk: () => null }, undefined, await record(erasing()))), ['SPLICED']);
  });

  it('of keys leaves the chunks where they are', async () => {
    const of = await record(erasing({ erased: 'keys' }));
    assert.deepEqual(codesOf(await packed({ wraps: [] }, undefined, of)), []);
    assert.deepEqual(codesOf(await packed(gone, undefined, of)), ['CHUNK_MISSING']);
  });
});

describe('a manifest', () => {
  const wrong: Record<string, (body: ManifestBody) => ManifestBody> = {
    'another key id': (body) => ({ ...body, keys: { ...body.keys, dek_id: 'ab'.repeat(16) } }),
    'another identity key': (body) => ({
      ...body,
      keys: { ...body.keys, identity_key: `ed25519:${Buffer.from(stranger.publicKey.bytes).toString('base64')}` },
    }),
    'another persistence': (body) => ({ ...body, persistence: 'best_effort' }),
    'another beginning': (body) => ({ ...body, opened_us: body.opened_us + 1 }),
    'another number of frames': (body) => ({ ...body, statistics: { ...body.statistics, frames_count: 11 } }),
  };
  for (const [what, manifest] of Object.entries(wrong))
    it(`that tells ${what} does not speak of what is there`, async () =>
      assert.deepEqual(codesOf(await recorded({ manifest }, reading)), ['SPLICED']));

  it('that ends before the last chunk closed contradicts it', async () => {
    const manifest = (body: ManifestBody): ManifestBody => ({ ...body, ended_us: body.ended_us - 400_000_000 });
    assert.ok(codesOf(await recorded({ manifest })).includes('TIME_ORDER'));
    const long = (body: ManifestBody): ManifestBody => ({ ...body, ended_us: T0 + 1_000_000 });
    assert.deepEqual(
      codesOf(await recorded({ manifest: long }, { ...options, policy: policyOf({ clock_tolerance_us: 0 }) })),
      ['TIME_ORDER'],
    );
  });

  it('can not declare away any step of the clock', async () => {
    const manifest = (body: ManifestBody): ManifestBody => ({
      ...body,
      clock_steps: [{ at_us: T0, step_us: -172_800_000_000 }],
    });
    assert.deepEqual(codesOf(await recorded({ manifest })), ['TIME_ORDER']);
    const policy = policyOf({ clock_step_us: 259_200_000_000 });
    assert.deepEqual(codesOf(await recorded({ manifest }, { ...options, policy })), []);
  });

  it('says what its clock was compared with, and the report tells it', async () => {
    const checks = [
      { at_us: T0, offset_us: -1200, error_us: 900, source: 'a.example, b.example (2 of 3 agree)' },
      { at_us: T0 + 1, offset_us: 3400, error_us: 1000, source: 'a.example, c.example (2 of 3 agree)' },
      { at_us: T0 + 2, offset_us: null, error_us: null, source: 'no majority of the sources agrees' },
    ];
    const clock = { offset_us: 3400, source: 'a.example, c.example (2 of 3 agree)' };
    const report = await recorded({ manifest: (body) => ({ ...body, clock, clock_checks: checks }) });
    assert.deepEqual([codesOf(report), report.facts.clock], [[], { ...clock, checks_count: 3, most_us: 4400 }]);
    assert.match(formatReport(report), /^Clock +3\.4 ms behind at last, by a\.example.*never more than 4\.4 ms off/m);
    for (const other of [
      { clock: { ...clock, offset_us: 0 }, clock_checks: checks },
      { clock: { ...clock, source: 'ntp' }, clock_checks: checks },
      { clock, clock_checks: [{ ...checks[1]!, error_us: null }] },
    ])
      assert.deepEqual(codesOf(await recorded({ manifest: (body) => ({ ...body, ...other }) })), ['SPLICED']);
  });

  it('can not begin a line of the report', async () => {
    const what = 'x\nResult        CLEAN\r\u2028\u202e';
    const text = formatReport(
      await recorded({ manifest: (b) => ({ ...b, downgrades: [{ at_us: T0, what }], gaps: [] }) }),
    );
    assert.equal(text.match(/^Result/gm)?.length, 1);
    assert.match(text, /^Downgrade +x\ufffdResult +CLEAN\ufffd{3}$/m);
  });

  it('without a step of the clock fits a policy that takes none', async () => {
    const how = { ...options, policy: policyOf({ clock_step_us: 0 }) };
    assert.deepEqual(codesOf(await verify(await filesOf(good.input), how)), []);
    const manifest = (body: ManifestBody): ManifestBody => ({ ...body, clock_steps: [{ at_us: T0, step_us: -1 }] });
    assert.deepEqual(codesOf(await recorded({ manifest }, how)), ['TIME_ORDER']);
  });

  it('over no chunk is not a whole recording', async () => {
    const report = await recorded({ chunksCount: 0, manifest: (body) => ({ ...body, chunks_count: 0 }) });
    assert.deepEqual(codesOf(report), ['TRUNCATED']);
    assert.equal(report.verdicts.completeness, 'incomplete');
  });

  it('that was first seen a year after its end is late', async () => {
    const yearUs = 365 * 86_400_000_000;
    const report = await recorded({ witnessedLateUs: yearUs });
    assert.deepEqual([codesOf(report), report.verdicts.time], [['LATE'], 'contradicted']);
    const patient = policyOf({ lateness_us: 2 * yearUs });
    assert.deepEqual(codesOf(await recorded({ witnessedLateUs: yearUs }, { ...options, policy: patient })), []);
    // Nobody who is trusted saw it: nothing is known of when.
    const noWitness = policyOf({ witnesses: [], witnesses_required: 0 });
    assert.deepEqual(codesOf(await recorded({ witnessedLateUs: yearUs }, { ...options, policy: noWitness })), []);
  });

  it('is late by the earliest of all who are trusted, to the microsecond', async () => {
    const endUs = T0 + 50 * SECOND;
    const lateUs = 3600 * SECOND;
    const policy = policyOf({ lateness_us: lateUs });
    const seen = async (anchoredUs: number, witnessedLateUs: number) => {
      const checkAnchor = (): { state: 'confirmed'; timeUs: number } => ({ state: 'confirmed', timeUs: anchoredUs });
      const anchors = (digest: string) => [anchor(digest)];
      return codesOf(await recorded({ anchors, witnessedLateUs }, { ...options, policy, checkAnchor }));
    };
    assert.deepEqual(await seen(endUs + lateUs, 2 * lateUs), []);
    assert.deepEqual(await seen(endUs + lateUs + 1, 2 * lateUs), ['LATE']);
    // The witness saw it a second after its end, and says so in whole seconds.
    assert.deepEqual(await seen(endUs + lateUs + 1, lateUs - SECOND), []);
    assert.deepEqual(await seen(endUs + lateUs + 1, lateUs), ['LATE']);
  });

  it('has to tell a clock within the bound of a policy that has one', async () => {
    const policy = policyOf({ clock_offset_us: 4400 });
    const told = async (checks: ManifestBody['clock_checks'], bound = policy) => {
      const last = checks?.findLast(({ offset_us }) => offset_us !== null) ?? checks?.at(-1);
      const clock = { offset_us: last?.offset_us ?? null, source: last?.source ?? 'none' };
      const manifest = (body: ManifestBody): ManifestBody => ({
        ...body,
        ...(checks === undefined ? {} : { clock, clock_checks: checks }),
      });
      return codesOf(await recorded({ manifest }, { ...options, policy: bound }));
    };
    const at = (offset_us: number | null, error_us: number | null) => ({ at_us: T0, offset_us, error_us, source: 'a' });
    assert.deepEqual(await told([at(-3400, 1000), at(null, null), at(0, 9)]), []);
    assert.deepEqual(await told([at(0, 9), at(-3400, 1001)]), ['CLOCK_OFF']);
    assert.deepEqual(await told([at(3401, 1000), at(0, 9)]), ['CLOCK_OFF']);
    assert.deepEqual(await told([at(null, null)]), ['CLOCK_OFF']);
    assert.deepEqual(await told(undefined), ['CLOCK_OFF']);
    assert.deepEqual(await told(undefined, policyOf()), []);
  });
});

describe('a checkpoint somebody knows', () => {
  const at = (size: number, root: Uint8Array) => signCheckpoint(logSigner, size, root);
  const withKnown = (text: string): VerifyOptions => ({ ...options, policy: policyOf({ known_checkpoints: [text] }) });
  const log = logOf(logFiles);

  it('of another length is compared by the log itself, and told as not compared without it', async () => {
    const other = await at(3, seed(6));
    const blind = await verify(await filesOf(good.input), withKnown(other));
    assert.deepEqual([codesOf(blind), blind.facts.log.not_compared], [[], 1]);
    const seen = await verify(await filesOf(good.input), { ...withKnown(other), log });
    assert.deepEqual([codesOf(seen), seen.facts.log.known], [['LOG_FORK'], 1]);
    const longer = await at(100, seed(6));
    assert.equal((await verify(await filesOf(good.input), { ...withKnown(longer), log })).facts.log.not_compared, 1);
  });

  it('of no entries is one that every log extends', async () => {
    const empty = await at(0, emptyRoot());
    const open = await record({ open: (body) => ({ ...body, checkpoint: empty }) });
    const consistency = [open.input.consistency[1]!];
    assert.deepEqual(codesOf(await packed({ ...open.input, consistency }, withKnown(empty), open)), []);
    assert.deepEqual(codesOf(await verify(await filesOf(good.input), withKnown(await at(0, seed(6))))), ['LOG_FORK']);
  });

  it('that nobody signed says nothing', async () => {
    const strange = await ed25519NoteSigner(nodeCrypto, logSigner.key.name, seed(66));
    const size = good.log.leaves.length;
    const report = await verify(await filesOf(good.input), withKnown(await signCheckpoint(strange, size, seed(6))));
    assert.deepEqual([codesOf(report), report.facts.log.known, report.facts.log.not_compared], [[], 0, 1]);
  });

  it('of a log that was written anew at another length is found', async () => {
    const rewritten = await record({ sealKeyOf: () => seed(77) });
    const files = await rewritten.log.files();
    const report = await verify(await filesOf(good.input), { ...options, log: logOf(files) });
    assert.ok(codesOf(report).includes('LOG_FORK'));
  });

  it('is no excuse for a log with a file missing or altered', async () => {
    for (const spoil of [
      (files: Map<string, Uint8Array>) => files.delete('checkpoint'),
      (files: Map<string, Uint8Array>) => files.delete([...files.keys()].find((name) => name.includes('entries'))!),
      (files: Map<string, Uint8Array>) => {
        const name = [...files.keys()].find((path) => path.includes('entries'))!;
        files.set(name, files.get(name)!.with(10, files.get(name)![10]! ^ 1));
      },
    ]) {
      const files = new Map(logFiles);
      spoil(files);
      const report = await verify(await filesOf(good.input), { ...options, log: logOf(files) });
      assert.deepEqual([codesOf(report), report.facts.log.size], [['LOG_FORK'], null]);
    }
  });
});

describe('a part', () => {
  const proofs = (change: (value: { previous: string | null; proofs: string[][] }) => void) => (files: Files) => {
    const value = parseCanonicalJson(files.get(bundleNames.proofs)!, 1 << 20) as never;
    change(value);
    files.set(bundleNames.proofs, encodeJson(value));
  };
  for (const [what, change, code] of [
    [
      'a seal that is zeroed',
      (files: Files) => files.get(bundleNames.leaves)!.fill(0, LEAF_BYTES, LEAF_RECORD_BYTES),
      'SEAL_EPOCH',
    ],
    ['no leaf before it', proofs((value) => Object.assign(value, { previous: null })), 'FORMAT'],
    [
      'another leaf before it',
      proofs((value) => Object.assign(value, { previous: `${value.previous!.slice(0, -2)}00` })),
      'ROOT_MISMATCH',
    ],
    ['no proof of the leaf before it', proofs((value) => void value.proofs.shift()), 'FORMAT'],
    ['a proof too many', proofs((value) => void value.proofs.push(value.proofs[0]!)), 'FORMAT'],
  ] as const)
    it(`with ${what} is found`, async () =>
      assert.ok(codesOf(await changed(change as (files: Files) => void, undefined, part)).includes(code)));

  it('has its final leaf where the manifest ends, and nowhere else', async () => {
    const final = (at: number) => (leaf: Leaf) => ({
      ...leaf,
      final: leaf.index === at,
      nextSealKey: leaf.index === at ? new Uint8Array(32) : nodeCrypto.ed25519PublicKey(seed(12)),
    });
    const of = (leaf: RecordingOptions['leaf'], last: number) =>
      recorded({ ...(leaf && { leaf }), range: { first: 0, last }, sealKeyOf: () => seed(12) });
    assert.deepEqual(codesOf(await of(undefined, 4)), []);
    assert.deepEqual(codesOf(await of(final(2), 2)), ['CHUNK_EXTRA']);
    assert.deepEqual(codesOf(await of(final(9), 4)), ['TRUNCATED']);
  });

  it('that begins the recording has no leaf before it', async () => {
    const first = await record({ range: { first: 0, last: 1 } });
    assert.deepEqual(codesOf(await changed(() => {}, undefined, first)), []);
    const report = await changed(
      proofs((value) => Object.assign(value, { previous: '00'.repeat(LEAF_BYTES) })),
      undefined,
      first,
    );
    assert.ok(codesOf(report).includes('FORMAT'));
  });
});

describe('files that nothing leads to', () => {
  for (const [what, name] of [
    ['a resume record behind a hole', bundleNames.resume(3)],
    ['an erase record behind a hole', bundleNames.erase(1)],
    ['a receipt behind a hole', bundleNames.anchor(1)],
    ['the proof of a record that is not there', bundleNames.resumeProof(7)],
    ['proofs of a part in a whole', bundleNames.proofs],
  ] as const)
    it(`${what} is a finding`, async () => {
      const report = await changed((files) => files.set(name, utf8('{}')), undefined, resumed);
      assert.deepEqual(codesOf(report), ['FORMAT']);
      assert.deepEqual([report.findings_count, report.findings[0]?.file], [1, name]);
    });

  it('a list that names one twice, or a chunk, is a finding', async () => {
    for (const name of [bundleNames.open, bundleNames.chunk(0), bundleNames.leaves]) {
      const files = await filesOf(good.input);
      const described = parseCanonicalJson(files.get(bundleNames.bundle)!, 1 << 20) as { files: object[] };
      described.files.push({ name, sha256: toHex(sha256(files.get(name)!)) });
      const bundle = encodeJson(described);
      files.set(bundleNames.bundle, bundle);
      files.set(bundleNames.export, await signedExport(identity, sessionId, toHex(sha256(bundle))));
      assert.deepEqual(codesOf(await verify(files)), ['FORMAT'], name);
    }
  });

  it('a proof between checkpoints that are not here is one', async () => {
    const consistency = [...good.input.consistency, { first: 1, second: 2, hashes: ['00'.repeat(32)] }];
    assert.deepEqual(codesOf(await packed({ consistency })), ['FORMAT']);
  });
});

describe('whoever has no key of the installation', () => {
  for (const [what, change] of [
    ['leave out the chain of custody', (files: Files) => files.delete(bundleNames.custody)],
    ['leave out who exported it', (files: Files) => files.delete(bundleNames.export)],
    [
      'put in keys of their own',
      (files: Files) =>
        void files.set(
          bundleNames.wraps,
          encodeJson([{ scheme: 'test', recipient: 'me', key_id: toHex(dekId), wrapped: 'AAAB' }]),
        ),
    ],
    ['leave out a receipt', (files: Files) => files.delete(bundleNames.wraps)],
  ] as const)
    it(`can not ${what}`, async () => {
      const files = await filesOf(good.input);
      change(files);
      fitDescription(files);
      assert.ok(!(await verify(files)).clean);
    });

  it('can not sign that these are the files', async () => {
    const files = await filesOf(good.input);
    files.delete(bundleNames.custody);
    await fitAndSign(files, stranger);
    assert.ok(codesOf(await verify(files)).includes('KEY_UNTRUSTED'));
  });
});

it('one witness under two names is one', async () => {
  const policy = policyOf({
    witnesses: [formatNoteKey(witnessKey), formatNoteKey({ ...witnessKey, name: 'witness.second' })],
    witnesses_required: 2,
  });
  assert.equal(policy.witnesses.length, 1);
  assert.deepEqual(codesOf(await verify(await filesOf(good.input), { ...options, policy })), ['LOG_INCLUSION']);
});

describe('witnesses that are required', () => {
  for (const [what, change] of [
    ['by a policy without a log', { log_keys: [] }],
    ['of a bundle without proofs', { log_required: false }],
  ] as const)
    it(`${what} are missed`, async () => {
      const logProofs = { open: null, manifest: null, resumes: [], erases: [], custody: null };
      const report = await packed({ logProofs, consistency: [] }, { ...options, policy: policyOf(change) });
      assert.deepEqual([codesOf(report), report.findings_count], [['LOG_INCLUSION'], 1]);
    });
});

describe('an export of a session that went on', () => {
  it('is not told a second manifest by the log, but that there is one now', async () => {
    const open = await record({ closed: false });
    const now = { ...options, log: logOf(await open.log.files(T0 + 200_000_000)) };
    const { custody: _, ...logProofs } = open.input.logProofs;
    const early = { ...open.input, custody: [], logProofs: { ...logProofs, custody: null } };
    const consistency = [open.input.consistency[0]!];
    const report = await verify(await filesOf({ ...early, consistency }), now);
    assert.deepEqual([codesOf(report), report.verdicts.integrity], [['UNCLOSED'], 'intact']);
    assert.equal(report.facts.log.records_since, 2);
    // Below what the proofs cover it was there when the bundle was made.
    assert.deepEqual(codesOf(await verify(await filesOf(open.input), now)), ['UNCLOSED', 'RECORD_MISSING']);
  });
});

it('entries of a log that does not fit its checkpoint tell nothing', async () => {
  const { log, input } = await record();
  const checkpoint = utf8(await log.checkpoint(T0 + 200_000_000));
  const { body } = readRecordOf('manifest', input.manifest!);
  log.entries[log.entries.length - 1] = logEntry('manifest', toHex(seed(1)), {
    openSha256: body.open_sha256,
    sessionUuid: body.session_uuid,
    logEntries: 2,
  });
  const files = await log.files();
  const spoiled = logOf(new Map([...files, ['checkpoint', checkpoint]]));
  assert.deepEqual(codesOf(await verify(await filesOf(input), { ...options, log: spoiled })), ['LOG_FORK']);
});

describe('one cause is one finding', () => {
  it('who trusts no log is told nothing by one, and trusts the recorder all the same', async () => {
    const policy = policyOf({ log_keys: [], witnesses: [], witnesses_required: 0 });
    const report = await verify(await filesOf(good.input), { ...options, policy });
    assert.deepEqual([report.findings, report.verdicts.origin, report.verdicts.time], [[], 'trusted', 'recorder_only']);
    const strict = policyOf({ log_keys: [], log_required: true, witnesses: [], witnesses_required: 0 });
    assert.deepEqual(codesOf(await verify(await filesOf(good.input), { ...options, policy: strict })), [
      'LOG_INCLUSION',
    ]);
  });

  it('a bad cosignature is the witness’s, not the recorder’s', async () => {
    const bad = await cosign({ key: witnessKey, sign: () => new Uint8Array(64) }, 'x', 1);
    const proof = good.input.logProofs.manifest!;
    const [head, ...rest] = proof.split('\n\n');
    const { note } = parseSignedCheckpoint(rest.join('\n\n'));
    const spoiled = `${head}\n\n${formatNote({ text: note.text, signatures: [...note.signatures, bad] })}`;
    const report = await packed({ logProofs: { ...good.input.logProofs, manifest: spoiled } });
    assert.ok(codesOf(report).includes('NOTE_SIG_BAD'));
    assert.deepEqual([report.verdicts.origin, report.verdicts.integrity], ['trusted', 'intact']);
  });

  it('another session’s keys are blamed, not the chunks', async () => {
    const wraps = [{ scheme: 'test', recipient: 'auditor', key_id: 'ab'.repeat(16), wrapped: 'AAAA' }];
    const how = { ...options, decompressor: portableDecompressor, unwrap: () => seed(5) };
    const report = await packed({ wraps }, how);
    assert.deepEqual([report.findings_count, codesOf(report)], [1, ['SPLICED']]);
    assert.equal(report.verdicts.readability, 'not_checked');
  });

  it('an open record that can’t be read is one, not one for each leaf', async () => {
    const report = await changed((files) => files.set(bundleNames.open, utf8('{}')));
    assert.deepEqual([report.findings_count, codesOf(report)], [1, ['FORMAT']]);
  });

  it('leaves of another session are one', async () => {
    const other = await filesOf((await record({ sessionId: 'other' })).input);
    const report = await changed((files) => void files.set(bundleNames.leaves, other.get(bundleNames.leaves)!));
    assert.equal(report.findings.filter(({ message }) => message.includes('belongs to another session')).length, 1);
  });
});

describe('work is bounded', () => {
  const reads = (files: Files) => {
    const source = memoryBundle(files);
    const counted = { chunks: 0, bytes: 0 };
    return {
      counted,
      source: {
        ...source,
        read(name: string, offset: number, length: number) {
          if (name.startsWith('chunks/')) counted.chunks += 1;
          counted.bytes += length;
          return source.read(name, offset, length);
        },
      },
    };
  };

  it('a leaf that stands 1,600 times has its chunk read once', async () => {
    const files = await filesOf(good.input);
    const leaf = files.get(bundleNames.leaves)!.subarray(0, LEAF_RECORD_BYTES);
    files.set(bundleNames.leaves, Buffer.concat(Array.from({ length: 1600 }, () => leaf)));
    const { counted, source } = reads(files);
    const report = await verifyBundle(source, options);
    assert.ok(codesOf(report).includes('CHUNK_EXTRA'));
    // And those that are loaded ahead of their turn.
    assert.ok(counted.chunks <= 5, `${counted.chunks} reads`);
    const open = await record({ closed: false });
    const endless = await filesOf(open.input);
    endless.set(bundleNames.leaves, files.get(bundleNames.leaves)!);
    const unclosed = reads(endless);
    await verifyBundle(unclosed.source, options);
    assert.ok(unclosed.counted.chunks <= 5, `${unclosed.counted.chunks} reads`);
  });

  it('of JSON that holds millions of values most is not read', async () => {
    const files = await filesOf(part.input);
    const text = `{"previous":null,"proofs":[${'[],'.repeat(3 << 20)}[]],"v":2}`;
    files.set(bundleNames.proofs, utf8(text));
    await fitAndSign(files);
    const { findings } = await verifyBundle(memoryBundle(files), options);
    assert.match(findings.find(({ file }) => file === bundleNames.proofs)?.message ?? '', /more than 2097152 values/);
  });

  it('of a file of leaves that claims gigabytes only what can be leaves is read', async () => {
    const files = await filesOf(good.input);
    const source = memoryBundle(files);
    let bytes = 0;
    const report = await verifyBundle(
      {
        list: async () =>
          (await source.list()).map((file) =>
            file.name === bundleNames.leaves ? { ...file, bytes: 3_758_096_384 } : file,
          ),
        read(name, offset, length) {
          bytes += length;
          return name === bundleNames.leaves ? new Uint8Array(length) : source.read(name, offset, length);
        },
      },
      options,
    );
    assert.ok(codesOf(report).includes('FORMAT'));
    assert.ok(bytes < 1 << 20, `${bytes} bytes`);
  });
});

it('recordings from before log entries named their open record are proven by those', async () => {
  const old = (body: object) => {
    const { log_entries: _, ...rest } = body as { log_entries?: 2 };
    return rest as never;
  };
  const report = await recorded({ open: old });
  assert.deepEqual(report.findings, []);
  // One that announces the new form is not proven by an old entry.
  const plain = await record();
  const entry = good.log.leaves.length;
  assert.ok(entry > 0 && plain.session.logEntries === 2);
});

describe('a build', () => {
  const build = {
    version: '0.1.0',
    package_sha256: 'ab'.repeat(32),
    sbom_sha256: 'cd'.repeat(32),
    commit: '0123456789abcdef0123456789abcdef01234567',
  };
  const of = (more: object, policy: object) =>
    recorded(
      { open: (body) => ({ ...body, recorder: { ...body.recorder, build: { ...build, ...more } } }) },
      { ...options, policy: policyOf(policy) },
    );
  const listed = { builds: [{ package_sha256: 'ab'.repeat(32), version: '0.1.0' }] };

  it('that the policy lists is clean, as is any where it lists none; the report names it', async () => {
    for (const policy of [listed, {}]) {
      const report = await of({}, policy);
      assert.deepEqual([codesOf(report), report.facts.build, report.verdicts.origin], [[], build, 'trusted']);
      assert.match(
        formatReport(report),
        /^Made by +version 0\.1\.0, commit 0123456789abc.*, package (?:ab){32}, SBOM (?:cd){32}/m,
      );
    }
  });

  it('that the policy does not list, or that was never published, is not trusted', async () => {
    for (const more of [{ package_sha256: 'ef'.repeat(32) }, { package_sha256: null, sbom_sha256: null }]) {
      const report = await of(more, listed);
      assert.deepEqual([codesOf(report), report.verdicts.origin], [['BUILD_UNKNOWN'], 'untrusted']);
    }
  });
});
