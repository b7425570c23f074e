import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nodeCrypto } from '@lucid-sessions/node';
import { portableDecompressor } from '@lucid-sessions/recording';
import { DecodeError } from '@lucid-sessions/wire';
import {
  type BundleInput,
  bundleNames,
  decodeLeaf,
  type EraseBody,
  encodeJson,
  encodeLeaf,
  exitCodes,
  type FindingCode,
  findingCodes,
  formatNoteKey,
  formatReport,
  type ImportedBody,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  leafHash,
  logEntry,
  memoryBundle,
  merkleRoot,
  openTar,
  parseCanonicalJson,
  parsePolicy,
  parseSignedCheckpoint,
  sealLeaf,
  sha256,
  signCheckpoint,
  tarStream,
  toHex,
  unreadableBundle,
  utf8,
  type VerificationReport,
  type VerifyOptions,
  verifyBundle,
} from '../src/index.ts';
import { keptVerify } from './kit.ts';
import {
  anchor,
  custodyChain,
  dek,
  erasing,
  filesOf,
  fitAndSign,
  identity,
  logOf,
  logSigner,
  type MemoryLog,
  options,
  policyOf,
  type RecordingOptions,
  record,
  seed,
  stranger,
  T0,
  witnessKey,
} from './recording-fixture.ts';

type Files = Map<string, Uint8Array>;
const reading: VerifyOptions = { ...options, decompressor: portableDecompressor, dek };
const good = await record();
const goodFiles = await filesOf(good.input);

const verify = keptVerify();
const codesOf = (report: VerificationReport): FindingCode[] =>
  [...new Set(report.findings.map(({ code }) => code))].sort();

/** Verifies a copy of the good bundle after `tamper`, whose author has the identity key and signs a `bundle.json` that fits. */
async function tampered(tamper: (files: Files) => void, how?: VerifyOptions): Promise<VerificationReport> {
  const files = new Map([...goodFiles].map(([name, bytes]) => [name, bytes.slice()]));
  tamper(files);
  if (files.has(bundleNames.bundle)) await fitAndSign(files);
  return verify(files, how);
}
async function recorded(change: RecordingOptions, how?: VerifyOptions): Promise<VerificationReport> {
  return verify(await filesOf((await record(change)).input), how);
}
async function packed(change: Partial<BundleInput>, how?: VerifyOptions): Promise<VerificationReport> {
  return verify(await filesOf({ ...good.input, ...change }), how);
}
const leafAt = (files: Files, index: number): Uint8Array =>
  files.get(bundleNames.leaves)!.subarray(index * LEAF_RECORD_BYTES, (index + 1) * LEAF_RECORD_BYTES);
const setLeaves = (files: Files, ...order: number[]): unknown =>
  files.set(bundleNames.leaves, Buffer.concat(order.map((index) => leafAt(files, index))));
