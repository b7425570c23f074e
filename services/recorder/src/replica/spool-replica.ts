/** The recorder's side of the thread that copies its spool: how far that is, and what an operator hears of it. */
import { Worker } from 'node:worker_threads';
import type { ReplicaState, ReplicaThreadData } from './replica-thread.ts';

/** Longer than this and an operator hears of it. */
export const behindMsMax = 250;
/** So long a slow moment may last before it is a problem. */
const lateMs = 2000;
const stopMs = 1000;
/** Of different troubles told one behind the other. */
const saidMax = 20;

export class SpoolReplica {
  readonly #worker: Worker;
  readonly #onProblem: (message: string) => void;
  readonly #holdMs: number;
  readonly #exited: Promise<void>;
  #state: ReplicaState;
  #toldMs = performance.now();
  #failure: string | null = null;
  /** Since it was well; few, since each is one of the ways a copy fails. */
  readonly #said = new Set<string>();

  /** `holdMs`: see `holdsBack`; 0: never. */
  constructor(data: ReplicaThreadData, onProblem: (message: string) => void, holdMs = 0) {
    this.#onProblem = onProblem;
    this.#state = { behindMs: 0, url: data.urls[0] ?? '', keptBy: null, problem: null };
    this.#holdMs = holdMs;
    this.#worker = new Worker(new URL('./replica-thread.ts', import.meta.url), {
      workerData: data,
      name: 'lucid-replica',
    });
    this.#worker.on('message', (state: ReplicaState) => {
      const { url } = this.#state;
      this.#state = state;
      if (state.url !== url) this.#onProblem(`${url} keeps no copy of the spool now: ${state.url} is asked to`);
      this.#toldMs = performance.now();
      this.#say();
    });
    this.#worker.on('error', (error: Error) => {
      this.#failure = `the thread that copies the spool has died: ${error.message}`;
      this.#say();
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
  }

  /** How long ago everything in the spool was durable at the replica, too; ms. */
  get behindMs(): number {
    return Math.round(this.#state.behindMs + performance.now() - this.#toldMs);
  }

  /** The recorder that has a whole copy of the spool; null: none, or it does not say who it is. */
  get keptBy(): string | null {
    return this.#state.keptBy;
  }

  /** Whether sessions wait for it: it is reached, and further behind than it may be. A request that is not answered fails after seconds. */
  get holdsBack(): boolean {
    const isReached = this.#failure === null && this.#state.problem === null;
    return this.#holdMs > 0 && isReached && this.behindMs > this.#holdMs;
  }

  /** Null: it has everything but the last moments. */
  get problem(): string | null {
    if (this.#failure !== null) return this.#failure;
    const { problem } = this.#state;
    if (problem !== null) return `the spool has no replica now: ${problem}`;
    return this.behindMs > lateMs ? `the spool's replica is ${Math.round(this.behindMs / 1000)} s behind` : null;
  }

  /** Each trouble once, until it is well again: that a copy was taken over is told also behind its being late. */
  #say(): void {
    const { problem } = this;
    if (problem === null) {
      if (this.#said.size > 0) this.#onProblem('the spool has its replica again');
      this.#said.clear();
      return;
    }
    const kind = this.#failure ?? this.#state.problem ?? 'late';
    if (this.#said.has(kind) || this.#said.size >= saidMax) return;
    this.#said.add(kind);
    this.#onProblem(`${problem}; recording goes on`);
  }

  async stop(): Promise<void> {
    this.#worker.postMessage('stop');
    const late = setTimeout(() => void this.#worker.terminate(), stopMs);
    await this.#exited;
    clearTimeout(late);
  }
}
