import { LucidError, type ProcessorPort, type StoragePort } from '@lucid-sessions/contract';
import { type ManifestBody, type PublicKey, type SignedRecord, sessionIdBytes } from '@lucid-sessions/evidence';
import type { ProcessorKeys } from '../keys.ts';
import { persist } from '../persist.ts';
import type { Chains } from './chains.ts';
import { type ChainSummary, type ClockCheck, type FinishRequest, manifestBodyOf } from './manifest-body.ts';
import { readRecords, signBody } from './records.ts';
import { replayLeaves } from './replay.ts';
import type { SessionChain } from './session-chain.ts';

type FinishAnswer = Awaited<ReturnType<ProcessorPort['finish']>>;

export interface FinishDeps {
  storage: StoragePort;
  chains: Chains;
  keys: ProcessorKeys;
  identityKey: PublicKey;
  clock: () => ClockCheck;
}

/** Signs the manifest over what storage has. The session's lease is held meanwhile, so that no chunk can come behind it. */
export async function finishSession(deps: FinishDeps, request: FinishRequest): Promise<FinishAnswer> {
  const { storage, chains } = deps;
  const sessionId = request.session.session_id;
  const [stored] = await readRecords(storage, sessionId, 'manifest');
  if (stored !== undefined) return answerOf(stored);
  const chain = chains.held(sessionId);
  await chain?.idle();
  if (chain !== null && !chain.stopped) return finishChain(deps, request, await liveSummary(storage, chain));
  await chains.release(sessionId);
  const { owner } = await chains.acquireLease(sessionId);
  try {
    return await finishChain(deps, request, await storedSummary(storage, sessionId));
  } finally {
    await chains.releaseLease(sessionId, owner);
  }
}

async function finishChain(deps: FinishDeps, request: FinishRequest, summary: ChainSummary): Promise<FinishAnswer> {
  const { storage, chains, keys, identityKey, clock } = deps;
  const sessionId = request.session.session_id;
  const [open] = await readRecords(storage, sessionId, 'open');
  if (open === undefined)
    throw new LucidError('notInThisState', 'the session was not opened; there is nothing to finish');
  // Between two finishes the first one counts: a manifest is signed once.
  const [earlier] = await readRecords(storage, sessionId, 'manifest');
  if (earlier !== undefined) return answerOf(earlier);
  const resumesSha256 = (await readRecords(storage, sessionId, 'resume')).map(({ record }) => record.sha256);
  const signer = { key: identityKey, clock: clock() };
  const body = manifestBodyOf(request, { open: open.record, resumesSha256 }, summary, signer);
  const record = await signBody(keys.identity, body);
  await persist('take the manifest', () => storage.putRecord({ sessionId, kind: 'manifest', record }));
  await chains.release(sessionId);
  return answerFrom(record, body);
}

/** The chain's own sums, unless storage knows better (a leaf that was signed and not confirmed). */
async function liveSummary(storage: StoragePort, chain: SessionChain): Promise<ChainSummary> {
  const sessionId = chain.sessionName;
  const summary = chain.summary();
  const { chunksCount } = await persist('answer for the chunks', () => storage.sessionTotals({ sessionId }));
  return summary?.chunksCount === chunksCount ? summary : storedSummary(storage, sessionId);
}

async function storedSummary(storage: StoragePort, sessionId: string): Promise<ChainSummary> {
  const { leaves } = await persist('answer for the leaves', () => storage.readLeaves({ sessionId }));
  const { tree, totalBytes } = await replayLeaves(sessionIdBytes(sessionId), leaves);
  return { root: tree.root(), chunksCount: tree.size, totalBytes };
}

function answerOf(stored: { bytes: Uint8Array; record: SignedRecord<ManifestBody> }): FinishAnswer {
  return answerFrom(stored.bytes, stored.record.body);
}

function answerFrom(manifestRecord: Uint8Array, body: ManifestBody): FinishAnswer {
  return {
    manifestRecord,
    merkleRoot: body.merkle_root,
    chunksCount: body.chunks_count,
    totalBytes: body.total_bytes,
  };
}