const setJson = (files: Files, name: string, change: (value: never) => void): void => {
  const value = parseCanonicalJson(files.get(name)!, 1 << 20);
  change(value as never);
  files.set(name, encodeJson(value));
};
/** A recording whose keys and chunks were destroyed by a signed and logged word. */
async function erasedRecording(
  change: Partial<EraseBody>,
  packing: Partial<BundleInput>,
  how?: VerifyOptions,
): Promise<VerificationReport> {
  const erased = await record(erasing(change));
  return verify(await filesOf({ ...erased.input, ...packing }), how);
}
describe('a whole recording', () => {
  it('is clean without a key, and every verdict says so', async () => {
    const report = await verify(goodFiles);
    assert.deepEqual(report.findings, []);
    assert.deepEqual(report.verdicts, {
      integrity: 'intact',
      completeness: 'whole',
      origin: 'trusted',
      time: 'witnessed',
      readability: 'not_checked',
      replay: 'unexamined',
    });
    assert.equal(report.exit_code, 0);
    assert.equal(report.facts.chunks_checked, 5);
    assert.equal(report.facts.not_before_us, T0 - 60_000_000);
    assert.equal(report.facts.not_after_us, T0 + 51_000_000);
    assert.match(
      formatReport(report),
      /^Result {8}CLEAN as evidence; whether all of it can be seen was NOT EXAMINED$/m,
    );
    assert.match(formatReport(report), /Downgrade {5}graphics pipeline off/);
  });

  it('is readable with the key, from the bundle or given', async () => {
    let done = 0;
    const progress = (count: number): void => {
      done = count;
    };
    for (const how of [reading, { ...options, decompressor: portableDecompressor, unwrap: async () => dek }]) {
      const report = await verify(goodFiles, { ...how, progress });
      assert.equal(report.verdicts.readability, 'readable');
      assert.equal(report.facts.frames_read, 12);
      assert.ok(report.clean);
    }
    assert.equal(done, 5);
    const none = await verify(goodFiles, { ...options, decompressor: portableDecompressor, unwrap: () => null });
    assert.equal(none.verdicts.readability, 'not_checked');
    await assert.rejects(verify(goodFiles, { ...reading, dek: new Uint8Array(5) }), RangeError);
    const failing = (code: string) => () => Promise.reject(Object.assign(new Error('no'), { code }));
    assert.deepEqual(codesOf(await verify(goodFiles, { ...options, unwrap: failing('damaged') })), ['FORMAT']);
    await assert.rejects(verify(goodFiles, { ...options, unwrap: failing('ETIMEDOUT') }), /no/);
  });

  it('is readable without a key when it was never encrypted', async () => {
    const report = await recorded({ suite: 0 }, { ...options, decompressor: portableDecompressor });
    assert.deepEqual(report.findings, []);
    assert.equal(report.verdicts.readability, 'readable');
  });

  it('is clean when another processor carried it on', async () => {
    const report = await recorded({ resumeAt: 2 });
    assert.deepEqual(report.findings, []);
    assert.deepEqual(report.states, ['RECOVERED']);
    assert.equal(report.facts.chunks_recovered, 1);
    assert.match(formatReport(report), /States {8}RECOVERED/);
    const strange = await recorded({ resumeAt: 2, signer: stranger });
    assert.deepEqual(codesOf(strange), ['KEY_UNTRUSTED']);
    assert.equal(strange.verdicts.integrity, 'intact');
  });

  it('is clean when the clock was set back and the manifest says so', async () => {
    const back = 5_000_000;
    const late = <T extends { index: number; openedUs: number }>(value: T): T =>
      value.index < 3 ? value : { ...value, openedUs: value.openedUs - back };
    const change: RecordingOptions = {
      header: late,
      leaf: (leaf) => ({ ...late(leaf), closedUs: leaf.index < 3 ? leaf.closedUs : leaf.closedUs - back }),
    };
    assert.deepEqual(codesOf(await recorded(change)), ['TIME_ORDER']);
    const said = await recorded({
      ...change,
      manifest: (body) => ({ ...body, clock_steps: [{ at_us: T0, step_us: -back }] }),
    });
    assert.deepEqual(said.findings, []);
  });

  it('is the same through a tar file', async () => {
    const parts: Uint8Array[] = [];
    for await (const part of tarStream([...goodFiles].map(([name, content]) => ({ name, content })))) parts.push(part);
    const tar = Buffer.concat(parts);
    const source = await openTar({
      length: tar.length,
      read: (offset, length) => tar.subarray(offset, offset + length),
    });
    assert.ok((await verifyBundle(source, reading)).clean);
    assert.throws(() => source.read(bundleNames.open, 0, 1 << 20), RangeError);
    assert.throws(() => source.read('nothing', 0, 1), RangeError);
  });

  it('can be shredded and still be proven', async () => {
    const report = await erasedRecording({}, { wraps: [], chunk: () => null });
    assert.deepEqual(report.findings, []);
    assert.deepEqual(report.states, ['SHREDDED']);
    assert.equal(report.verdicts.readability, 'shredded');
    assert.equal(report.verdicts.completeness, 'erased');
    assert.match(formatReport(report), /destroyed on purpose, by a signed and logged record/);
  });

  it('is no altered recording when it was deleted, leaves and all; without the signed word it is', async () => {
    const gone = { wraps: [], chunk: () => null, leaves: new Uint8Array(0) };
    const deleted = await erasedRecording({ actor: 'ada', reason: 'asked for' }, gone);
    assert.deepEqual([deleted.findings, deleted.states], [[], ['SHREDDED']]);
    const { integrity, completeness, readability } = deleted.verdicts;
    assert.deepEqual([integrity, completeness, readability], ['intact', 'erased', 'shredded']);
    assert.ok((await packed(gone)).findings.some(({ code }) => code === 'TRUNCATED'));
  });

  it('counts anchors only when the caller checks them', async () => {
    const input = await record({ anchors: (root) => [anchor(root)] });
    const files = await filesOf(input.input);
    assert.equal((await verify(files)).verdicts.time, 'witnessed');
    const timeUs = T0 + 90_000_000;
    const report = await verify(files, {
      ...options,
      policy: policyOf({ anchors_required: 1 }),
      checkAnchor: () => ({ state: 'confirmed', timeUs }),
    });
    assert.ok(report.clean);
    assert.equal(report.verdicts.time, 'anchored');
    assert.equal(report.facts.anchors_confirmed, 1);
  });

  it('takes a checkpoint digest as the subject of an anchor', async () => {
    const text = parseSignedCheckpoint(good.input.logProofs.manifest!.split('\n\n').slice(1).join('\n\n')).note.text;
    const digest = toHex(nodeCrypto.sha256(utf8(text)));
    assert.deepEqual(codesOf(await packed({ anchors: [anchor(digest, { subject: 'checkpoint' })] })), []);
    assert.deepEqual(codesOf(await packed({ anchors: [anchor('00'.repeat(32), { subject: 'checkpoint' })] })), [
      'ANCHOR_INVALID',
    ]);
  });
});

