/** A session's evidence as it lies in storage, in the form the bundle writer and the verifier take. */
import {
  type AnchorReceipt,
  type KeyWrap,
  type LogEntryProof,
  LucidError,
  type PipelinePort,
  type RecordKind,
  type SessionProgress,
} from '@lucid-sessions/contract';
import {
  type BundleAnchor,
  type BundleInput,
  type BundleProgress,
  type BundleSource,
  type BundleWrap,
  bundleEntries,
  bundleNames,
  formatLogProof,
  fromHex,
} from '@lucid-sessions/evidence';
import { type ApiDeps, loadSession } from './call.ts';

/** What of a call, or of somebody who has no API, the evidence of a session is read by. */
export interface EvidenceCall {
  api: { deps: Pick<ApiDeps, 'storage'> & { pipeline: Pick<PipelinePort, 'logProofs' | 'anchor'> } };
  sessionId: string;
}

export const proofText = ({ logIndex, checkpoint, inclusion }: LogEntryProof): string =>
  formatLogProof({ index: logIndex, checkpoint, hashes: inclusion.map((hash) => fromHex(hash, 32)) });

const progressOf = (head: SessionProgress): BundleProgress => ({
  v: 1,
  at_us: head.atUs,
  count: head.count,
  root: head.root,
  index: head.index,
  leaves_count: head.leavesCount,
  leaf_hash: head.leafHash,
  hashes: head.hashes,
});

const anchorOf = (sessionId: string, receipt: AnchorReceipt): BundleAnchor => ({
  v: 1,
  backend: receipt.backend,
  subject: receipt.subject ?? 'session_root',
  session_id: sessionId,
  digest: receipt.merkleRoot,
  status: receipt.status,
  submitted_us: receipt.submittedAtUs,
  confirmed_us: receipt.confirmedAtUs,
  block_height: receipt.blockHeight,
  transaction_id: receipt.transactionId,
  detail: receipt.detail,
});

const wrapOf = (wrap: KeyWrap): BundleWrap => ({
  scheme: wrap.scheme,
  recipient: wrap.recipient,
  key_id: wrap.keyId,
  wrapped: Buffer.from(wrap.wrapped).toString('base64'),
});

/** Throws `recordNotFound` while the session has no signed record. */
export async function bundleInput(call: EvidenceCall): Promise<BundleInput> {
  const { storage, pipeline } = call.api.deps;
  const { sessionId } = call;
  await loadSession(call);
  const [{ records }, { leaves }, { wraps }, { proofs, progress, consistency }, { receipts }] = await Promise.all([
    storage.getRecords({ sessionId }),
    storage.readLeaves({ sessionId }),
    storage.getWraps({ sessionId }),
    pipeline.logProofs({ sessionId }),
    pipeline.anchor({ sessionId }),
  ]);
  const of = (kind: RecordKind) => records.filter((record) => record.kind === kind);
  const open = of('open')[0];
  if (open === undefined)
    throw new LucidError('recordNotFound', 'nothing was recorded yet: there is no signed record of this session');
  const proofAt = (sequence: number | undefined) => {
    const found = proofs.find((known) => known.sequence === sequence);
    return found === undefined ? null : proofText(found.proof);
  };
  const manifest = of('manifest')[0];
  const head = proofs.find(({ kind }) => kind === 'custody')?.sequence;
  const isHere = head === undefined || records.some(({ sequence }) => sequence === head);
  // One that came and was logged while the rest was read: its proof is of a longer chain.
  const custody = isHere ? of('custody') : (await storage.getRecords({ sessionId, kind: 'custody' })).records;
  return {
    sessionId,
    open: open.record,
    manifest: manifest?.record ?? null,
    replay: of('replay').at(-1)?.record ?? null,
    resumes: of('resume').map(({ record }) => record),
    erases: of('erase').map(({ record }) => record),
    custody: custody.map(({ record }) => record),
    leaves,
    chunk: async (index) => (await storage.readChunk({ sessionId, index })).file,
    wraps: wraps.map(wrapOf),
    logProofs: {
      open: proofAt(open.sequence),
      manifest: proofAt(manifest?.sequence),
      resumes: of('resume').map(({ sequence }) => proofAt(sequence)),
      erases: of('erase').map(({ sequence }) => proofAt(sequence)),
      custody: proofAt(head),
    },
    signExport: null,
    progress: progress.map(({ head, proof }) => ({ head: progressOf(head), proof: proofText(proof) })),
    consistency,
    anchors: receipts.map((receipt) => anchorOf(sessionId, receipt)),
  };
}

const sealedLeafBytes = 224;
const leafFileBytesAt = 24 + 4 * 8;

/** The length of chunk file `index`, as its leaf says. */
function fileBytesOf(leaves: Uint8Array, index: number): number {
  const view = new DataView(leaves.buffer, leaves.byteOffset + index * sealedLeafBytes, sealedLeafBytes);
  return Number(view.getBigUint64(leafFileBytesAt));
}

/** A chunk file that was listed is gone. */
export class ChunkFileMissing extends Error {
  override readonly name = 'ChunkFileMissing';
  readonly index: number;

  constructor(index: number) {
    super(`the file of chunk ${index} is missing`);
    this.index = index;
  }
}

/** The evidence in storage as a bundle that is read where it lies: one chunk file in memory at a time. */
export async function storedBundle(input: BundleInput, missing: ReadonlySet<number>): Promise<BundleSource> {
  const small = new Map<string, Uint8Array>();
  for await (const { name, content } of bundleEntries({ ...input, chunk: () => null })) small.set(name, content);
  const indexOf = new Map<string, number>();
  for (let index = 0; index < input.leaves.length / sealedLeafBytes; index++)
    if (!missing.has(index)) indexOf.set(bundleNames.chunk(index), index);
  return {
    list: () => [
      ...[...small].map(([name, { length }]) => ({ name, bytes: length })),
      ...[...indexOf].map(([name, index]) => ({ name, bytes: fileBytesOf(input.leaves, index) })),
    ],
    async read(name, offset, length) {
      const index = indexOf.get(name);
      const bytes = index === undefined ? small.get(name)! : await input.chunk(index);
      if (bytes === null) throw new ChunkFileMissing(index!);
      return bytes.subarray(offset, offset + length);
    },
  };
}
