/**
 * Runs durable jobs: claims what is due, retries with full jitter (a random wait up to an exponentially growing bound, so
 * that many failed jobs don't come back at the same moment), and says so when the retries are used up.
 */
import { isLucidError } from '@lucid-sessions/contract';
import type { Context } from './context.ts';
import type { ClaimedJob, Job } from './ports.ts';

export type JobOutcome = { done: true } | { againMs: number; payload?: Record<string, unknown> };

export interface JobHandler {
  run(job: Job): Promise<JobOutcome>;
  /** The retries are used up. */
  gaveUp?(job: Job, error: string): Promise<void>;
}

const errorTextMax = 500;
/** Pause before a service that was out of reach is asked again. */
const awayMs = 2_000;

/** Another process that does not answer, or that says it can't now: nothing that this job does wrong. */
const outOfReach = (thrown: unknown): boolean => isLucidError(thrown, 'unavailable');

export function backoffMs(retries: number, limits: { backoffBaseMs: number; backoffMaxMs: number }, random: number) {
  return Math.floor(random * Math.min(limits.backoffMaxMs, limits.backoffBaseMs * 2 ** Math.min(retries, 30)));
}

export class JobRunner {
  readonly #context: Context;
  readonly #handlers: Record<string, JobHandler>;
  #timer: NodeJS.Timeout | undefined;
  #stopped = true;
  #round: Promise<void> | null = null;
  #again = false;
  readonly #running = new Set<Promise<void>>();

  constructor(context: Context, handlers: Record<string, JobHandler>) {
    this.#context = context;
    this.#handlers = handlers;
  }

  start(): void {
    this.#stopped = false;
    this.#context.deps.waker?.listen(() => this.#woken());
    this.kick();
  }

  /** Over when there is room for a job: until then wake-ups are for others. */
  async #woken(): Promise<void> {
    this.kick();
    await this.#round;
    while (!this.#stopped && this.#running.size >= this.#context.limits.jobsAtOnce) await Promise.race(this.#running);
  }

  /** Something may be due. */
  kick(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#round ??= this.#claimAll().finally(() => {
      this.#round = null;
      this.#sleep();
    });
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => this.kick(), this.#again ? 0 : this.#context.limits.jobLookMs);
    // A runner that only waits must not keep the process alive.
    this.#timer.unref();
  }

  async #claimAll(): Promise<void> {
    const { deps, limits } = this.#context;
    this.#again = false;
    try {
      const limit = limits.jobsAtOnce - this.#running.size;
      if (limit <= 0) return;
      const jobs = await deps.queue.claim({ nowUs: deps.nowUs(), leaseUs: limits.jobLeaseMs * 1000, limit });
      for (const job of jobs) {
        const running = this.#run(job).finally(() => {
          this.#running.delete(running);
          this.kick();
        });
        this.#running.add(running);
      }
    } catch (thrown) {
      deps.onError?.('job queue', thrown);
    }
  }

  async #run(job: ClaimedJob): Promise<void> {
    const { deps } = this.#context;
    const handler = this.#handlers[job.kind];
    try {
      if (handler === undefined) return void (await deps.queue.fail(job, `no handler for jobs of kind ${job.kind}`));
      const outcome = await handler.run(job);
      if ('done' in outcome) return void (await deps.queue.done(job));
      await deps.queue.again(job, deps.nowUs() + outcome.againMs * 1000, outcome.payload ?? job.payload);
    } catch (thrown) {
      const facts = { session: job.sessionId };
      deps.onError?.(`job ${job.kind}`, thrown, facts);
      await this.#failed(job, handler, thrown).catch((again: unknown) =>
        deps.onError?.(`job ${job.kind}`, again, facts),
      );
    }
  }

  async #failed(job: ClaimedJob, handler: JobHandler | undefined, thrown: unknown): Promise<void> {
    const error = String((thrown as Error)?.message ?? thrown).slice(0, errorTextMax);
    const { deps, limits } = this.#context;
    // What is out of reach is waited for, however long that takes: the job has not failed, it has not begun.
    if (outOfReach(thrown)) {
      await deps.queue.again(job, deps.nowUs() + awayMs * 1000, job.payload);
      return;
    }
    if (job.retries < job.retriesMax) {
      const waitUs = backoffMs(job.retries, limits, deps.random()) * 1000;
      await deps.queue.retry(job, deps.nowUs() + waitUs, error);
      return;
    }
    // Not ours any more: whoever has it now says what becomes of it.
    if (await deps.queue.fail(job, error)) await handler?.gaveUp?.(job, error);
  }

  /** Waits for jobs under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#round;
    await Promise.all(this.#running);
  }
}