describe('a part of a recording', () => {
  for (const [first, last] of [
    [0, 1],
    [2, 3],
    [4, 4],
    [0, 4],
  ] as const)
    it(`chunks ${first} to ${last} are proven to be part of the whole`, async () => {
      const report = await recorded({ range: { first, last } }, reading);
      assert.deepEqual(report.findings, []);
      assert.equal(report.verdicts.completeness, 'part');
      assert.equal(report.facts.chunks_checked, last - first + 1);
      assert.match(formatReport(report), new RegExp(`chunks ${first} to ${last}`));
    });

  it('does not pass with a foreign leaf, a missing one or a chunk outside', async () => {
    const part = async (tamper: (files: Files) => void): Promise<FindingCode[]> => {
      const files = await filesOf((await record({ range: { first: 2, last: 3 } })).input);
      tamper(files);
      await fitAndSign(files);
      return codesOf(await verify(files));
    };
    assert.deepEqual(await part(() => {}), []);
    const other = await filesOf((await record({ sealKeyOf: () => seed(77) })).input);
    assert.ok((await part((files) => files.set(bundleNames.leaves, leafAt(other, 2)))).includes('ROOT_MISMATCH'));
    assert.ok((await part((files) => setLeaves(files, 0))).includes('CHUNK_MISSING'));
    assert.ok((await part((files) => files.set(bundleNames.chunk(1), good.chunks[1]!))).includes('CHUNK_EXTRA'));
    assert.ok((await part((files) => files.delete(bundleNames.chunk(2)))).includes('CHUNK_MISSING'));
    assert.ok((await part((files) => files.delete(bundleNames.proofs))).includes('FORMAT'));
    assert.ok(
      (
        await part((files) =>
          setJson(files, bundleNames.proofs, (value: { proofs: string[][] }) => value.proofs[1]!.reverse()),
        )
      ).includes('ROOT_MISMATCH'),
    );
    assert.ok(
      (
        await part((files) =>
          setJson(
            files,
            bundleNames.bundle,
            (value: { partial: object }) => void Object.assign(value.partial, { first_chunk: 9 }),
          ),
        )
      ).includes('FORMAT'),
    );
  });

  it('can not be made without a manifest or outside the recording', async () => {
    await assert.rejects(filesOf({ ...good.input, range: { first: 0, last: 5 } }), RangeError);
    await assert.rejects(filesOf({ ...good.input, manifest: null, range: { first: 0, last: 1 } }), RangeError);
    await assert.rejects(filesOf({ ...good.input, leaves: new Uint8Array(5) }), RangeError);
  });
});

/** Those about the replay and about renewal have test files of their own. */
type TamperingCode = Exclude<FindingCode, 'REPLAY_DIFFERS' | 'NOT_DRAWN' | 'RENEWAL_INVALID' | 'RENEWAL_EXPIRED'>;

