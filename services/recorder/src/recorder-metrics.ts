/** What the recorder counts of sessions, in Prometheus' text format. Begins anew with its process. */
import { endReasons, type RecorderReport } from '@lucid-sessions/contract';
import { Counter, Registry } from 'prom-client';

export class RecorderMetrics {
  readonly #registry = new Registry();
  readonly #relayedNow: () => number;
  #relayedBefore = 0;
  readonly #started = new Counter({
    name: 'lucid_recorder_sessions_started_total',
    help: 'Sessions that began to be recorded.',
    registers: [this.#registry],
  });
  readonly #lost = new Counter({
    name: 'lucid_recorder_clients_lost_total',
    help: 'Connections of running sessions that broke without goodbye.',
    registers: [this.#registry],
  });
  readonly #ended = new Counter({
    name: 'lucid_recorder_sessions_ended_total',
    help: 'Sessions that ended, by reason.',
    labelNames: ['reason'],
    registers: [this.#registry],
  });
  readonly #relayed = new Counter({
    name: 'lucid_recorder_relayed_bytes_total',
    help: 'Bytes relayed and recorded, both directions.',
    registers: [this.#registry],
  });

  /** `relayedNow`: bytes of the sessions that are under way. */
  constructor(relayedNow: () => number) {
    this.#relayedNow = relayedNow;
    for (const reason of endReasons) this.#ended.inc({ reason }, 0);
  }

  note(report: RecorderReport): void {
    if (report.kind === 'started') this.#started.inc();
    if (report.kind === 'lost') this.#lost.inc();
    if (report.kind === 'ended') this.#ended.inc({ reason: report.reason });
  }

  /** A session is under way no more. */
  gone(relayedBytes: number): void {
    this.#relayedBefore += relayedBytes;
  }

  text(): Promise<string> {
    this.#relayed.reset();
    this.#relayed.inc(this.#relayedBefore + this.#relayedNow());
    return this.#registry.metrics();
  }
}
