import { Worker } from 'node:worker_threads';
import { LucidError } from '@lucid-sessions/contract';

/** Memory of the thread: one chunk unpacked, its frames, and open files. */
const heapMegabytesMax = 512;

const stopped = (): LucidError => new LucidError('unavailable', 'the index thread was stopped');

/** What a thread says to a call. */
export type ThreadAnswer<R> = { call: number } & ({ result: R } | { error: string });

/** Calls to a thread; it is started when first asked, and again after it died. */
export class ThreadCalls<Request, Result> {
  readonly #entry: URL;
  readonly #name: string;
  readonly #workerData: unknown;
  readonly #waiting = new Map<number, PromiseWithResolvers<Result>>();
  #worker: Worker | null = null;
  #disposed = false;
  #calls = 0;

  constructor(entry: URL, name: string, workerData: unknown = null) {
    this.#entry = entry;
    this.#name = name;
    this.#workerData = workerData;
  }

  /** Calls that are not answered yet. */
  get waiting(): number {
    return this.#waiting.size;
  }

  ask(request: Request): Promise<Result> {
    // A walk that is cut off still closes its run: no new thread for that, it would outlive the program's end.
    if (this.#disposed) return Promise.reject(stopped());
    const worker = this.#worker ?? this.#start();
    const result = Promise.withResolvers<Result>();
    const call = ++this.#calls;
    this.#waiting.set(call, result);
    worker.postMessage({ call, request });
    return result.promise;
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
    this.#fail(stopped());
  }

  #start(): Worker {
    const resourceLimits = { maxOldGenerationSizeMb: heapMegabytesMax };
    const worker = new Worker(this.#entry, { workerData: this.#workerData, resourceLimits, name: this.#name });
    worker.unref();
    worker.on('message', (said: ThreadAnswer<Result>) => {
      const waiting = this.#waiting.get(said.call);
      this.#waiting.delete(said.call);
      if ('result' in said) waiting?.resolve(said.result);
      else waiting?.reject(new LucidError('internal', `the recording could not be read: ${said.error}`));
    });
    const ended = (): void => {
      if (this.#worker !== worker) return;
      this.#worker = null;
      this.#fail(new LucidError('unavailable', 'the index thread ended; ask again'));
    };
    worker.on('error', ended);
    worker.on('exit', ended);
    this.#worker = worker;
    return worker;
  }

  #fail(error: LucidError): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