/** Every finding code, brought about by exactly the tampering it is for. */
const tampering: Record<TamperingCode, Record<string, () => Promise<VerificationReport>>> = {
  FORMAT: {
    'bundle.json is missing': () => tampered((files) => files.delete(bundleNames.bundle)),
    'bundle.json is not JSON': () => verify(new Map([...goodFiles, [bundleNames.bundle, utf8('{')]])),
    'the open record is not JSON': () => tampered((files) => files.set(bundleNames.open, utf8('nothing'))),
    'the open record is missing': () => tampered((files) => files.delete(bundleNames.open)),
    'leaves.bin is missing': () => tampered((files) => files.delete(bundleNames.leaves)),
    'a leaf is cut': () =>
      tampered((files) => files.set(bundleNames.leaves, files.get(bundleNames.leaves)!.slice(0, -1))),
    'a leaf has another magic': () => tampered((files) => leafAt(files, 2).fill(0, 0, 4)),
    'a file is unknown': () => tampered((files) => files.set('notes.txt', utf8('hello'))),
    'a file is not the one exported': () => verify(new Map([...goodFiles, [bundleNames.wraps, utf8('[]')]])),
    'a listed file is gone': () => verify(new Map([...goodFiles].filter(([name]) => name !== bundleNames.wraps))),
    'a proof is not a proof': () => tampered((files) => files.set(bundleNames.openProof, utf8('nothing'))),
    'a checkpoint is not one': () =>
      tampered((files) => files.set(bundleNames.openProof, utf8('c2sp.org/tlog-proof@v1\nindex 0\n\nx\n'))),
    'the consistency file is not one': () => tampered((files) => files.set(bundleNames.consistency, utf8('{}'))),
    'an anchor is not one': () => tampered((files) => files.set(bundleNames.anchor(0), utf8('{}'))),
    'a custody line is cut': () =>
      tampered((files) => files.set(bundleNames.custody, files.get(bundleNames.custody)!.slice(0, -1))),
    'a custody line is no record': () => tampered((files) => files.set(bundleNames.custody, utf8('{}\n'))),
    'a resume is no record': () => tampered((files) => files.set(bundleNames.resume(0), utf8('{}'))),
    'a sealed chunk has a header that is none': async () => verify(await resealed((file) => flip(file, 0))),
    'a chunk is larger than any chunk': () => {
      const source = memoryBundle(goodFiles);
      const list = [...goodFiles].map(([name, { length }]) => ({
        name,
        bytes: name.startsWith('chunks/') ? 2 ** 31 : length,
      }));
      return verifyBundle({ ...source, list: () => list }, options);
    },
  },
  SIG_BAD: {
    'a signature is another': () => tampered((files) => setJson(files, bundleNames.open, flipSignature)),
    'a manifest is rewritten': () =>
      tampered((files) =>
        setJson(files, bundleNames.manifest, (value: { payload: string }) => {
          const text = Buffer.from(value.payload, 'base64').toString().replace('client_disconnected', 'idle_timeout');
          value.payload = Buffer.from(text).toString('base64');
        }),
      ),
  },
  KEY_UNTRUSTED: {
    'a stranger recorded': () => recorded({ signer: stranger }),
    'the key was not valid then': () =>
      verify(goodFiles, {
        ...options,
        policy: policyOf({
          identity_keys: [
            { key: `ed25519:${Buffer.from(identity.publicKey.bytes).toString('base64')}`, valid_to_us: T0 - 1 },
          ],
        }),
      }),
    'nobody is trusted': () => verify(goodFiles, { ...options, policy: policyOf({ identity_keys: [] }) }),
  },
  BUILD_UNKNOWN: {
    'no build is named': () => verify(goodFiles, { ...options, policy: policyOf({ builds: [] }) }),
  },
  SPLICED: {
    'a chunk file of another session': () =>
      tamperedWith({ sessionId: 'other' }, (files, other) =>
        files.set(bundleNames.chunk(2), other.get(bundleNames.chunk(2))!),
      ),
    'a leaf of another session': () =>
      tamperedWith({ sessionId: 'other' }, (files, other) => leafAt(files, 2).set(leafAt(other, 2))),
    'a leaf of another run of the session': () =>
      tamperedWith({ sealKeyOf: () => seed(77) }, (files, other) => leafAt(files, 2).set(leafAt(other, 2))),
    'the manifest of another session': () =>
      tamperedWith({ sessionId: 'other' }, (files, other) =>
        files.set(bundleNames.manifest, other.get(bundleNames.manifest)!),
      ),
    'the manifest of another open': () => recorded({ manifest: (body) => ({ ...body, open_sha256: 'ab'.repeat(32) }) }),
    'bundle.json of another session': () =>
      tampered((files) =>
        setJson(files, bundleNames.bundle, (value: object) => void Object.assign(value, { session_id: 'other' })),
      ),
    'a resume is left out': async () => {
      const files = await filesOf((await record({ resumeAt: 2 })).input);
      files.delete(bundleNames.resume(0));
      files.delete(bundleNames.resumeProof(0));
      await fitAndSign(files);
      return verify(files);
    },
    'a resume of another open': () =>
      tamperedWith({ resumeAt: 2, open: (body) => ({ ...body, opened_us: T0 - 1 }) }, (files, other) =>
        files.set(bundleNames.resume(0), other.get(bundleNames.resume(0))!),
      ),
    'a header tells another time than the leaf': () =>
      recorded({ header: (header) => ({ ...header, openedUs: header.openedUs + 1 }) }),
    'a chunk is under another key': () =>
      recorded({ header: (header) => ({ ...header, dekId: seed(5).slice(0, 16) }) }),
    'a custody record is taken out': async () =>
      packed({ custody: (await custodyChain(identity, good.input.sessionId, 3)).filter((_, at) => at !== 1) }),
  },
  SEAL_EPOCH: {
    'a seal is another': () => tampered((files) => leafAt(files, 3).fill(1, 170, 180)),
    'a leaf is rewritten': () => tampered((files) => leafAt(files, 2).fill(1, 70, 90)),
    'a resume by nobody is slipped in': async () => {
      const files = await filesOf((await record({ resumeAt: 2 })).input);
      setJson(files, bundleNames.resume(0), flipSignature);
      await fitAndSign(files);
      return verify(files);
    },
    'chunks are sealed again with a stolen later key': () =>
      recorded({
        sealKeyOf: (index) => seed(Math.max(index, 3)),
        open: (body) => ({ ...body, first_seal_key: toHex(nodeCrypto.ed25519PublicKey(seed(0))) }),
      }),
  },
  REORDERED: {
    'two leaves are swapped': () => tampered((files) => setLeaves(files, 0, 2, 1, 3, 4)),
    'a leaf stands twice': () => tampered((files) => setLeaves(files, 0, 1, 1, 2, 3, 4)),
    'two chunk files are swapped': () =>
      tampered((files) => {
        const [a, b] = [files.get(bundleNames.chunk(1))!, files.get(bundleNames.chunk(2))!];
        files.set(bundleNames.chunk(1), b).set(bundleNames.chunk(2), a);
      }),
  },
  CHUNK_ALTERED: {
    'a byte of the ciphertext': () => tampered((files) => flip(files.get(bundleNames.chunk(2))!, 170)),
    'a byte of the header': () => tampered((files) => flip(files.get(bundleNames.chunk(2))!, 40)),
    'a file is longer': () =>
      tampered((files) =>
        files.set(bundleNames.chunk(2), Buffer.concat([files.get(bundleNames.chunk(2))!, utf8('x')])),
      ),
    'a file is empty': () => tampered((files) => files.set(bundleNames.chunk(2), new Uint8Array(0))),
  },
  CHUNK_EXTRA: {
    'a file more': () => tampered((files) => files.set(bundleNames.chunk(5), good.chunks[4]!)),
    'a leaf more': () => tampered((files) => setLeaves(files, 0, 1, 2, 3, 4, 4)),
    'a file under an odd name': () => tampered((files) => files.set('chunks/extra', utf8('x'))),
  },
  CHUNK_MISSING: {
    'a file is missing': () => tampered((files) => files.delete(bundleNames.chunk(2))),
    'a leaf is missing': () => tampered((files) => setLeaves(files, 0, 1, 3, 4)),
    'a leaf is far ahead': () => recorded({ leaf: (leaf) => (leaf.index === 4 ? { ...leaf, index: 5000 } : leaf) }),
  },
  TRUNCATED: {
    'the last leaves are missing': () => tampered((files) => setLeaves(files, 0, 1, 2)),
    'the last leaf is not final': () => recorded({ leaf: (leaf) => ({ ...leaf, final: false }) }),
  },
  ROOT_MISMATCH: {
    'the manifest is over other leaves': () =>
      recorded({ manifest: (body) => ({ ...body, merkle_root: 'ab'.repeat(32) }) }),
    'the manifest is over other sizes': () => recorded({ manifest: (body) => ({ ...body, total_bytes: 5 }) }),
  },
  DISOWNED: {
    'the log held another leaf while it was recorded': () =>
      recorded({ progressAt: [3], progressHead: () => ({ leafHash: 'ab'.repeat(32) }) }),
  },
  UNCLOSED: {
    'the session has not ended': () => recorded({ closed: false }),
    'the manifest is taken out': () =>
      tampered((files) => {
        files.delete(bundleNames.manifest);
        files.delete(bundleNames.manifestProof);
      }),
  },
  LOG_FORK: {
    'the proof of consistency is missing': () => packed({ consistency: [] }),
    'the proof of consistency is another': () =>
      packed({
        consistency: good.input.consistency.map((proof) => ({
          ...proof,
          hashes: proof.hashes.toReversed().map((hash) => hash.replace(/^./, 'f')),
        })),
      }),
    'the log showed us another tree': async () => {
      const text = await signCheckpoint(logSigner, good.log.leaves.length, seed(6));
      return verify(goodFiles, { ...options, policy: policyOf({ known_checkpoints: [text] }) });
    },
    'open names a checkpoint of another log': async () => {
      const name = 'log.example/second';
      const second = { key: { ...logSigner.key, name }, sign: logSigner.sign };
      const checkpoint = await signCheckpoint(second, 1, seed(6));
      return recorded(
        { open: (body) => ({ ...body, checkpoint }) },
        { ...options, policy: policyOf({ log_keys: [formatNoteKey(logSigner.key), formatNoteKey(second.key)] }) },
      );
    },
  },
  NOTE_SIG_BAD: {
    'a checkpoint is rewritten': () =>
      tampered((files) =>
        editText(files, bundleNames.manifestProof, /\nlog.example\/fixture\n(\d+)\n/, '\nlog.example/fixture\n9\n'),
      ),
    'a cosignature is rewritten': () =>
      tampered((files) => editText(files, bundleNames.manifestProof, /(— witness.example \S{20})./, '$1A')),
    'a cosignature in open is bad': () =>
      recorded({
        open: (body) => ({ ...body, checkpoint: body.checkpoint!.replace(/(— witness.example \S{20})./, '$1A') }),
      }),
  },
  LOG_INCLUSION: {
    'the log is another': () =>
      verify(goodFiles, {
        ...options,
        policy: policyOf({ log_keys: [formatNoteKey({ ...logSigner.key, name: 'log.example/other' })] }),
      }),
    'a proof is missing': () => packed({ logProofs: { ...good.input.logProofs, manifest: null } }),
    'a proof is for another record': () =>
      packed({
        logProofs: {
          ...good.input.logProofs,
          manifest: good.input.logProofs.manifest!.replace(/index \d+/, 'index 0'),
        },
      }),
    'witnesses are missing': () => verify(goodFiles, { ...options, policy: policyOf({ witnesses_required: 2 }) }),
  },
  ANCHOR_INVALID: {
    'another root': () => recorded({ anchors: () => [anchor('ab'.repeat(32))] }),
    'another session': () => recorded({ anchors: (root) => [anchor(root, { session_id: 'other' })] }),
    'it failed': () => recorded({ anchors: (root) => [anchor(root, { status: 'failed' })] }),
    'the check refuses it': () =>
      recorded(
        { anchors: (root) => [anchor(root)] },
        { ...options, checkAnchor: () => ({ state: 'invalid', message: 'no such transaction' }) },
      ),
    'one is required and none checked': () =>
      recorded({ anchors: (root) => [anchor(root)] }, { ...options, policy: policyOf({ anchors_required: 1 }) }),
  },
  ANCHOR_REORGED: {
    'the receipt says so': () => recorded({ anchors: (root) => [anchor(root, { status: 'reorged' })] }),
    'the check says so': () =>
      recorded(
        { anchors: (root) => [anchor(root)] },
        { ...options, checkAnchor: () => ({ state: 'reorged', message: 'gone' }) },
      ),
  },
  ANCHOR_PENDING: {
    'the receipt says so': () => recorded({ anchors: (root) => [anchor(root, { status: 'processing' })] }),
  },
  TIME_ORDER: {
    'a chunk closes before it opens': () =>
      recorded({ leaf: (leaf) => (leaf.index === 2 ? { ...leaf, closedUs: leaf.openedUs - 1_000_001 } : leaf) }),
    'a chunk opens before the one before closed': () =>
      recorded({ leaf: (leaf) => (leaf.index === 2 ? { ...leaf, closedUs: leaf.closedUs + 1_000_001 } : leaf) }),
    'the manifest ends before it begins': () =>
      recorded({ manifest: (body) => ({ ...body, ended_us: T0 - 1_000_001 }) }),
    'witnesses saw it long before it ended': () => recorded({ witnessSkewUs: -3_600_000_000 }),
    'the checkpoint in open is from later': () => recorded({ witnessSkewUs: 3_600_000_000 }),
    'it was anchored before it ended': () =>
      recorded(
        { anchors: (root) => [anchor(root)] },
        { ...options, checkAnchor: () => ({ state: 'confirmed', timeUs: T0 - 3_600_000_000 }) },
      ),
  },
  LATE: {
    'it was witnessed long after it ended': () => recorded({ witnessedLateUs: 8 * 86_400_000_000 }),
    'it was anchored and witnessed long after it ended': () =>
      recorded(
        { anchors: (root) => [anchor(root)], witnessedLateUs: 9 * 86_400_000_000 },
        { ...options, checkAnchor: () => ({ state: 'confirmed', timeUs: T0 + 8 * 86_400_000_000 }) },
      ),
  },
  CLOCK_OFF: {
    'nobody measured it': () => recorded({}, { ...options, policy: policyOf({ clock_offset_us: 1000 }) }),
  },
  DUPLICATE: {
    'the log holds a second manifest': async () => {
      const { log, input, session } = await record();
      log.put(logEntry('manifest', 'ab'.repeat(32), session));
      return verify(await filesOf(input), await withLog(log));
    },
    'the log holds a second open record': async () => {
      const { log, input, session } = await record();
      log.put(logEntry('open', 'ab'.repeat(32), session));
      return verify(await filesOf(input), await withLog(log));
    },
  },
  RECORD_MISSING: {
    'the chain of custody is left out': async () =>
      verify(
        await filesOf({ ...good.input, custody: [], logProofs: { ...good.input.logProofs, custody: null } }),
        await withLog(good.log),
      ),
    'an erase record is left out': async () => {
      const { input, log } = await record(erasing({ actor: 'ada', reason: 'asked for', erased: 'keys' }));
      const logProofs = { ...input.logProofs, erases: [] };
      return verify(await filesOf({ ...input, erases: [], logProofs, wraps: [] }), await withLog(log));
    },
  },
  COMMITMENT: {
    'the key is another': () => verify(goodFiles, { ...reading, dek: seed(5) }),
  },
  AUTH: {
    'the recorder sealed a damaged ciphertext': async () => verify(await resealed((file) => flip(file, 165)), reading),
  },
  DECOMPRESS: {
    'the frames are not frames': () => recorded({ payload: () => utf8('nothing') }, reading),
    'the compression is not what it says': () =>
      recorded({ header: (header) => ({ ...header, compression: 'zstd' }) }, reading),
  },
  GAP: {
    'the manifest says so': () =>
      recorded({
        manifest: (body) => ({ ...body, gaps: [{ from_us: T0, to_us: null, reason: 'spool full', frames_lost: 3 }] }),
      }),
    'frames were dropped': () =>
      recorded({ manifest: (body) => ({ ...body, statistics: { ...body.statistics, frames_dropped: 3 } }) }),
    'a leaf says so': () =>
      recorded({
        leaf: (leaf) => ({ ...leaf, gapBefore: leaf.index === 2 }),
        header: (header) => ({ ...header, gapBefore: header.index === 2 }),
      }),
    'frame numbers jump': () =>
      recorded({ payload: (index, payload) => (index === 2 ? payload.with(15, 99) : payload) }, reading),
  },
  IMPORTED: {
    'both records say so': () => importedRecording(),
    'the open record alone': () => recorded({ open: (body) => ({ ...body, imported }) }),
    'the manifest alone': () => recorded({ manifest: (body) => ({ ...body, imported }) }),
  },
};

