/** A recorder's word of itself to the pipeline, every few seconds. */
import type { PipelinePort, RecorderPort, RecorderPresence } from '@lucid-sessions/contract';

/** Three of them may be lost before it counts as gone. */
const everyMs = 3000;
/** Until it is known nobody is led here, and services start beside each other. */
const untilKnownMs = 200;

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
  #timer: NodeJS.Timeout | undefined;
  #said: Promise<void>;
  #problem: string | null = null;
  #isKnown = false;
  #isOver = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#said = this.#tell();
  }

  /** One after the other: a pipeline that hangs is told again when it has answered. */
  async #tell(): Promise<void> {
    let problem: string | null = null;
    try {
      await this.#say();
      this.#isKnown = true;
    } catch (thrown) {
      problem = `the pipeline does not know of it: ${(thrown as Error).message}`;
    }
    // Once, however often it fails for this reason.
    if (problem !== null && problem !== this.#problem) this.#options.onProblem(problem);
    this.#problem = problem;
    if (this.#isOver) return;
    this.#timer = setTimeout(
      () => {
        this.#said = this.#tell();
      },
      this.#isKnown ? everyMs : untilKnownMs,
    );
    this.#timer.unref();
  }

  async #say(): Promise<void> {
    const { pipeline, recorder, recorderId, url } = this.#options;
    const { details, status } = await recorder.health();
    const { replicaKeptBy } = details;
    const presence: RecorderPresence = {
      ...{ recorderId, url },
      sessions: Number(details.sessions ?? 0),
      sessionsMax: Number(details.sessionsMax ?? 0),
      // One that can't record takes no new sessions either.
      draining: details.draining === true || status === 'unhealthy',
      ...(typeof replicaKeptBy === 'string' && replicaKeptBy !== '' ? { copiedTo: replicaKeptBy } : {}),
    };
    await pipeline.recorderHere(presence);
  }

  async dispose(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    await this.#said;
  }
}
