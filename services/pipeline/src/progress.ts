/**
 * Progress in the log: every half minute the heads of all sessions under way, under one root. Any number of pipelines may look: of
 * those that take heads for one span of time one is first, and whoever finds its heads unlogged logs them.
 */
import {
  encodeProgressHead,
  hashLeaf,
  inclusionProof,
  merkleRoot,
  PROGRESS_HEAD_BYTES,
  PROGRESS_MAX,
  progressEntry,
  progressStatement,
  readRecordOf,
  toHex,
} from '@lucid-sessions/evidence';
import { type PipelineDeps, readable } from './context.ts';
import type { ProgressRow } from './ports.ts';

type Deps = Pick<PipelineDeps, 'storage' | 'log' | 'journal' | 'nowUs' | 'onError'>;

const headsAtOnce = 500;
/** Of each batch of sessions under way, how many `open` records are read at once. */
const opensAtOnce = 20;

export class Progress {
  readonly #deps: Deps;
  readonly #everyUs: number;
  /** Hash of the `open` record, by session under way. */
  #opens = new Map<string, string>();
  #doneUs = -1;
  #failed = false;

  constructor(deps: Deps, everyMs: number) {
    this.#deps = deps;
    this.#everyUs = everyMs * 1000;
  }

  /** Never throws. */
  async look(): Promise<void> {
    try {
      if (this.#deps.log.problem?.() == null) await this.#look();
      this.#failed = false;
    } catch (thrown) {
      // Once for a row of failures.
      if (!this.#failed) this.#deps.onError?.('progress', thrown);
      this.#failed = true;
    }
  }

  async #look(): Promise<void> {
    const { journal, log, nowUs } = this.#deps;
    const atUs = nowUs();
    const spanUs = Math.floor(atUs / this.#everyUs) * this.#everyUs;
    if (this.#doneUs < 0) await this.#finishOld(spanUs);
    if (this.#doneUs >= spanUs) return;
    let row = await journal.getProgress(spanUs);
    if (row === null) {
      const heads = await this.#heads();
      if (heads.length === 0) {
        this.#doneUs = spanUs;
        return;
      }
      const own = { spanUs, atUs, heads };
      row = (await journal.putProgress(own)) ? own : await journal.getProgress(spanUs);
    }
    if (row !== null) await log.append(entryOfProgress(row));
    this.#doneUs = spanUs;
  }

  /** Heads that were taken and not logged, because whoever took them died. */
  async #finishOld(spanUs: number): Promise<void> {
    const { journal, log } = this.#deps;
    const [lastUs] = await journal.progressSpans(0, spanUs, 1);
    const last = lastUs === undefined ? null : await journal.getProgress(lastUs);
    if (last !== null) await log.append(entryOfProgress(last));
  }

  async #heads(): Promise<Uint8Array> {
    const { storage, journal } = this.#deps;
    const ids = await journal.listUnfinished();
    await this.#readOpens(ids);
    const known = ids.filter((id) => this.#opens.has(id));
    const parts: Uint8Array[] = [];
    for (let at = 0; at < known.length; at += headsAtOnce) {
      const { heads } = await storage.chainHeads({ sessionIds: known.slice(at, at + headsAtOnce) });
      for (const { sessionId, count, leafHash } of heads)
        parts.push(encodeProgressHead({ openSha256: this.#opens.get(sessionId)!, leavesCount: count, leafHash }));
    }
    return new Uint8Array(Buffer.concat(parts));
  }

  async #readOpens(ids: readonly string[]): Promise<void> {
    this.#opens = new Map(ids.flatMap((id) => (this.#opens.has(id) ? [[id, this.#opens.get(id)!]] : [])));
    const fresh = ids.filter((id) => !this.#opens.has(id));
    for (let at = 0; at < fresh.length; at += opensAtOnce)
      await Promise.all(
        fresh.slice(at, at + opensAtOnce).map(async (sessionId) => {
          const [stored] = (await this.#deps.storage.getRecords({ sessionId, kind: 'open' })).records;
          const open = stored === undefined ? null : readable(() => readRecordOf('open', stored.record));
          if (open !== null) this.#opens.set(sessionId, open.sha256);
        }),
      );
  }
}

function leafHashes({ heads }: ProgressRow): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at + PROGRESS_HEAD_BYTES <= heads.length; at += PROGRESS_HEAD_BYTES)
    hashes.push(hashLeaf(heads.subarray(at, at + PROGRESS_HEAD_BYTES)));
  return hashes;
}

const entryOfProgress = (row: ProgressRow): Uint8Array => {
  const hashes = leafHashes(row);
  const root = toHex(merkleRoot(hashes));
  return progressEntry({ statement: progressStatement({ atUs: row.atUs, count: hashes.length, root }), root });
};

/** A head of one session that is logged. Hashes in hex. */
export interface LoggedProgress {
  logIndex: number;
  atUs: number;
  count: number;
  root: string;
  index: number;
  leavesCount: number;
  leafHash: string | null;
  hashes: string[];
}

/** Spans of a session that are looked through for its last head; more is a session whose storage was away all the time. */
const lastTriesMax = 100;
/** Some four weeks. */
const spansMax = 100_000;

/** The last logged head of a session, and others spread over its time: oldest first. */
export async function progressOf(
  { journal, log }: Pick<Deps, 'journal' | 'log'>,
  openSha256: string,
  { fromUs, untilUs }: { fromUs: number; untilUs: number },
): Promise<LoggedProgress[]> {
  const spans = await journal.progressSpans(fromUs - 60_000_000, untilUs, spansMax);
  const found: LoggedProgress[] = [];
  let last = 0;
  for (; last < Math.min(spans.length, lastTriesMax) && found.length === 0; last += 1) {
    const head = await headIn(journal, log, spans[last]!, openSha256);
    if (head !== null) found.push(head);
  }
  const left = spans.slice(last);
  const others = Math.min(PROGRESS_MAX - 1, left.length);
  for (let at = 0; at < others && found.length > 0; at += 1) {
    const head = await headIn(journal, log, left[Math.floor((at * left.length) / others)]!, openSha256);
    // Nothing came since: it says no more than the one behind it.
    if (head !== null && head.leavesCount !== found.at(-1)!.leavesCount) found.push(head);
  }
  return found.toReversed();
}

async function headIn(
  journal: Deps['journal'],
  log: Deps['log'],
  spanUs: number,
  openSha256: string,
): Promise<LoggedProgress | null> {
  const row = await journal.getProgress(spanUs);
  if (row === null) return null;
  const open = Buffer.from(openSha256, 'hex');
  const { heads, atUs } = row;
  for (let at = 0; at + PROGRESS_HEAD_BYTES <= heads.length; at += PROGRESS_HEAD_BYTES) {
    if (open.compare(heads, at + 8, at + 40) !== 0) continue;
    const logIndex = await log.find(entryOfProgress(row));
    if (logIndex === null) return null;
    const hashes = leafHashes(row);
    const index = at / PROGRESS_HEAD_BYTES;
    const view = new DataView(heads.buffer, heads.byteOffset + at, PROGRESS_HEAD_BYTES);
    const leavesCount = Number(view.getBigUint64(40));
    return {
      logIndex,
      atUs,
      count: hashes.length,
      root: toHex(merkleRoot(hashes)),
      index,
      leavesCount,
      leafHash: leavesCount === 0 ? null : toHex(heads.subarray(at + 48, at + PROGRESS_HEAD_BYTES)),
      hashes: inclusionProof(index, hashes).map(toHex),
    };
  }
  return null;
}
