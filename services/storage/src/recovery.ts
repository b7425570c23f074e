/**
 * Reconciles files, leaves.bin and rows at start. leaves.bin is written before the row, so after a crash it may be one
 * leaf ahead; a restored backup of either side may put it further ahead or behind. Each restores the other as far as the
 * chain holds; what doesn't hold is reported and left as it is, for a person to look at.
 */
import { chunkIdOf } from '@lucid-sessions/contract';
import { decodeLeafFields, leafBytes, leafHashOf, noLeafHash, sealedLeafBytes } from './leaf.ts';
import type { ChunkRow, ChunkStore, MetadataStore } from './stores.ts';

export interface RecoveryFinding {
  sessionId: string;
  problem: 'chunk_file_missing' | 'chain_forked' | 'leaf_unreadable';
  index: number;
}

export interface RecoveryReport {
  sessionsChecked: number;
  temporariesRemoved: number;
  rowsRebuilt: number;
  leavesRebuilt: number;
  findings: RecoveryFinding[];
}

export interface RecoveryDeps {
  metadata: MetadataStore;
  chunks: ChunkStore;
  nowUs: () => number;
}

const findingsMax = 1000;
const chainsPage = 500;
const underWay = ['starting', 'recording', 'paused', 'stopped', 'processing'] as const;

function rowOf(deps: RecoveryDeps, sessionId: string, sealedLeaf: Uint8Array): ChunkRow {
  const leaf = decodeLeafFields(sealedLeaf.subarray(0, leafBytes));
  return {
    rebuilt: true,
    sealedLeaf,
    metadata: {
      sessionId,
      chunkId: chunkIdOf(sessionId, leaf.index),
      index: leaf.index,
      leafHash: leaf.leafHash,
      fileSha256: leaf.fileSha256,
      fileBytes: leaf.fileBytes,
      payloadBytes: 0,
      compression: 'none',
      storedAtUs: deps.nowUs(),
      openedUs: leaf.openedUs,
      closedUs: leaf.closedUs,
      framesCount: null,
      updatesCount: null,
      flags: leaf.flags,
      storagePath: deps.chunks.storagePath(sessionId, leaf.index),
      keyId: '',
    },
  };
}

async function rebuildRows(deps: RecoveryDeps, sessionId: string, report: RecoveryReport): Promise<void> {
  const leaves = await deps.chunks.readLeaves(sessionId);
  let head = await deps.metadata.getHead(sessionId);
  const find = (problem: RecoveryFinding['problem']) => {
    report.findings.push({ sessionId, problem, index: head.count });
  };
  for (let at = head.count * sealedLeafBytes; at < leaves.length; at += sealedLeafBytes) {
    let row: ChunkRow;
    try {
      row = rowOf(deps, sessionId, leaves.slice(at, at + sealedLeafBytes));
    } catch {
      return find('leaf_unreadable');
    }
    const { previousLeafHash } = decodeLeafFields(row.sealedLeaf.subarray(0, leafBytes));
    const extendsChain = row.metadata.index === head.count && (head.leafHash ?? noLeafHash) === previousLeafHash;
    if (!extendsChain) return find('chain_forked');
    if ((await deps.chunks.fileBytes(sessionId, head.count)) !== row.metadata.fileBytes)
      return find('chunk_file_missing');
    if (!(await deps.metadata.appendChunk(row, head, null))) return find('chain_forked');
    report.rowsRebuilt += 1;
    head = await deps.metadata.getHead(sessionId);
  }
}

async function rebuildLeaves(deps: RecoveryDeps, sessionId: string, from: number, report: RecoveryReport) {
  const { count } = await deps.metadata.getHead(sessionId);
  for (let index = from; index < count; index++) {
    const row = await deps.metadata.getChunk(sessionId, index);
    if (row === null || (await deps.chunks.fileBytes(sessionId, index)) !== row.metadata.fileBytes) {
      report.findings.push({ sessionId, problem: 'chunk_file_missing', index });
      return;
    }
    await deps.chunks.putLeaf(sessionId, index, row.sealedLeaf);
    report.leavesRebuilt += 1;
  }
}

/** One session's rows and leaves, each as far as the other holds. */
export async function reconcileChain(deps: RecoveryDeps, sessionId: string, report: RecoveryReport): Promise<void> {
  report.sessionsChecked += 1;
  const [head, tail] = await Promise.all([deps.metadata.getHead(sessionId), deps.chunks.leavesTail(sessionId)]);
  // The last leaf both sides have must be the same, else neither may overwrite the other.
  const shared = Math.min(head.count, tail.count);
  if (shared > 0) {
    const row = await deps.metadata.getChunk(sessionId, shared - 1);
    const leaves = tail.count === shared ? null : await deps.chunks.readLeaves(sessionId);
    const sealed = leaves?.subarray((shared - 1) * sealedLeafBytes, shared * sealedLeafBytes) ?? tail.last!;
    if (row?.metadata.leafHash !== leafHashOf(sealed.subarray(0, leafBytes))) {
      report.findings.push({ sessionId, problem: 'chain_forked', index: shared - 1 });
      return;
    }
  }
  if (tail.count > head.count) await rebuildRows(deps, sessionId, report);
  if (tail.count < head.count) await rebuildLeaves(deps, sessionId, tail.count, report);
}

export async function recoverStorage(deps: RecoveryDeps): Promise<RecoveryReport> {
  const report: RecoveryReport = {
    sessionsChecked: 0,
    temporariesRemoved: (await deps.chunks.recover()).temporariesRemoved,
    rowsRebuilt: 0,
    leavesRebuilt: 0,
    findings: [],
  };
  if (deps.chunks.isFar === true) await reconcileUnderWay(deps, report);
  else await reconcileAll(deps, report);
  report.findings.splice(findingsMax);
  return report;
}

/** A chain grows while its session is under way: of the others scrubbing tells. */
async function reconcileUnderWay(deps: RecoveryDeps, report: RecoveryReport): Promise<void> {
  for (const status of underWay)
    for (let offset = 0; ; offset += chainsPage) {
      const { sessions } = await deps.metadata.listSessions({ status, limit: chainsPage, offset });
      for (const { session_id } of sessions) await reconcileChain(deps, session_id, report);
      if (sessions.length < chainsPage) break;
    }
}

async function reconcileAll(deps: RecoveryDeps, report: RecoveryReport): Promise<void> {
  for await (const sessionId of deps.chunks.listSessions()) await reconcileChain(deps, sessionId, report);
  for (let after = ''; ; ) {
    const page = await deps.metadata.listChains(after, chainsPage);
    for (const sessionId of page)
      if ((await deps.chunks.leavesTail(sessionId)).count === 0) await reconcileChain(deps, sessionId, report);
    if (page.length < chainsPage) break;
    after = page.at(-1)!;
  }
}
