/** Reports on their way to the pipeline: in order per session, tried again until they arrive, never waited for by a relay. */
import { isLucidError, type RecorderReport } from '@lucid-sessions/contract';

export interface ReportQueueOptions {
  report: (report: RecorderReport) => Promise<void>;
  /** All sessions together. Beyond it progress reports are left out: the next one says the same and more. */
  reportsMax: number;
  retryMs: number;
  retryMsMax: number;
  onProblem: (message: string) => void;
}

interface Waiting {
  report: RecorderReport;
  delivered: () => void;
}

export class ReportQueue {
  readonly #options: ReportQueueOptions;
  readonly #sessions = new Map<string, Waiting[]>();
  #count = 0;
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(options: ReportQueueOptions) {
    this.#options = options;
  }

  /** Reports not yet delivered. */
  get length(): number {
    return this.#count;
  }

  /** Resolves when the pipeline has it. Reports that matter are kept however long that takes. */
  send(report: RecorderReport): Promise<void> {
    const queue = this.#sessions.get(report.sessionId);
    if (report.kind === 'progress' && this.#isSuperfluous(queue)) return Promise.resolve();
    return new Promise((delivered) => {
      this.#count += 1;
      if (queue !== undefined) {
        queue.push({ report, delivered });
        return;
      }
      const started = [{ report, delivered }];
      this.#sessions.set(report.sessionId, started);
      void this.#run(report.sessionId, started);
    });
  }

  /** Progress is left out when the queue is full, or when earlier progress of the session still waits. */
  #isSuperfluous(queue: Waiting[] | undefined): boolean {
    return this.#count >= this.#options.reportsMax || queue?.some(({ report }) => report.kind === 'progress') === true;
  }

  async #run(sessionId: string, queue: Waiting[]): Promise<void> {
    for (let attempts = 0; queue[0] !== undefined && !this.#stopped; ) {
      const { report, delivered } = queue[0];
      if (await this.#try(report)) {
        attempts = 0;
        queue.shift();
        this.#count -= 1;
        delivered();
      } else {
        await this.#pause(attempts);
        attempts += 1;
      }
    }
    this.#sessions.delete(sessionId);
  }

  async #try(report: RecorderReport): Promise<boolean> {
    try {
      await this.#options.report(report);
      return true;
    } catch (error) {
      const problem = `report ${report.kind} of session ${report.sessionId}: ${(error as Error).message}`;
      this.#options.onProblem(problem);
      // A session the pipeline no longer has will not come back: keeping its reports would keep its spool for ever.
      return isLucidError(error, 'sessionNotFound');
    }
  }

  #pause(attempts: number): Promise<void> {
    const { retryMs, retryMsMax } = this.#options;
    return new Promise((resolve) => {
      const timer = setTimeout(
        () => {
          this.#timers.delete(timer);
          resolve();
        },
        Math.min(retryMsMax, retryMs * 2 ** Math.min(attempts, 20)),
      );
      this.#timers.add(timer);
    });
  }

  /** Gives what is queued one more moment, then stops. What was not delivered is found again in the spool at the next start. */
  async dispose(waitMs: number): Promise<void> {
    const until = performance.now() + waitMs;
    while (this.#count > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#sessions.clear();
  }
}
