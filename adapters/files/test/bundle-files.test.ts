import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  type BundleInput,
  bundleEntries,
  ed25519NoteSigner,
  ed25519Signer,
  emptyRoot,
  formatLogProof,
  formatNoteKey,
  formatPublicKey,
  logEntry,
  loggedSession,
  type ManifestBody,
  type OpenBody,
  parsePolicy,
  parseSignedCheckpoint,
  readRecord,
  readRecordOf,
  recordBase,
  signRecord,
  toHex,
  utf8,
  type VerifyOptions,
  verifyBundle,
} from '@lucid-sessions/evidence';
import { EmbeddedLog } from '@lucid-sessions/log';
import { nodeCrypto, nodeDecompressor } from '@lucid-sessions/node';
import { DecodeError } from '@lucid-sessions/wire';
import { openBundle, writeBundleDirectory, writeBundleTar } from '../src/index.ts';

const folder = await mkdtemp(join(tmpdir(), 'lucid-bundle-'));
const identity = await ed25519Signer(nodeCrypto, new Uint8Array(32).fill(1));
const signer = await ed25519NoteSigner(nodeCrypto, 'log.example/bundle', new Uint8Array(32).fill(3));
const log = await EmbeddedLog.open({ directory: join(folder, 'log'), signer });
after(async () => {
  await log.close();
  await rm(folder, { recursive: true });
});

/** A session that ended before anything crossed: records and log only. */
async function emptySession(sessionId: string, checkpoint: string | null): Promise<BundleInput> {
  const keys = { identity_key: formatPublicKey(identity.publicKey), dek_id: null };
  const open: OpenBody = {
    ...recordBase('open', sessionId),
    opened_us: 10,
    recorder: { id: 'r', software: 's', identity_key: keys.identity_key },
    first_seal_key: '00'.repeat(32),
    encryption: 'none',
    dek_id: null,
    policy: {
      persistence: 'strict',
      graphics: 'classic',
      compression: 'none',
      chunk_bytes_max: 1,
      chunk_age_us_max: 1,
    },
    parties: { created_by: null, target: 't', target_user: null },
    checkpoint,
    log_entries: 2,
  };
  const openRecord = await signRecord(identity, open);
  const append = (bytes: Uint8Array): Promise<number> => {
    const { kind, sha256 } = readRecord(bytes);
    return log.append(logEntry(kind, sha256, loggedSession(readRecordOf('open', openRecord))));
  };
  await append(openRecord);
  const manifest: ManifestBody = {
    ...recordBase('manifest', sessionId),
    open_sha256: readRecord(openRecord).sha256,
    resumes_sha256: [],
    chunks_count: 0,
    total_bytes: 0,
    merkle_root: toHex(emptyRoot()),
    opened_us: 10,
    ended_us: 20,
    clock: { offset_us: null, source: 'none' },
    gaps: [],
    pauses: [],
    downgrades: [],
    clock_steps: [],
    connections: [],
    target_certificates: [],
    persistence: 'strict',
    end: { reason: 'target_unreachable', message: 'no answer' },
    statistics: { frames_count: 0, relayed_bytes: 0, frames_dropped: 0, duration_us: 10 },
    keys,
  };
  const manifestRecord = await signRecord(identity, manifest);
  await append(manifestRecord);
  return {
    sessionId,
    open: openRecord,
    manifest: manifestRecord,
    resumes: [],
    erases: [],
    custody: [],
    leaves: new Uint8Array(0),
    chunk: () => null,
    wraps: [],
    ...(await logged([openRecord, manifestRecord], checkpoint)),
    anchors: [],
    signExport: (bundle_sha256) =>
      signRecord(identity, { ...recordBase('export', sessionId), at_us: 30, actor: 'ada', bundle_sha256 }),
  };
}