async function withLog(log: MemoryLog): Promise<VerifyOptions> {
  const files = await log.files(T0 + 200_000_000);
  return { ...options, log: logOf(files) };
}

/** Its chunks have the times its file claims, long before it was imported. */
const imported: ImportedBody = {
  at_us: T0 + 1000 * 86_400_000_000,
  by: 'alice',
  source_name: 'office.pcapng',
  source_sha256: 'a1'.repeat(32),
  capture_sha256: 'b2'.repeat(32),
  captured_from_us: T0,
  captured_to_us: T0 + 30_000_000,
  client: '10.0.0.1:50000',
  server: '10.0.0.2:3389',
};

async function importedRecording(): Promise<VerificationReport> {
  const { at_us } = imported;
  return recorded(
    {
      open: (body) => ({ ...body, opened_us: at_us, imported }),
      manifest: (body) => ({ ...body, opened_us: at_us, ended_us: at_us + 1_000_000, imported }),
    },
    { ...reading, policy: policyOf({ witnesses_required: 0, witnesses: [] }) },
  );
}

function flipSignature(value: { signatures: { sig: string }[] }): void {
  const [first] = value.signatures;
  first!.sig = `${first!.sig.startsWith('A') ? 'B' : 'A'}${first!.sig.slice(1)}`;
}

