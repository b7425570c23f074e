/** A recorder's word of itself to the pipeline, every few seconds. */
import type { PipelinePort, RecorderPort, RecorderPresence } from '@lucid-sessions/contract';

/** Three of them may be lost before it counts as gone. */
const everyMs = 3000;
/** Until it is known at all nobody is led to it: services start beside each other. */
const firstMs = 200;

export interface PresenceOptions {
  pipeline: Pick<PipelinePort, 'recorderHere'>;
  recorder: Pick<RecorderPort, 'health'>;
  recorderId: string;
  /** Where the other services reach its internal door. */
  url: string;
  onProblem: (message: string) => void;
}

export class Presence {
  readonly #options: PresenceOptions;
  #timer: NodeJS.Timeout;
  #said: Promise<void> | null = null;
  #problem: string | null = null;
  #isKnown = false;
  #isOver = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tell(), firstMs);
    this.#timer.unref();
    this.#tell();
  }

  #tell(): void {
    // A pipeline that hangs is told again when it has answered.
    this.#said ??= this.#say()
      .then(
        () => this.#known(),
        (thrown: unknown) => this.#tellProblem(`the pipeline does not know of it: ${(thrown as Error).message}`),
      )
      .finally(() => {
        this.#said = null;
      });
  }

  #known(): void {
    this.#tellProblem(null);
    if (this.#isKnown || this.#isOver) return;
    this.#isKnown = true;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tell(), everyMs);
    this.#timer.unref();
  }

  async #say(): Promise<void> {
    const { pipeline, recorder, recorderId, url } = this.#options;
    const { details, status } = await recorder.health();
    const presence: RecorderPresence = {
      ...{ recorderId, url },
      sessions: Number(details.sessions ?? 0),
      sessionsMax: Number(details.sessionsMax ?? 0),
      // One that can't record takes no new sessions either.
      draining: details.draining === true || status === 'unhealthy',
    };
    await pipeline.recorderHere(presence);
  }

  /** Once, however often it fails for this reason. */
  #tellProblem(problem: string | null): void {
    if (problem !== null && problem !== this.#problem) this.#options.onProblem(problem);
    this.#problem = problem;
  }

  async dispose(): Promise<void> {
    this.#isOver = true;
    clearInterval(this.#timer);
    await this.#said;
  }
}
