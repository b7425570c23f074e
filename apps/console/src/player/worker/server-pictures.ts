import { ApiError } from '../../api/client.ts';

/** Between two requests, whatever is asked for: dragging the slider must not use up what the API allows. */
const paceMs = 250;

export interface ServerPicturesHooks<Picture> {
  /** The picture of a moment. Throws `ApiError`. */
  fetch(timeUs: number): Promise<Picture>;
  onPicture(timeUs: number, picture: Picture): void;
  /** Why there is none; null when there is one again. */
  onProblem(text: string | null): void;
  /** Now, in ms; the caller's clock. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

/** `passed`: another moment was asked for meanwhile. */
export type Asked = 'shown' | 'passed' | 'failed';

interface Wish {
  readonly timeUs: number;
  readonly asked: PromiseWithResolvers<Asked>;
}

/** Pictures the server draws for a browser that can't: one on its way at a time, then the moment asked for last. */
export class ServerPictures<Picture> {
  readonly #hooks: ServerPicturesHooks<Picture>;
  #wish: Wish | null = null;
  #running = false;
  #startedMs = Number.NEGATIVE_INFINITY;
  /** Moment of the picture that was shown last. */
  #shownUs: number | null = null;
  #closed = false;

  constructor(hooks: ServerPicturesHooks<Picture>) {
    this.#hooks = hooks;
  }

  /** Nothing is on its way. */
  get isIdle(): boolean {
    return !this.#running;
  }

  at(timeUs: number): Promise<Asked> {
    if (this.#closed) return Promise.resolve('passed');
    if (this.#shownUs === timeUs && !this.#running) return Promise.resolve('shown');
    this.#wish?.asked.resolve('passed');
    const wish = { timeUs, asked: Promise.withResolvers<Asked>() };
    this.#wish = wish;
    if (!this.#running) void this.#run();
    return wish.asked.promise;
  }

  close(): void {
    this.#closed = true;
    this.#wish?.asked.resolve('passed');
    this.#wish = null;
  }

  async #run(): Promise<void> {
    const { now, sleep } = this.#hooks;
    this.#running = true;
    while (this.#wish !== null) {
      await sleep(Math.max(0, this.#startedMs + paceMs - now()));
      const wish: Wish | null = this.#wish;
      if (wish === null) break;
      this.#wish = null;
      this.#startedMs = now();
      const retryMs = await this.#fetch(wish);
      if (retryMs === null) continue;
      await sleep(retryMs);
      if (this.#wish === null && !this.#closed) this.#wish = wish;
      else wish.asked.resolve('passed');
    }
    this.#running = false;
  }

  /** In how many milliseconds to ask again; null where that is done with. */
  async #fetch({ timeUs, asked }: Wish): Promise<number | null> {
    try {
      const picture = await this.#hooks.fetch(timeUs);
      // Of a moment nobody looks at any more.
      if (this.#wish !== null || this.#closed) {
        asked.resolve('passed');
        return null;
      }
      this.#shownUs = timeUs;
      this.#hooks.onProblem(null);
      this.#hooks.onPicture(timeUs, picture);
      asked.resolve('shown');
      return null;
    } catch (error) {
      this.#shownUs = null;
      this.#hooks.onProblem(error instanceof Error ? error.message : 'it gave no reason');
      const retrySeconds = retryOf(error);
      if (retrySeconds === null) asked.resolve('failed');
      return retrySeconds === null ? null : retrySeconds * 1000;
    }
  }
}

function retryOf(error: unknown): number | null {
  if (!(error instanceof ApiError)) return null;
  const { retry_after_seconds: seconds } = (error.details ?? {}) as { retry_after_seconds?: unknown };
  return typeof seconds === 'number' && seconds > 0 && seconds <= 60 ? seconds : null;
}
