import type {
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
import { ThreadCalls } from './thread-calls.ts';

/** A thread that reads recordings; started when first asked, and again after it died. */
export class IndexThread {
  readonly #calls: ThreadCalls<IndexRequest, IndexResults[IndexRequestKind]>;
  #runs = 0;

  constructor(platform: string, name = 'lucid-index') {
    this.#calls = new ThreadCalls(new URL('./worker.ts', import.meta.url), name, {
      platform,
    } satisfies IndexThreadData);
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

  dispose(): Promise<void> {
    return this.#calls.dispose();
  }

  #ask<K extends IndexRequestKind>(kind: K, fields: IndexRequests[K]): Promise<IndexResults[K]> {
    return this.#calls.ask({ kind, ...fields } as IndexRequest) as Promise<IndexResults[K]>;
  }
}
