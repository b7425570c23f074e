/**
 * Copies chunks, leaves and records of sessions that want it (`backup_enabled`, `archive_enabled`) to a second store, behind the line.
 * What is copied stands in the copy itself: its leaves, put after their files. So nothing is forgotten by a crash, and whoever
 * walks next goes on. Wrapped keys are never copied: shredding them in one place is enough.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SessionDocument } from '@lucid-sessions/contract';
import { KeyedQueue } from '@lucid-sessions/kit';
import { retainedFrom, sha256Hex } from './put-chunk.ts';
import type { ChunkStore, MetadataStore } from './stores.ts';

export interface CopiesOptions {
  metadata: MetadataStore;
  chunks: ChunkStore;
  copy: ChunkStore;
  /** Every session, or those that want it. */
  which: 'all' | 'asked';
  nowUs: () => number;
  onError?: (where: string, thrown: unknown) => void;
  /** Between looks at sessions that have new chunks. */
  everyMs?: number;
  /** Between walks over all sessions. */
  walkEveryMs?: number;
}

export interface CopiesState {
  /** Chunks of sessions looked at that are stored and not copied yet. */
  waitingChunks: number;
  /** Since this process started. */
  copiedChunks: number;
  /** Null while all goes well. */
  problem: string | null;
}

const chainsPage = 500;
const sixHoursMs = 21_600_000;
const sessionsKnownMax = 100_000;
const sessionsAtOnce = 4;
const waitingMax = 16;

