/**
 * Whether every chunk is still what its row's leaf says: the file in the store, the leaf beside it, and the copy where there is one.
 * What is missing or spoiled on one side is put back from the other.
 */
import { LucidError } from '@lucid-sessions/contract';
import { sealedLeafBytes } from './leaf.ts';
import { retainedFrom, sha256Hex } from './put-chunk.ts';
import type { ChunkRow, ChunkStore, MetadataStore, RetainOptions } from './stores.ts';

export type ScrubProblem =
  | 'file_missing'
  | 'file_spoiled'
  | 'leaf_missing'
  | 'leaf_differs'
  | 'copy_missing'
  | 'copy_spoiled';

export interface ScrubFinding {
  sessionId: string;
  index: number;
  problem: ScrubProblem;
  /** Put back from the other side, and read again. */
  repaired: boolean;
}

export interface ScrubReport {
  sessionsChecked: number;
  chunksChecked: number;
  bytesRead: number;
  /** Cut at 1,000; the counts are not. */
  findings: ScrubFinding[];
  findingsCount: number;
  repairedCount: number;
}

export interface ScrubDeps {
  metadata: MetadataStore;
  chunks: ChunkStore;
  /** The second store; null: there is none. */
  copy: ChunkStore | null;
  nowUs: () => number;
}

const findingsMax = 1000;
const chainsPage = 500;

export const emptyScrub = (): ScrubReport => ({
  sessionsChecked: 0,
  chunksChecked: 0,
  bytesRead: 0,
  findings: [],
  findingsCount: 0,
  repairedCount: 0,
});

type Side = { state: 'good'; file: Uint8Array } | { state: 'missing' | 'spoiled' };

async function look(store: ChunkStore, row: ChunkRow, report: ScrubReport): Promise<Side> {
  const { sessionId, index, fileSha256 } = row.metadata;
  const file = await store.readFile(sessionId, index);
  if (file === null) return { state: 'missing' };
  report.bytesRead += file.length;
  return (await sha256Hex(file)) === fileSha256 ? { state: 'good', file } : { state: 'spoiled' };
}

/** In place of whatever is there: a store that knows its objects by what was put into them would take a spoiled one for whole. */
async function putBack(store: ChunkStore, row: ChunkRow, file: Uint8Array, retain: RetainOptions): Promise<void> {
  const { sessionId, index } = row.metadata;
  const { written, version } = await store.putFile(sessionId, index, file, retain);
  if (!written)
    await store.putFile(sessionId, index, file, {
      ...retain,
      replace: true,
      ...(version === undefined ? {} : { version }),
    });
}

export interface ScrubRange {
  signal?: AbortSignal;
  from?: number;
  to?: number;
  /** Waited for behind each chunk. */
  onChunk?: (index: number) => Promise<void>;
}

export class Scrub {
  readonly #deps: ScrubDeps;
  readonly #repair: boolean;
  readonly report = emptyScrub();

  constructor(deps: ScrubDeps, { repair }: { repair: boolean }) {
    this.#deps = deps;
    this.#repair = repair;
  }

  /** Every chain there are rows of; `signal` cuts it short between chunks. */
  async all(signal?: AbortSignal): Promise<ScrubReport> {
    for (let after = ''; ; ) {
      const page = await this.#deps.metadata.listChains(after, chainsPage);
      for (const sessionId of page) await this.session(sessionId, signal === undefined ? {} : { signal });
      if (page.length < chainsPage || signal?.aborted === true) return this.report;
      after = page.at(-1)!;
    }
  }

  /** Its chunks, or those from `from` to before `to`. Throws `LucidError` when there is no such session. */
  async session(
    sessionId: string,
    { signal, from = 0, to = Number.POSITIVE_INFINITY, onChunk }: ScrubRange = {},
  ): Promise<ScrubReport> {
    const { metadata, chunks, copy, nowUs } = this.#deps;
    const session = await metadata.getSession(sessionId);
    if (session === null) throw new LucidError('sessionNotFound', `there is no session ${sessionId}`);
    const { count } = await metadata.getHead(sessionId);
    const leaves = await chunks.readLeaves(sessionId);
    const retain = retainedFrom(session, nowUs());
    const copied = (await copy?.leavesTail(sessionId))?.count ?? 0;
    this.report.sessionsChecked += 1;
    for (let index = from; index < Math.min(count, to) && signal?.aborted !== true; index++) {
      const row = await metadata.getChunk(sessionId, index);
      // Purged meanwhile.
      if (row === null) break;
      const leaf = leaves.subarray(index * sealedLeafBytes, (index + 1) * sealedLeafBytes);
      await this.#chunk(row, leaf, { retain, isCopied: index < copied });
      await onChunk?.(index);
    }
    return this.report;
  }

  async #chunk(
    row: ChunkRow,
    leaf: Uint8Array,
    { retain, isCopied }: { retain: RetainOptions; isCopied: boolean },
  ): Promise<void> {
    const { chunks } = this.#deps;
    // One that was never copied is the copier's matter, not a loss.
    const copy = isCopied ? this.#deps.copy : null;
    this.report.chunksChecked += 1;
    let main = await look(chunks, row, this.report);
    const second = copy === null ? null : await look(copy, row, this.report);
    // What is being destroyed is nobody's loss, and nothing of it is put back.
    if ((main.state !== 'good' || (second !== null && second.state !== 'good')) && !(await this.#isKept(row))) return;
    if (main.state !== 'good') {
      const good = second?.state === 'good' ? second.file : null;
      const repaired = await this.#restore(chunks, row, good, retain);
      this.#found(row, main.state === 'missing' ? 'file_missing' : 'file_spoiled', repaired);
      if (repaired) main = { state: 'good', file: good! };
    }
    if (copy !== null && second !== null && second.state !== 'good') {
      const repaired = await this.#restore(copy, row, main.state === 'good' ? main.file : null, retain);
      this.#found(row, second.state === 'missing' ? 'copy_missing' : 'copy_spoiled', repaired);
    }
    if (Buffer.compare(leaf, row.sealedLeaf) !== 0) {
      // Row and file agree: the leaf beside them is the odd one.
      const mayWrite = this.#repair && main.state === 'good';
      if (mayWrite) await chunks.putLeaf(row.metadata.sessionId, row.metadata.index, row.sealedLeaf, retain);
      this.#found(row, leaf.length === 0 ? 'leaf_missing' : 'leaf_differs', mayWrite);
    }
  }

  async #restore(store: ChunkStore, row: ChunkRow, good: Uint8Array | null, retain: RetainOptions): Promise<boolean> {
    if (!this.#repair || good === null) return false;
    const { sessionId, index } = row.metadata;
    await putBack(store, row, good, retain);
    if (!(await this.#isKept(row))) await store.removeFile(sessionId, index);
    return (await look(store, row, this.report)).state === 'good';
  }

  async #isKept({ metadata: { sessionId, index } }: ChunkRow): Promise<boolean> {
    const { metadata } = this.#deps;
    const state = (await metadata.getSession(sessionId))?.pipeline_state;
    return state !== 'cleanup' && state !== 'destroyed' && (await metadata.getChunk(sessionId, index)) !== null;
  }

  #found(row: ChunkRow, problem: ScrubProblem, repaired: boolean): void {
    const { sessionId, index } = row.metadata;
    this.report.findingsCount += 1;
    if (repaired) this.report.repairedCount += 1;
    if (this.report.findings.length < findingsMax) this.report.findings.push({ sessionId, index, problem, repaired });
  }
}