/** What a bundle holds of the log, for records that are in it. */
async function logged(
  records: Uint8Array[],
  named: string | null,
): Promise<Pick<BundleInput, 'logProofs' | 'consistency'>> {
  const found = records.map((record) => {
    const { kind, sha256 } = readRecord(record);
    return log.find(logEntry(kind, sha256, loggedSession(readRecordOf('open', records[0]!))));
  });
  const indices = (await Promise.all(found)).map((index) => index ?? -1);
  const first = named === null ? null : parseSignedCheckpoint(named).size;
  const { size, checkpoint, inclusion, consistency } = await log.prove(indices, first);
  const [open = null, manifest = null] = indices.map((index, at) =>
    formatLogProof({ index, hashes: inclusion[at] ?? [], checkpoint }),
  );
  return {
    logProofs: { open, manifest, resumes: [], erases: [], custody: null },
    consistency: first === null ? [] : [{ first, second: size, hashes: consistency.map(toHex) }],
  };
}

const options: VerifyOptions = {
  crypto: nodeCrypto,
  decompressor: nodeDecompressor,
  policy: parsePolicy(
    utf8(
      JSON.stringify({
        v: 1,
        identity_keys: [{ key: formatPublicKey(identity.publicKey) }],
        log_keys: [formatNoteKey(signer.key)],
      }),
    ),
  ),
};
const verify = async (path: string) => {
  const bundle = await openBundle(path);
  try {
    return await verifyBundle(bundle.source, options);
  } finally {
    await bundle.close();
  }
};

describe('bundles on disk', () => {
  it('verify as a directory and as a tar file, with proofs of the embedded log', async () => {
    for (const [at, checkpoint] of [null, 'latest', 'latest'].entries()) {
      const input = await emptySession(`session-${at}`, checkpoint === null ? null : log.checkpoint);
      const [directory, tar] = [join(folder, `b${at}`), join(folder, `b${at}.tar`)];
      await writeBundleDirectory(directory, bundleEntries(input));
      await writeBundleTar(tar, bundleEntries(input));
      for (const path of [directory, tar]) {
        const report = await verify(path);
        // Nothing was recorded, and that is all there is to say.
        assert.deepEqual(
          report.findings.map(({ code }) => code),
          ['TRUNCATED'],
        );
        assert.equal(report.verdicts.time, 'logged');
      }
    }
  });

  it('are never written over one that is there', async () => {
    const input = await emptySession('again', null);
    await writeBundleTar(join(folder, 'again.tar'), bundleEntries(input));
    await assert.rejects(writeBundleTar(join(folder, 'again.tar'), bundleEntries(input)), /EEXIST/);
    await assert.rejects(writeBundleDirectory(folder, bundleEntries(input)), /EEXIST/);
  });

  it('tell links, cut tar files and files that shrink', async () => {
    const path = join(folder, 'odd');
    await writeBundleDirectory(path, bundleEntries(await emptySession('odd', null)));
    await symlink('/etc/hostname', join(path, 'custody.jsonl'));
    assert.equal((await verify(path)).findings[0]?.code, 'FORMAT');
    await mkdir(join(folder, 'outside', 'below'), { recursive: true });
    await writeFile(join(folder, 'outside', 'below', 'file'), 'of somebody else');
    await symlink(join(folder, 'outside'), join(path, 'anchors'));
    // Two that lead back double with each level.
    for (const name of ['back', 'again']) await symlink('..', join(path, 'log', name));
    const odd = await openBundle(path);
    const names = (await odd.source.list()).map(({ name }) => name);
    await odd.close();
    assert.deepEqual(names.filter((name) => name.startsWith('anchors')).sort(), ['anchors@']);
    assert.deepEqual(names.filter((name) => name.endsWith('@')).sort(), [
      'anchors@',
      'custody.jsonl@',
      'log/again@',
      'log/back@',
    ]);
    const tar = join(folder, 'cut.tar');
    await writeBundleTar(tar, bundleEntries(await emptySession('cut', null)));
    await writeFile(join(folder, 'cut2.tar'), (await readFile(tar)).subarray(0, 1500));
    await assert.rejects(openBundle(join(folder, 'cut2.tar')), DecodeError);
    const bundle = await openBundle(tar);
    await truncate(tar, 600);
    await assert.rejects(async () => bundle.source.read('bundle.json', 0, 300), /cut while it was read/);
    await bundle.close();
  });
});
