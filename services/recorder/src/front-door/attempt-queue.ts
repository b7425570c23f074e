/** Attempts on their way to the pipeline: in order, tried again while it is away, and bounded: beyond that they are counted. */
import type { ConnectionAttempt } from '@lucid-sessions/contract';

export interface AttemptQueueOptions {
  attempted: (attempt: ConnectionAttempt) => Promise<void>;
  attemptsMax: number;
  retryMs: number;
  onProblem: (message: string) => void;
}

export class AttemptQueue {
  readonly #options: AttemptQueueOptions;
  readonly #waiting: ConnectionAttempt[] = [];
  #running = false;
  #stopped = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: AttemptQueueOptions) {
    this.#options = options;
  }

  send(attempt: ConnectionAttempt): void {
    const last = this.#waiting.at(-1);
    if (this.#waiting.length < this.#options.attemptsMax || last === undefined) this.#waiting.push(attempt);
    // What it reserved lapses by itself.
    else last.count += attempt.count;
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#waiting[0]; next !== undefined && !this.#stopped; next = this.#waiting[0]) {
      try {
        await this.#options.attempted(next);
        this.#waiting.shift();
      } catch (error) {
        this.#options.onProblem(`a connection that became no session could not be told: ${(error as Error).message}`);
        await this.#pause();
      }
    }
    this.#running = false;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#timer = setTimeout(resolve, this.#options.retryMs);
    });
  }

  /** Gives what waits one more moment, then stops. */
  async dispose(waitMs: number): Promise<void> {
    const until = performance.now() + waitMs;
    while (this.#waiting.length > 0 && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 5));
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}
