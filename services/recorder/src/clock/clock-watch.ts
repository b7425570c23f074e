/** Compares the recorder's clock with others, before anything is recorded and while it is. */
import { agreementOf, type ClockSample } from './clock-agreement.ts';

export interface ClockSource {
  name: string;
  ask: () => Promise<ClockSample>;
}

export interface ClockCheck {
  /** When it was compared, by the clock itself. */
  atUs: number;
  /** What has to be added to the clock; null: nobody, or no majority, could be asked. */
  offsetUs: number | null;
  errorUs: number | null;
  /** Who says so, or why nobody does, for a person. */
  source: string;
}

export interface ClockWatchOptions {
  sources: readonly ClockSource[];
  everyMs: number;
  /** From here on it is told of. */
  offsetUsMax: number;
  wallUs: () => number;
  onCheck: (check: ClockCheck) => void;
  /** A line for operators, when it becomes another. */
  onProblem: (message: string) => void;
}

const sourceCharsMax = 200;
/** A check that is older than so many rounds says nothing of now. */
const roundsKept = 3;

const milliseconds = (us: number): string => `${(us / 1000).toFixed(3)} ms`;

export class ClockWatch {
  readonly #options: ClockWatchOptions;
  #last: ClockCheck | null = null;
  #agreeing = 0;
  #told: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: ClockWatchOptions) {
    this.#options = options;
  }

  /** Answers when the first round is over. */
  start(): Promise<void> {
    const { everyMs } = this.#options;
    this.#timer = setInterval(() => void this.check(), everyMs);
    this.#timer.unref();
    return this.check();
  }

  stop(): Promise<void> {
    clearInterval(this.#timer);
    return this.#running;
  }

  /** Null: not compared yet, or too long ago. */
  get last(): ClockCheck | null {
    const { wallUs, everyMs } = this.#options;
    const isOld = this.#last !== null && wallUs() - this.#last.atUs > roundsKept * everyMs * 1000;
    return isOld ? null : this.#last;
  }

  /** How many sources agreed last. */
  get agreeing(): number {
    return this.#agreeing;
  }

  /** Null while the clock is right within the bound. */
  get problem(): string | null {
    const check = this.last;
    if (check === null) return 'the clock was not compared with another yet';
    if (check.offsetUs === null) return `the clock is not compared with another: ${check.source}`;
    if (Math.abs(check.offsetUs) <= this.#options.offsetUsMax) return null;
    const words = check.offsetUs > 0 ? 'behind' : 'ahead';
    return `the clock is ${milliseconds(Math.abs(check.offsetUs))} ${words}, by ${check.source}; ${milliseconds(this.#options.offsetUsMax)} are the bound (LUCID_CLOCK_OFFSET_MAX_MS)`;
  }

  /** A round; never throws. */
  check(): Promise<void> {
    this.#running = this.#running.then(() => this.#round());
    return this.#running;
  }

  async #round(): Promise<void> {
    const { sources, wallUs, onCheck, onProblem } = this.#options;
    const answers = await Promise.allSettled(sources.map(({ ask }) => ask()));
    const samples = answers.flatMap((answer, place) =>
      answer.status === 'fulfilled' ? [{ ...answer.value, place }] : [],
    );
    const agreement = agreementOf(samples, sources.length);
    this.#agreeing = agreement?.agreeing.length ?? 0;
    const names = agreement?.agreeing.map((at) => sources[samples[at]!.place]!.name) ?? [];
    this.#last = {
      atUs: wallUs(),
      offsetUs: agreement?.offsetUs ?? null,
      errorUs: agreement?.errorUs ?? null,
      source: (agreement === null ? this.#whyNone(answers) : agreed(names, sources.length)).slice(0, sourceCharsMax),
    };
    onCheck(this.#last);
    const { problem } = this;
    if (problem !== null && problem !== this.#told) onProblem(problem);
    this.#told = problem;
  }

  #whyNone(answers: readonly PromiseSettledResult<ClockSample>[]): string {
    const failures = answers.flatMap((answer, place) =>
      answer.status === 'rejected'
        ? [`${this.#options.sources[place]!.name}: ${(answer.reason as Error).message}`]
        : [],
    );
    return failures.length * 2 >= answers.length ? failures.join('; ') : 'no majority of the sources agrees';
  }
}

const agreed = (names: readonly string[], asked: number): string =>
  `${names.join(', ')}${asked === 1 ? '' : ` (${names.length} of ${asked} agree)`}`;