function editText(files: Files, name: string, pattern: RegExp, replacement: string): void {
  const text = Buffer.from(files.get(name)!).toString();
  const edited = text.replace(pattern, replacement);
  assert.notEqual(edited, text);
  files.set(name, utf8(edited));
}

async function tamperedWith(
  other: RecordingOptions,
  tamper: (files: Files, other: Files) => void,
): Promise<VerificationReport> {
  const others = await filesOf((await record(other)).input);
  return tampered((files) => tamper(files, others));
}

/** A recorder that seals a chunk file it has damaged itself. */
async function resealed(damage: (file: Uint8Array) => void): Promise<Files> {
  const first = await record({ chunksCount: 1 });
  const file = first.chunks[0]!;
  damage(file);
  const leafBytes = encodeLeaf({ ...decodeLeaf(first.input.leaves.subarray(0, LEAF_BYTES)), fileSha256: sha256(file) });
  const root = toHex(merkleRoot([leafHash(leafBytes)]));
  const again = await record({ chunksCount: 1, manifest: (body) => ({ ...body, merkle_root: root }) });
  const seal = await sealLeaf(nodeCrypto, sha256(utf8('seal key 0')), leafBytes);
  return filesOf({ ...again.input, chunk: () => file, leaves: Buffer.concat([leafBytes, seal]) });
}

