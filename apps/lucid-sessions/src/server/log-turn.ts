/**
 * Who of several pipelines speaks with the witnesses of the log they share: the one that holds the lease `log`. A witness would
 * take a pipeline that is behind for a log that was rolled back.
 */
import type { EmbeddedLog } from '@lucid-sessions/log';
import type { Coordination } from '@lucid-sessions/pipeline';

export interface LogTurnOptions {
  log: EmbeddedLog;
  coordination: Pick<Coordination, 'acquire' | 'release'>;
  /** Of this process alone. */
  owner: string;
  nowUs: () => number;
  onProblem: (where: string, thrown: unknown) => void;
  everyMs?: number;
  leaseMs?: number;
}

export class LogTurn {
  readonly #options: LogTurnOptions;
  readonly #leaseMs: number;
  /** On this process's own clock: one that was stopped past it knows that it was. */
  #mineUntilMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;

  constructor(options: LogTurnOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 15_000;
  }

  get isMine(): boolean {
    return performance.now() < this.#mineUntilMs;
  }

  /** What witnesses are told of. */
  get heard(): Pick<EmbeddedLog, 'checkpoint' | 'witnessed' | 'proveConsistency' | 'attachCosignatures'> {
    const { log } = this.#options;
    const turn = this;
    return {
      get checkpoint() {
        return turn.isMine ? log.checkpoint : null;
      },
      get witnessed() {
        return log.witnessed;
      },
      proveConsistency: (first, second) => log.proveConsistency(first, second),
      attachCosignatures: (...said) => log.attachCosignatures(...said),
    };
  }

  start(): void {
    const look = (): void => {
      this.#looking ??= this.look()
        .catch((thrown: unknown) => this.#options.onProblem('the turn of the log', thrown))
        .finally(() => {
          this.#looking = null;
        });
    };
    look();
    this.#timer = setInterval(look, this.#options.everyMs ?? 2000);
    this.#timer.unref();
  }

  /** Takes or keeps the turn where nobody else has it, with all that others have logged until now. */
  async look(): Promise<void> {
    const { log, coordination, owner, nowUs } = this.#options;
    const askedMs = performance.now();
    const atUs = nowUs();
    const { acquired } = await coordination.acquire('log', owner, atUs + this.#leaseMs * 1000, atUs);
    if (!acquired) {
      this.#mineUntilMs = 0;
      return;
    }
    await log.refresh();
    this.#mineUntilMs = askedMs + this.#leaseMs;
  }

  async dispose(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looking;
    const had = this.#mineUntilMs > 0;
    this.#mineUntilMs = 0;
    if (had) await this.#options.coordination.release('log', this.#options.owner);
  }
}
