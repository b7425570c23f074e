/** What makes a recording evidence: records, bundle, verification, anchors, and the key to look at it. */
import { isoOf, LucidError } from '@lucid-sessions/contract';
import { type BundleInput, bundleEntries, readRecord, sessionKeys, tarStream } from '@lucid-sessions/evidence';
import { bundleInput } from './bundle.ts';
import { type Call, FileAnswer, type Handlers, loadSession } from './call.ts';
import { addCustody } from './custody.ts';
import { admitInputs } from './inputs.ts';
import { originOf } from './origin.ts';
import { verifyStored } from './verify-stored.ts';
import { isoOrNull } from './views.ts';

const sealedLeafBytes = 224;

async function records(call: Call<'getManifest'>) {
  const { sessionId } = call;
  const session = await loadSession(call);
  const stored = (await call.api.deps.storage.getRecords({ sessionId })).records;
  const views = stored.map(({ kind, sequence, record }) => {
    const { body, sha256 } = readRecord(record);
    return { kind, sequence, sha256, body, envelope: Buffer.from(record).toString('base64') };
  });
  const manifest = views.find(({ kind }) => kind === 'manifest');
  if (manifest === undefined)
    throw new LucidError('recordNotFound', 'the manifest is signed when the recording has ended and is stored');
  return { session_id: sessionId, merkle_root: session.merkle_root, manifest, records: views };
}

/** Sequence numbers begin at 1, chunk indexes at 0. */
function rangeOf({ first, last }: Call<'exportEvidence'>['query'], input: BundleInput): BundleInput {
  if (first === undefined && last === undefined) return input;
  const count = input.leaves.length / sealedLeafBytes;
  if (first === undefined || last === undefined || !(first <= last && last <= count))
    throw new LucidError('invalidRequest', `a part is named by first and last, from 1 to ${count}`);
  if (input.manifest === null)
    throw new LucidError('recordNotFound', 'a part can be proven when the manifest is signed; export the whole');
  return { ...input, range: { first: first - 1, last: last - 1 } };
}

/** Whoever exports a bundle is named in it, and its files are signed for. */
function exportSigner({ api, sessionId, user }: Pick<Call, 'api' | 'sessionId' | 'user'>): BundleInput['signExport'] {
  const { processor, nowUs } = api.deps;
  return async (bundleSha256) => {
    const body = { at_us: nowUs(), actor: user.userId, bundle_sha256: bundleSha256 };
    return (await processor.signRecord({ sessionId, kind: 'export', body })).record;
  };
}

async function exportEvidence(call: Call<'exportEvidence'>): Promise<FileAnswer> {
  const { first, last } = call.query;
  // The export itself is part of what is exported: who gets the bundle sees who made it.
  rangeOf(call.query, await bundleInput(call));
  await addCustody(call, 'export', first === undefined ? 'whole' : `chunks ${first} to ${last}`);
  const input = { ...rangeOf(call.query, await bundleInput(call)), signExport: exportSigner(call) };
  const part = input.range === undefined ? '' : `-${first}-${last}`;
  const name = `${call.sessionId}${part}.lucid.tar`;
  return new FileAnswer(tarStream(bundleEntries(input)), name, originOf(await loadSession(call)));
}

/** Records, leaves and proofs alone: small, and nothing in them can be played. */
async function exportRecords(call: Call<'exportRecords'>): Promise<FileAnswer> {
  const input = await bundleInput(call);
  const entries = bundleEntries({ ...input, wraps: [], chunk: () => null, signExport: exportSigner(call) });
  return new FileAnswer(tarStream(entries), `${call.sessionId}-records.lucid.tar`);
}

async function verifySession(call: Call<'verifySession'>) {
  const { api } = call;
  // One at a time: each may read a whole recording.
  if (api.busy.verifying)
    throw new LucidError('unavailable', 'another recording is being verified; try again in a moment');
  api.busy.verifying = true;
  try {
    const report = await verifyStored(call);
    await addCustody(call, 'verify', report.clean ? 'clean' : `${report.findings_count} findings`);
    return {
      ...report,
      verdicts: { ...report.verdicts },
      findings: report.findings.map((finding) => ({ ...finding })),
      verified_at: isoOf(api.deps.nowUs()),
    };
  } catch (thrown) {
    if (thrown instanceof LucidError) throw thrown;
    throw new LucidError('verification', 'the recording could not be read for verification', { cause: thrown });
  } finally {
    api.busy.verifying = false;
  }
}