const flip = (bytes: Uint8Array, at: number): void => {
  bytes[at] = bytes[at]! ^ 1;
};

describe('tampering', () => {
  for (const code of findingCodes.filter((code): code is TamperingCode => code in tampering))
    describe(code, () => {
      for (const [what, run] of Object.entries(tampering[code]))
        it(what, async () => {
          const report = await run();
          assert.ok(
            codesOf(report).includes(code),
            `${code} is not among ${codesOf(report).join(' ') || 'no findings'}`,
          );
          assert.ok(!report.clean);
          assert.ok(report.exit_code >= 10);
          assert.match(formatReport(report), /NOT CLEAN/);
        });
    });

  it('has one exit code per finding, and the weightiest decides', async () => {
    assert.equal(new Set(Object.values(exitCodes)).size, findingCodes.length);
    const report = await tampered((files) => files.delete(bundleNames.chunk(2)));
    assert.deepEqual(codesOf(report), ['CHUNK_MISSING']);
    assert.equal(report.exit_code, exitCodes.CHUNK_MISSING);
    assert.equal(report.findings[0]?.index, 2);
  });

  it('blames an altered chunk alone, also where the frames are read', async () => {
    const report = await tampered((files) => flip(files.get(bundleNames.chunk(2))!, 170), reading);
    assert.deepEqual(codesOf(report), ['CHUNK_ALTERED']);
    assert.equal(report.verdicts.completeness, 'whole');
  });

  it('is distinguished from what it is not', async () => {
    assert.deepEqual(codesOf(await tampering.CHUNK_ALTERED['a byte of the ciphertext']!()), ['CHUNK_ALTERED']);
    assert.deepEqual(codesOf(await tampering.REORDERED['two chunk files are swapped']!()), ['REORDERED']);
    assert.deepEqual(codesOf(await tampering.UNCLOSED['the session has not ended']!()), ['UNCLOSED']);
    assert.deepEqual(codesOf(await tampering.SEAL_EPOCH['a seal is another']!()), ['SEAL_EPOCH']);
    assert.deepEqual(codesOf(await tampering.GAP['the manifest says so']!()), ['GAP']);
    assert.equal((await tampering.GAP['the manifest says so']!()).verdicts.completeness, 'gaps');
    assert.equal((await tampering.UNCLOSED['the session has not ended']!()).verdicts.completeness, 'unclosed');
    assert.equal((await tampering.COMMITMENT['the key is another']!()).verdicts.readability, 'unreadable');
    assert.equal((await tampering.LOG_FORK['the proof of consistency is missing']!()).verdicts.time, 'contradicted');
  });

  it('says of an imported recording that nothing is proven, and not that a recorder made it then', async () => {
    const report = await importedRecording();
    assert.deepEqual(codesOf(report), ['IMPORTED']);
    assert.equal(report.exit_code, exitCodes.IMPORTED);
    const { origin, time } = report.verdicts;
    assert.deepEqual([origin, time], ['imported', 'imported']);
    assert.deepEqual(report.facts.imported, imported);
    assert.equal(report.facts.not_before_us, null);
    const text = formatReport(report);
    assert.match(text, /IMPORTED from a file: nothing is proven about what it shows/);
    assert.match(text, /Claimed +10\.0\.0\.1:50000 to 10\.0\.0\.2:3389/);
    // Who signs both records can't hide it in one of them.
    for (const way of ['the open record alone', 'the manifest alone'])
      assert.deepEqual(codesOf(await tampering.IMPORTED[way]!()).sort(), ['IMPORTED', 'SPLICED']);
  });

  it('of thousands of findings lists a thousand', async () => {
    const files = new Map(goodFiles);
    for (let at = 0; at < 3000; at += 1) files.set(`chunks/${String(at + 5).padStart(8, '0')}.lsc`, utf8('x'));
    const report = await verify(files);
    assert.deepEqual([report.findings.length, report.findings_count], [1000, 3000]);
  });
});

