/**
 * Whether files and rows belong together: a slow walk beside everything else, at the start and then every few hours, so that
 * health can say it without one. On its way it brings what is kept beside the chunks (wrapped keys, records) up to the rows.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { readRecordOf } from '@lucid-sessions/evidence';
import type { KeyedQueue } from '@lucid-sessions/kit';
import type { ChunkStore, MetadataStore } from './stores.ts';

export interface CensusReport {
  /** Sessions whose chunks or keys are stored and that have no row, or one that says they were destroyed. */
  orphans: string[];
  /** Sessions with chunk files missing. */
  incomplete: string[];
  /** Both lists are cut at 100 sessions; these are not. */
  orphansCount: number;
  incompleteCount: number;
  /** Sessions that had lost what is kept beside the chunks, or its rows, and have it again. */
  mended: number;
}

export interface CensusOptions {
  metadata: MetadataStore;
  chunks: ChunkStore;
  /** Of one session at a time: what is kept of it changes in its lane only. */
  lanes: KeyedQueue;
  /** Between sessions. */
  pauseMs?: number;
  /** Between walks. */
  everyMs?: number;
  onError?: (where: string, thrown: unknown) => void;
}

const namedMax = 100;
const chainsPage = 100;
const sixHoursMs = 21_600_000;

const nothing = (): CensusReport => ({ orphans: [], incomplete: [], orphansCount: 0, incompleteCount: 0, mended: 0 });

function sameWraps(a: readonly { wrapped: Uint8Array }[], b: readonly { wrapped: Uint8Array }[]): boolean {
  return a.length === b.length && a.every(({ wrapped }, at) => Buffer.compare(wrapped, b[at]!.wrapped) === 0);
}

export class Census {
  readonly #options: CensusOptions;
  readonly #stop = new AbortController();
  #report = nothing();
  #loop: Promise<void> = Promise.resolve();
  /** Being looked at because a chunk was not there when it was read. */
  readonly #suspects = new Set<string>();

  constructor(options: CensusOptions) {
    this.#options = options;
  }

  get report(): CensusReport {
    return this.#report;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async #run(): Promise<void> {
    const { everyMs = sixHoursMs, onError } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.take().catch((thrown: unknown) => onError?.('census', thrown));
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** One walk. Cut short when the service stops. */
  async take(): Promise<CensusReport> {
    const { chunks, metadata } = this.#options;
    const report = nothing();
    for await (const sessionId of chunks.listSessions()) {
      if (await this.#pause()) return this.#report;
      await this.#lookAtFolder(sessionId, report);
    }
    for (let after = ''; ; ) {
      const page = await metadata.listChains(after, chainsPage);
      for (const sessionId of page) {
        if (await this.#pause()) return this.#report;
        if (await this.#isIncomplete(sessionId)) addIncomplete(report, sessionId);
      }
      if (page.length < chainsPage) break;
      after = page.at(-1)!;
    }
    this.#report = report;
    return report;
  }

  /** A chunk that should be there was not: health says so now, not at the next walk. */
  suspect(sessionId: string): void {
    if (this.#suspects.has(sessionId) || this.#suspects.size >= namedMax) return;
    this.#suspects.add(sessionId);
    this.#isIncomplete(sessionId)
      .then((incomplete) => {
        if (incomplete && !this.#report.incomplete.includes(sessionId)) addIncomplete(this.#report, sessionId);
      })
      .catch((thrown: unknown) => this.#options.onError?.('census', thrown))
      .finally(() => this.#suspects.delete(sessionId));
  }

  async dispose(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #pause(): Promise<boolean> {
    const { signal } = this.#stop;
    await delay(this.#options.pauseMs ?? 2, undefined, { signal, ref: false }).catch(() => {});
    return signal.aborted;
  }

  async #lookAtFolder(sessionId: string, report: CensusReport): Promise<void> {
    const session = await this.#options.metadata.getSession(sessionId);
    // A row is made before the first file, and stays: without one the files belong to nobody here.
    if (session?.pipeline_state === 'destroyed' && !(await holdsRecording(this.#options.chunks, sessionId))) {
      // Records and sidecars that came while it was destroyed, or by an earlier version later: their rows have them.
      await this.#options.lanes.run(sessionId, () => this.#options.chunks.purgeSession(sessionId));
      report.mended += 1;
    } else if (session === null || session.pipeline_state === 'destroyed') {
      report.orphansCount += 1;
      if (report.orphans.length < namedMax) report.orphans.push(sessionId);
    } else if (session.status !== 'deleted' && (await this.#keep(sessionId))) report.mended += 1;
  }

  /** True when something was mended. */
  #keep(sessionId: string): Promise<boolean> {
    const { lanes } = this.#options;
    return lanes.run(sessionId, async () => {
      const records = await this.#keepRecords(sessionId);
      return (await this.#keepWraps(sessionId)) || records;
    });
  }

  async #keepRecords(sessionId: string): Promise<boolean> {
    const { chunks, metadata } = this.#options;
    if ((await metadata.recordsCount(sessionId)) <= (await chunks.recordsCount(sessionId))) return false;
    for (const { sequence, record } of await metadata.getRecords(sessionId, null))
      await chunks.putRecord(sessionId, sequence, record);
    return true;
  }

  async #keepWraps(sessionId: string): Promise<boolean> {
    const { chunks, metadata } = this.#options;
    const [rows, files] = await Promise.all([metadata.getWraps(sessionId), chunks.getWraps(sessionId)]);
    if (sameWraps(rows, files)) return false;
    const erased = await this.#areKeysErased(sessionId);
    // Erased, and cut off before the files were: nothing may come back. With rows left the pipeline carries it on.
    if (erased === 'yes' && rows.length === 0) await chunks.putWraps(sessionId, []);
    if (erased !== 'no') return erased === 'yes' && rows.length === 0;
    if (rows.length === 0) await metadata.putWraps(sessionId, files);
    else await chunks.putWraps(sessionId, rows);
    return true;
  }

  async #areKeysErased(sessionId: string): Promise<'yes' | 'no' | 'unknown'> {
    const records = await this.#options.metadata.getRecords(sessionId, 'erase');
    try {
      const erases = records.map(({ record }) => readRecordOf('erase', record).body.erased);
      return erases.some((erased) => erased !== 'chunks') ? 'yes' : 'no';
    } catch {
      return 'unknown';
    }
  }

  async #isIncomplete(sessionId: string): Promise<boolean> {
    const { chunks, metadata } = this.#options;
    const { count } = await metadata.getHead(sessionId);
    // Files come before rows: whatever has a row has a file.
    const listed = new Set(await chunks.listFiles(sessionId));
    for (let index = 0; index < count; index++) {
      // A listing may be old.
      if (listed.has(index) || (await chunks.fileBytes(sessionId, index)) !== null) continue;
      // Purged meanwhile?
      const [session, head] = await Promise.all([metadata.getSession(sessionId), metadata.getHead(sessionId)]);
      return session !== null && session.status !== 'deleted' && head.count > index;
    }
    return false;
  }
}

/** Whether something of the recording itself lies in its folder: chunks, leaves or keys. */
export async function holdsRecording(chunks: ChunkStore, sessionId: string): Promise<boolean> {
  const [files, tail, wraps] = await Promise.all([
    chunks.listFiles(sessionId),
    chunks.leavesTail(sessionId),
    chunks.getWraps(sessionId),
  ]);
  return files.length > 0 || tail.count > 0 || wraps.length > 0;
}

function addIncomplete(report: CensusReport, sessionId: string): void {
  report.incompleteCount += 1;
  if (report.incomplete.length < namedMax) report.incomplete.push(sessionId);
}