/** The data key of a session, opened with a key this host holds. */
export async function openKey({ api, sessionId }: Pick<Call, 'api' | 'sessionId'>) {
  const { storage, unwrapKey } = api.deps;
  const { wraps } = await storage.getWraps({ sessionId });
  const key = wraps.length === 0 ? null : ((await unwrapKey?.(wraps)) ?? null);
  if (key === null)
    throw new LucidError(
      'recordNotFound',
      wraps.length === 0
        ? 'the session has no key: nothing was recorded, or its keys were destroyed'
        : 'this host holds no key that opens the recording; use the auditor’s own key',
    );
  return { key, keyId: wraps[0]!.keyId };
}

async function getKey(call: Call<'getKey'>) {
  await loadSession(call);
  const { key, keyId } = await openKey(call);
  await admitInputs(call, 'playback with inputs');
  // Signed before the key leaves: there is no view without its record.
  await addCustody(call, 'view', 'playback');
  // Never the key they come from: it opens both.
  const { view, inputs } = await sessionKeys(call.api.deps.verification.crypto, key, Buffer.from(keyId, 'hex'));
  return {
    session_id: call.sessionId,
    key: Buffer.from(view).toString('base64'),
    key_id: keyId,
    ...(call.query.inputs ? { inputs_key: Buffer.from(inputs).toString('base64') } : {}),
  };
}

/** Keys are destroyed only when the caller names the session twice, and stay destroyed whoever asks again. */
async function eraseSession(call: Call<'eraseSession'>) {
  const { sessionId, body, user, told } = call;
  const { name } = await loadSession(call);
  told.name = name;
  told.reason = body.reason;
  if (body.confirm !== sessionId && body.confirm !== name)
    throw new LucidError('invalidRequest', 'confirm must be the id or the name of the session to be shredded');
  const erased = await call.api.deps.pipeline.erase({ sessionId, actor: user.userId, reason: body.reason });
  told.wraps_destroyed = erased.wrapsDestroyed;
  if (erased.wrapsDestroyed > 0) await addCustody(call, 'key_shred', body.reason);
  return {
    session_id: sessionId,
    erased: 'keys' as const,
    erased_at: isoOf(erased.erasedAtUs),
    record_sha256: erased.recordSha256,
    log_index: erased.logIndex,
    wraps_destroyed: erased.wrapsDestroyed,
  };
}

type EvidenceOperations =
  | 'getManifest'
  | 'exportEvidence'
  | 'exportRecords'
  | 'verifySession'
  | 'getAnchor'
  | 'getKey'
  | 'eraseSession'
  | 'renewEvidence'
  | 'getPolicy';

export const evidenceHandlers: Handlers<EvidenceOperations> = {
  getManifest: records,
  exportEvidence,
  exportRecords,
  verifySession,
  getKey,
  eraseSession,
  async renewEvidence({ api, told }) {
    const done = await api.deps.pipeline.renew();
    Object.assign(told, done);
    return done;
  },
  getPolicy: async ({ api }) => api.deps.trustedKeys,

  async getAnchor(call) {
    const { pipeline } = call.api.deps;
    const session = await loadSession(call);
    const [{ log, receipts, anchoring }, { publicKey }] = await Promise.all([
      pipeline.anchor({ sessionId: call.sessionId }),
      pipeline.logCheckpoint(),
    ]);
    return {
      session_id: call.sessionId,
      merkle_root: session.merkle_root,
      log: log === null ? null : { log_index: log.logIndex, checkpoint: log.checkpoint, inclusion: log.inclusion },
      log_public_key: publicKey,
      receipts: receipts.map((receipt) => ({
        backend: receipt.backend,
        status: receipt.status,
        submitted_at: isoOf(receipt.submittedAtUs),
        confirmed_at: isoOrNull(receipt.confirmedAtUs),
        block_height: receipt.blockHeight,
        transaction_id: receipt.transactionId,
        merkle_root: receipt.merkleRoot,
        detail: receipt.detail,
      })),
      anchoring: anchoring.map(({ backend, state, nextCheckUs, detail }) => ({
        backend,
        state,
        next_check_at: isoOrNull(nextCheckUs),
        detail,
      })),
    };
  },
};