describe('the policy', () => {
  it('decides what is required', async () => {
    const none = policyOf({ log_keys: [], witnesses: [], witnesses_required: 0 });
    const files = await filesOf({
      ...good.input,
      logProofs: { open: null, manifest: null, resumes: [], erases: [], custody: null },
      consistency: [],
    });
    const report = await verify(files, { ...options, policy: none });
    assert.deepEqual(report.findings, []);
    assert.equal(report.verdicts.time, 'recorder_only');
    const logged = await verify(goodFiles, { ...options, policy: policyOf({ witnesses: [], witnesses_required: 0 }) });
    assert.equal(logged.verdicts.time, 'logged');
  });

  it('is refused when malformed', () => {
    const parse = (value: unknown) => () => parsePolicy(encodeJson(value));
    for (const bad of [
      {},
      { v: 2, identity_keys: [] },
      { v: 1, identity_keys: [{ key: 'x' }] },
      { v: 1, identity_keys: [], witnesses: [formatNoteKey(logSigner.key)] },
      { v: 1, identity_keys: [], log_keys: [formatNoteKey(witnessKey)] },
      { v: 1, identity_keys: [], known_checkpoints: ['x'] },
      { v: 1, identity_keys: [], more: 1 },
    ])
      assert.throws(parse(bad), DecodeError);
    const pretty = utf8('{\n  "v": 1,\n  "identity_keys": []\n}\n');
    assert.deepEqual(parsePolicy(pretty).identityKeys, []);
  });
});

describe('tar files', () => {
  const pack = async (files: [string, Uint8Array][]): Promise<Buffer> => {
    const parts: Uint8Array[] = [];
    for await (const part of tarStream(files.map(([name, content]) => ({ name, content })))) parts.push(part);
    return Buffer.concat(parts);
  };
  const open = (tar: Uint8Array) =>
    openTar({ length: tar.length, read: (offset, length) => tar.subarray(offset, offset + length) });

  it('are refused unless they are exactly as written', async () => {
    const tar = await pack([
      ['a.json', utf8('x')],
      ['keys/b', utf8('y')],
    ]);
    assert.equal((await (await open(tar)).list()).length, 2);
    for (let length = 0; length < tar.length; length += 64)
      await assert.rejects(open(tar.subarray(0, length)), DecodeError);
    for (let at = 0; at < tar.length; at += 1) {
      if (at === 512 || at === 1536) continue;
      const bad = Uint8Array.from(tar);
      bad[at] = bad[at]! ^ 1;
      await assert.rejects(open(bad), DecodeError, `byte ${at}`);
    }
    await assert.rejects(open(Buffer.concat([tar, new Uint8Array(512)])), DecodeError);
    await assert.rejects(
      open(
        await pack([
          ['a', utf8('x')],
          ['a', utf8('y')],
        ]),
      ),
      DecodeError,
    );
  });

  it('never hold names that climb', async () => {
    for (const name of ['../x', 'a/../b', '/x', 'a//b', '', 'a/b/c/d', '.', 'ä'])
      await assert.rejects(pack([[name, utf8('x')]]), RangeError, name);
  });

  it('that can not be opened have a report too', () => {
    const report = unreadableBundle(new DecodeError('invalid', 'bad', 3));
    assert.equal(report.exit_code, exitCodes.FORMAT);
    assert.match(formatReport(report), /NOT CLEAN/);
  });
});