export class Copies {
  readonly #options: CopiesOptions;
  readonly #stop = new AbortController();
  /** To be looked at: chunks came since, or copying them failed. */
  readonly #marked = new Set<string>();
  /** Sessions with chunks that were not copied when they were looked at last, and how many. */
  readonly #waiting = new Map<string, number>();
  /** Chunks of a session that are known to be copied: a walk asks the copy no more than it must. */
  readonly #known = new Map<string, number>();
  /** Being purged. */
  readonly #unwanted = new Set<string>();
  /** A session is copied, or purged. */
  readonly #lanes = new KeyedQueue(waitingMax);
  #copiedChunks = 0;
  #problem: string | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor(options: CopiesOptions) {
    this.#options = options;
  }

  get state(): CopiesState {
    const waitingChunks = [...this.#waiting.values()].reduce((sum, count) => sum + count, 0);
    return { waitingChunks, copiedChunks: this.#copiedChunks, problem: this.#problem };
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Something beside its chunks was stored. */
  touched(sessionId: string): void {
    if (this.#marked.size < sessionsKnownMax) this.#marked.add(sessionId);
  }

  /** A chunk was stored: its session is looked at soon. Forgotten by a crash, and found by the walk. */
  stored(sessionId: string): void {
    if (this.#marked.size >= sessionsKnownMax) return;
    this.#marked.add(sessionId);
    this.#waiting.set(sessionId, (this.#waiting.get(sessionId) ?? 0) + 1);
  }

  #forget(sessionId: string): void {
    this.#marked.delete(sessionId);
    this.#waiting.delete(sessionId);
    this.#known.delete(sessionId);
  }

  /** Breaks off what is being copied of the session. */
  async purge(sessionId: string, known: { chunksCount: number }): Promise<void> {
    this.#unwanted.add(sessionId);
    try {
      await this.#lanes.run(sessionId, () => this.#options.copy.purgeSession(sessionId, known));
    } finally {
      this.#unwanted.delete(sessionId);
      this.#forget(sessionId);
    }
  }

  async #run(): Promise<void> {
    const { everyMs = 1000, walkEveryMs = sixHoursMs } = this.#options;
    const { signal } = this.#stop;
    let walkedMs = Number.NEGATIVE_INFINITY;
    while (!signal.aborted) {
      const isTime = performance.now() - walkedMs >= walkEveryMs;
      if (isTime) walkedMs = performance.now();
      await (isTime ? this.walk() : this.#takeAll([...this.#marked])).catch((thrown) => this.#fail(thrown));
      await delay(everyMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  #fail(thrown: unknown): void {
    this.#problem = `chunks can not be copied: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    this.#options.onError?.('copies', thrown);
  }

  /** What fails of one session keeps no other from being copied, and is tried again. */
  async #takeAll(sessionIds: readonly string[]): Promise<void> {
    const failures: unknown[] = [];
    const take = (sessionId: string): Promise<void> =>
      this.#take(sessionId).catch((thrown: unknown) => {
        this.#marked.add(sessionId);
        failures.push(thrown);
      });
    for (let at = 0; at < sessionIds.length; at += sessionsAtOnce)
      await Promise.all(sessionIds.slice(at, at + sessionsAtOnce).map(take));
    if (failures.length === 0) this.#problem = null;
    else this.#fail(failures[0]);
  }

  /** All sessions there are rows of, and what the copy has of sessions that were destroyed. */
  async walk(): Promise<CopiesState> {
    const { metadata, copy } = this.#options;
    for (let after = ''; ; ) {
      const page = await metadata.listChains(after, chainsPage);
      await this.#takeAll(page);
      if (page.length < chainsPage) break;
      after = page.at(-1)!;
    }
    for await (const sessionId of copy.listSessions()) {
      if (this.#stop.signal.aborted) break;
      await this.#lanes.run(sessionId, async () => {
        // Copied by a process that did not know of the purge.
        if ((await metadata.getSession(sessionId))?.pipeline_state === 'destroyed') await copy.purgeSession(sessionId);
      });
    }
    return this.state;
  }

  async #take(sessionId: string): Promise<void> {
    if (this.#stop.signal.aborted) return;
    await this.#lanes.run(sessionId, async () => {
      // Before its head is read: a chunk that comes meanwhile marks it again.
      this.#marked.delete(sessionId);
      const session = await this.#options.metadata.getSession(sessionId);
      if (session === null || !this.#isWanted(session)) return this.#forget(sessionId);
      await this.#copySession(session);
    });
  }

  #isWanted({ pipeline_state: state, storage_config: wish }: SessionDocument): boolean {
    if (state === 'destroyed' || state === 'cleanup') return false;
    return this.#options.which === 'all' || wish.backup_enabled || wish.archive_enabled;
  }

  async #copySession(session: SessionDocument): Promise<void> {
    const { metadata, chunks, copy, nowUs } = this.#options;
    const { session_id: sessionId } = session;
    const { count } = await metadata.getHead(sessionId);
    const known = this.#known.get(sessionId) ?? (await copy.leavesTail(sessionId)).count;
    const retain = retainedFrom(session, nowUs());
    for (let index = known; index < count; index++) {
      this.#waiting.set(sessionId, count - index);
      if (this.#stop.signal.aborted || this.#unwanted.has(sessionId)) return;
      const row = await metadata.getChunk(sessionId, index);
      const file = row === null ? null : await chunks.readFile(sessionId, index);
      // A spoiled or missing one is for scrubbing to tell; a copy of it would be one more.
      if (row === null || file === null || (await sha256Hex(file)) !== row.metadata.fileSha256)
        throw new Error(`chunk ${index} of session ${sessionId} is missing or spoiled: run lucid-sessions scrub`);
      const put = await copy.putFile(sessionId, index, file, retain);
      // Of a copying that was cut off.
      if (!put.written) await copy.putFile(sessionId, index, file, { ...retain, replace: true });
      await copy.putLeaf(sessionId, index, row.sealedLeaf, retain);
      this.#copiedChunks += 1;
      this.#learn(sessionId, index + 1);
    }
    if ((await copy.recordsCount(sessionId)) < (await metadata.recordsCount(sessionId)))
      for (const { sequence, record } of await metadata.getRecords(sessionId, null))
        await copy.putRecord(sessionId, sequence, record, retain);
    if (!this.#marked.has(sessionId)) this.#waiting.delete(sessionId);
    this.#learn(sessionId, count);
  }

  #learn(sessionId: string, count: number): void {
    if (this.#known.size >= sessionsKnownMax) this.#known.clear();
    this.#known.set(sessionId, count);
  }

  async dispose(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }
}
