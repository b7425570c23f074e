import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { FileDigest } from '@lucid-sessions/evidence';
import type { HashAnswer, HashRequest } from './file-hasher-worker.ts';

interface Waiting {
  resolve(digest: FileDigest): void;
  reject(error: unknown): void;
}

interface Thread {
  worker: Worker;
  waiting: Map<number, Waiting>;
}

const threadsMax = 4;

/**
 * Hashes files in threads of its own: a verification needs of a sealed chunk its hash and its header, not its bytes. Memory
 * is one small buffer per thread, whatever the files' size. Threads start with the first file.
 */
export class FileHasher {
  readonly #threads: Thread[] = [];
  readonly #threadsMax: number;
  #nextCall = 0;

  constructor(threads: number = availableParallelism()) {
    this.#threadsMax = Math.max(1, Math.min(threads, threadsMax));
  }

  /** SHA-256 of `length` bytes of a file from `offset`, and the first `headBytes` of them. */
  digest(path: string, offset: number, length: number, headBytes: number): Promise<FileDigest> {
    const thread = this.#leastBusy();
    const call = this.#nextCall++;
    return new Promise((resolve, reject) => {
      thread.waiting.set(call, { resolve, reject });
      thread.worker.ref();
      thread.worker.postMessage({ call, path, offset, length, headBytes } satisfies HashRequest);
    });
  }

  #leastBusy(): Thread {
    const idle = this.#threads.find(({ waiting }) => waiting.size === 0);
    if (idle !== undefined) return idle;
    if (this.#threads.length < this.#threadsMax) return this.#start();
    return this.#threads.reduce((best, thread) => (thread.waiting.size < best.waiting.size ? thread : best));
  }

  #start(): Thread {
    const thread: Thread = {
      worker: new Worker(new URL('./file-hasher-worker.ts', import.meta.url), { name: 'lucid-hasher' }),
      waiting: new Map(),
    };
    const fail = (error: unknown): void => {
      const at = this.#threads.indexOf(thread);
      if (at >= 0) this.#threads.splice(at, 1);
      for (const { reject } of thread.waiting.values()) reject(error);
      thread.waiting.clear();
    };
    thread.worker.on('message', (answer: HashAnswer) => {
      const waiting = thread.waiting.get(answer.call);
      thread.waiting.delete(answer.call);
      if (thread.waiting.size === 0) thread.worker.unref();
      if ('error' in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer);
    });
    thread.worker.once('error', fail);
    thread.worker.once('exit', () => fail(new Error('the hashing thread has ended')));
    thread.worker.unref();
    this.#threads.push(thread);
    return thread;
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }
}
