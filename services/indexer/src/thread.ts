import { Worker } from 'node:worker_threads';
import { LucidError } from '@lucid-sessions/contract';
import type {
  IndexAnswer,
  IndexedChunk,
  IndexRequest,
  IndexRequestKind,
  IndexRequests,
  IndexResults,
  LookedChunk,
  TakenPicture,
  WalkedChunk,
} from './messages.ts';
import type { IndexThreadData } from './platform.ts';

/** Memory of the thread: one chunk unpacked, its frames, and open files. */
const heapMegabytesMax = 512;

const stopped = (): LucidError => new LucidError('unavailable', 'the index thread was stopped');

/** A thread that reads recordings; started when first asked, and again after it died. */
export class IndexThread {
  readonly #platform: string;
  readonly #name: string;
  #worker: Worker | null = null;
  #disposed = false;
  #calls = 0;
  #runs = 0;
  readonly #waiting = new Map<number, PromiseWithResolvers<IndexResults[IndexRequestKind]>>();

  constructor(platform: string, name = 'lucid-index') {
    this.#platform = platform;
    this.#name = name;
  }

  open(request: Omit<IndexRequests['open'], 'run'>): Promise<number> {
    return this.#begin((run) => this.#ask('open', { run, ...request }));
  }

  chunk(request: IndexRequests['chunk']): Promise<IndexedChunk> {
    return this.#ask('chunk', request);
  }

  walk(start: Omit<IndexRequests['walk'], 'run'>): Promise<number> {
    return this.#begin((run) => this.#ask('walk', { run, ...start }));
  }

  walkChunk(request: IndexRequests['walkChunk']): Promise<WalkedChunk> {
    return this.#ask('walkChunk', request);
  }

  look(chain: Uint8Array[]): Promise<number> {
    return this.#begin((run) => this.#ask('look', { run, chain }));
  }

  lookChunk(request: IndexRequests['lookChunk']): Promise<LookedChunk> {
    return this.#ask('lookChunk', request);
  }

  takePicture(request: IndexRequests['takePicture']): Promise<TakenPicture> {
    return this.#ask('takePicture', request);
  }

  async hurry(run: number): Promise<void> {
    await this.#ask('hurry', { run }).catch(() => {});
  }

  async close(run: number): Promise<void> {
    await this.#ask('close', { run }).catch(() => {});
  }

  async #begin(ask: (run: number) => Promise<null>): Promise<number> {
    const run = ++this.#runs;
    await ask(run);
    return run;
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    const worker = this.#worker;
    this.#worker = null;
    await worker?.terminate();
    this.#fail(stopped());
  }

  #ask<K extends IndexRequestKind>(kind: K, fields: IndexRequests[K]): Promise<IndexResults[K]> {
    // A walk that is cut off still closes its run: no new thread for that, it would outlive the program's end.
    if (this.#disposed) return Promise.reject(stopped());
    const worker = this.#worker ?? this.#start();
    const result = Promise.withResolvers<IndexResults[IndexRequestKind]>();
    const call = ++this.#calls;
    this.#waiting.set(call, result);
    const request = { kind, ...fields } as IndexRequest;
    worker.postMessage({ call, request });
    return result.promise as Promise<IndexResults[K]>;
  }

  #start(): Worker {
    const resourceLimits = { maxOldGenerationSizeMb: heapMegabytesMax };
    const workerData: IndexThreadData = { platform: this.#platform };
    const options = { workerData, resourceLimits, name: this.#name };
    const worker = new Worker(new URL('./worker.ts', import.meta.url), options);
    worker.unref();
    worker.on('message', (said: IndexAnswer) => {
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
