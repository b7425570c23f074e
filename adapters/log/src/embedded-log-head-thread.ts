/**
 * A log's head in a thread of its own: a commit waits for the disk synchronously, and the log is kept in the process that
 * relays RDP.
 */
import { Worker } from 'node:worker_threads';
import type { LogHead, LogHeadStore, Witnessed } from './embedded-log-head.ts';
import type { LogHeadAnswer, LogHeadMethod, LogHeadProblem, LogHeadRequest } from './embedded-log-head-worker.ts';
import { LogError } from './log-error.ts';

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Behaves as `SqliteLogHeadStore` would in this thread; closing it ends the thread. */
export class LogHeadThread implements LogHeadStore {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #nextCall = 0;
  #failure: Error | null = null;

  private constructor(workerUrl: URL) {
    this.#worker = new Worker(workerUrl, { name: 'lucid-log-head' });
    this.#worker.on('message', (answer: LogHeadAnswer) => this.#take(answer));
    this.#worker.on('error', (cause) => this.#fail(new Error('the thread of the log failed', { cause })));
    this.#worker.on('exit', () => this.#fail(new Error('the thread of the log has ended; restart the service')));
    // What waits for an answer keeps the process alive.
    this.#worker.unref();
  }

  /** Takes the lock. Throws as `new SqliteLogHeadStore(path)` does. */
  static async open(
    path: string,
    workerUrl: URL = new URL('./embedded-log-head-worker.ts', import.meta.url),
  ): Promise<LogHeadThread> {
    const thread = new LogHeadThread(workerUrl);
    try {
      await thread.#ask({ method: 'open', path });
      return thread;
    } catch (thrown) {
      await thread.#worker.terminate();
      throw thrown;
    }
  }

  load(): Promise<LogHead> {
    return this.#call('load');
  }
  swap(expected: LogHead, next: LogHead, leafHashes: readonly Uint8Array[]): Promise<boolean> {
    return this.#call('swap', expected, next, leafHashes);
  }
  indexOf(leafHash: Uint8Array): Promise<number | null> {
    return this.#call('indexOf', leafHash);
  }
  loadWitnessed(): Promise<Witnessed> {
    return this.#call('loadWitnessed');
  }
  putWitnessed(witnessed: Witnessed): Promise<void> {
    return this.#call('putWitnessed', witnessed);
  }

  /** The lock is free when it resolves. */
  async close(): Promise<void> {
    const closed = this.#call<void>('close');
    this.#failure ??= new LogError('closed', 'the log is closed');
    try {
      await closed;
    } finally {
      await this.#worker.terminate();
    }
  }

  #call<T>(method: LogHeadMethod, ...values: unknown[]): Promise<T> {
    return this.#ask({ method, values }) as Promise<T>;
  }

  #ask(request: LogHeadRequest): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const call = this.#nextCall++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ call, request });
    });
  }

  #take(answer: LogHeadAnswer): void {
    const waiting = this.#waiting.get(answer.call);
    this.#waiting.delete(answer.call);
    if (this.#waiting.size === 0) this.#worker.unref();
    if ('error' in answer) waiting?.reject(errorOf(answer.error));
    else waiting?.resolve(answer.result);
  }

  /** The thread is gone: nobody may wait for it, and nothing may be asked of it. */
  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#failure);
    this.#waiting.clear();
  }
}

const errorOf = (problem: LogHeadProblem): Error =>
  problem.kind === 'log'
    ? new LogError(problem.code, problem.message)
    : Object.assign(new Error(problem.message), { code: problem.code });
