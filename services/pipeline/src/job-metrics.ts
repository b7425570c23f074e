/** Runs of jobs by kind and outcome, in Prometheus' text format. Begins anew with its process. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ForwardMetrics } from './forward.ts';
import type { JobHandler, JobOutcome } from './job-runner.ts';
import type { Job } from './ports.ts';

/** Seconds: a log entry takes milliseconds, a large export minutes. */
const buckets = [0.01, 0.1, 0.5, 1, 5, 30, 300];

export class JobMetrics implements ForwardMetrics {
  readonly registry = new Registry();
  readonly #runs = new Counter({
    name: 'lucid_pipeline_job_runs_total',
    help: 'Runs of jobs: done, again (it waits for something, an anchor to be confirmed say), error (tried again later), gave_up.',
    labelNames: ['kind', 'outcome'],
    registers: [this.registry],
  });
  readonly #seconds = new Histogram({
    name: 'lucid_pipeline_job_seconds',
    help: 'How long runs of jobs took.',
    labelNames: ['kind'],
    buckets,
    registers: [this.registry],
  });

  readonly #sent = new Counter({
    name: 'lucid_events_sent_total',
    help: 'Audit events a SIEM took, those that were sent again among them.',
    labelNames: ['sink'],
    registers: [this.registry],
  });
  readonly #failed = new Counter({
    name: 'lucid_events_failures_total',
    help: 'Times a SIEM could not be reached or took nothing.',
    labelNames: ['sink'],
    registers: [this.registry],
  });
  readonly #waiting = new Gauge({
    name: 'lucid_events_waiting',
    help: 'Audit events that wait for a SIEM, as the pipeline knows that sent last.',
    labelNames: ['sink'],
    registers: [this.registry],
  });

  readonly #renewals = new Counter({
    name: 'lucid_renewals_total',
    help: 'Evidence records that were begun or renewed.',
    registers: [this.registry],
  });
  readonly #renewalFailures = new Counter({
    name: 'lucid_renewal_failures_total',
    help: 'Looks for evidence records to renew that broke off: no timestamp came, or a store was away.',
    registers: [this.registry],
  });

  renewed(): void {
    this.#renewals.inc();
  }

  renewalFailed(): void {
    this.#renewalFailures.inc();
  }

  sent(sink: string, count: number): void {
    this.#sent.inc({ sink }, count);
  }

  failed(sink: string): void {
    this.#failed.inc({ sink });
  }

  waiting(sink: string, count: number): void {
    this.#waiting.set({ sink }, count);
  }

  /** `handlers` with their runs counted. */
  counted(handlers: Readonly<Record<string, JobHandler>>): Record<string, JobHandler> {
    for (const kind of Object.keys(handlers))
      for (const outcome of ['done', 'again', 'error', 'gave_up']) this.#runs.inc({ kind, outcome }, 0);
    return Object.fromEntries(Object.entries(handlers).map(([kind, handler]) => [kind, this.#counted(kind, handler)]));
  }

  #counted(kind: string, handler: JobHandler): JobHandler {
    const run = async (job: Job): Promise<JobOutcome> => {
      const over = this.#seconds.startTimer({ kind });
      try {
        const outcome = await handler.run(job);
        this.#runs.inc({ kind, outcome: 'done' in outcome ? 'done' : 'again' });
        return outcome;
      } catch (thrown) {
        this.#runs.inc({ kind, outcome: 'error' });
        throw thrown;
      } finally {
        over();
      }
    };
    const gaveUp = async (job: Job, error: string): Promise<void> => {
      this.#runs.inc({ kind, outcome: 'gave_up' });
      await handler.gaveUp?.(job, error);
    };
    return { run, gaveUp };
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
