/**
 * SQLite in a thread of its own. A commit waits for the disk, and it does so synchronously: in the thread that relays RDP
 * every chunk and every report would hold the users' pictures back by that long.
 */
import { Worker } from 'node:worker_threads';
import { LucidError } from '@lucid-sessions/contract';
import type { JobQueue, JournalStore } from '@lucid-sessions/pipeline';
import type { MetadataStore } from '@lucid-sessions/storage';
import type { SqliteAnswer, SqliteRequest, SqliteStoreKind } from './sqlite-thread-messages.ts';

/** Calls that may wait for the thread; each holds its arguments in memory. */
const callsMax = 10_000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const metadataMethods = {
  insertSession: true,
  getSession: true,
  setRouteToken: true,
  findByToken: true,
  findByCookie: true,
  listSessions: true,
  listStored: true,
  countSessions: true,
  replaceSession: true,
  acquireLease: true,
  releaseLease: true,
  getLease: true,
  getHead: true,
  appendChunk: true,
  completeChunk: true,
  getChunk: true,
  listChunks: true,
  chainTotals: true,
  listChains: true,
  purgeChain: true,
  putRecord: true,
  getRecords: true,
  recordsCount: true,
  putWraps: true,
  getWraps: true,
  putAudit: true,
  knownAudit: true,
  auditHead: true,
  listAuditRows: true,
  countUnchained: true,
  listAudit: true,
  getEntry: true,
  putEntry: true,
  listEntries: true,
  removeEntry: true,
  sweepEntries: true,
  totals: true,
  ping: true,
  dispose: true,
} satisfies Record<keyof MetadataStore, true>;

const queueMethods = {
  enqueue: true,
  claim: true,
  done: true,
  again: true,
  retry: true,
  fail: true,
  listFor: true,
  setPaused: true,
  revive: true,
  removeFor: true,
  list: true,
  put: true,
  takeUp: true,
  countByState: true,
  nextRunUs: true,
  dispose: true,
} satisfies Record<keyof JobQueue, true>;

const journalMethods = {
  get: true,
  put: true,
  list: true,
  listUnfinished: true,
  appendFact: true,
  listFacts: true,
  putReceipt: true,
  listReceipts: true,
  putProgress: true,
  getProgress: true,
  progressSpans: true,
  putSealed: true,
  getSealed: true,
  dropSealed: true,
  listSealed: true,
  putCredential: true,
  findCredential: true,
  credentialOf: true,
  dropCredential: true,
  dispose: true,
} satisfies Record<keyof JournalStore, true>;

export interface SqliteThreadOptions {
  /** Entry of the thread, where the program is a bundle. */
  workerUrl?: URL;
  name?: string;
}

/** Each store behaves as the one of the same name in this thread would; disposing of all of them ends the thread. */
export class SqliteThread {
  readonly #worker: Worker;
  readonly #options: SqliteThreadOptions;
  readonly #waiting = new Map<number, Waiting>();
  #nextCall = 0;
  #openStores = 0;
  #failure: LucidError | null = null;

  constructor(options: SqliteThreadOptions = {}) {
    this.#options = options;
    this.#worker = new Worker(options.workerUrl ?? new URL('./sqlite-thread-worker.ts', import.meta.url), {
      name: options.name ?? 'lucid-sqlite',
    });
    this.#worker.on('message', (answer: SqliteAnswer) => this.#take(answer));
    this.#worker.on('error', (cause) => this.#fail(cause));
    this.#worker.on('exit', () => this.#fail(null));
    // What waits for an answer keeps the process alive by its own timers and sockets.
    this.#worker.unref();
  }

  /**
   * What people read is read by a thread of its own: it does not wait for commits, and sees each that was answered. A database in memory
   * has but one connection.
   */
  async metadata(path: string): Promise<MetadataStore> {
    const store = await this.#open<MetadataStore>('metadata', path, metadataMethods);
    if (path === ':memory:') return store;
    const thread = new SqliteThread({ ...this.#options, name: 'lucid-sqlite-r' });
    const reader = await thread
      .#open<MetadataStore>('metadata', path, metadataMethods)
      .catch(async (thrown: unknown) => {
        await store.dispose();
        throw thrown;
      });
    const { getSession, listSessions, countSessions, listChunks, totals, listAudit } = reader;
    const dispose = async () => {
      await Promise.all([reader.dispose(), store.dispose()]);
    };
    return { ...store, getSession, listSessions, countSessions, listChunks, totals, listAudit, dispose };
  }
  jobQueue(path: string): Promise<JobQueue> {
    return this.#open<JobQueue>('job_queue', path, queueMethods);
  }
  journal(path: string): Promise<JournalStore> {
    return this.#open<JournalStore>('journal', path, journalMethods);
  }

  async #open<T>(kind: SqliteStoreKind, path: string, methods: Record<keyof T & string, true>): Promise<T> {
    this.#openStores += 1;
    const store = await this.#call({ kind: 'open', storeKind: kind, path }).catch(async (thrown: unknown) => {
      await this.#close();
      throw thrown;
    });
    const proxy: Record<string, (...values: unknown[]) => Promise<unknown>> = {};
    for (const method of Object.keys(methods))
      proxy[method] = (...values) => this.#call({ kind: 'call', store: Number(store), method, values });
    const { dispose } = proxy;
    proxy.dispose = async () => {
      await dispose!();
      await this.#close();
    };
    return proxy as T;
  }

  async #close(): Promise<void> {
    this.#openStores -= 1;
    if (this.#openStores === 0) await this.#worker.terminate();
  }

  #call(request: SqliteRequest): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#waiting.size >= callsMax)
      return Promise.reject(new LucidError('unavailable', 'too many calls wait for the database; ask again later'));
    const call = this.#nextCall++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ call, request });
    });
  }

  #take(answer: SqliteAnswer): void {
    const waiting = this.#waiting.get(answer.call);
    this.#waiting.delete(answer.call);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('error' in answer) waiting?.reject(LucidError.fromWire(answer.error));
    else waiting?.resolve(answer.result);
  }

  /** The thread is gone: nobody may wait for it, and nothing may be asked of it. */
  #fail(cause: unknown): void {
    this.#failure ??= new LucidError('storage', 'the database thread has ended; restart the service', { cause });
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}
