/** Work of one key runs one after the other, in order; keys run beside each other. Every key's queue is bounded. */
import { LucidError } from '@lucid-sessions/contract';
import { Line } from './line.ts';

/** `S`: what the pieces of work that wait for one key know together. It lives as long as one of them does. */
export class KeyedQueue<S = undefined> {
  readonly #lines = new Map<string, { state: S; line: Line }>();
  readonly #waitingMax: number;
  readonly #newState: () => S;

  constructor(waitingMax: number, ...[newState]: undefined extends S ? [(() => S)?] : [() => S]) {
    this.#waitingMax = waitingMax;
    this.#newState = newState ?? (() => undefined as S);
  }

  /** `begin` runs at once, where the work is taken at all; a queue that is full is `unavailable`. */
  run<T>(key: string, work: (state: S) => Promise<T>, begin?: (state: S) => void): Promise<T> {
    const known = this.#lines.get(key) ?? { state: this.#newState(), line: new Line() };
    const { state, line } = known;
    if (line.waiting >= this.#waitingMax)
      return Promise.reject(
        new LucidError('unavailable', `at most ${this.#waitingMax} calls may wait for one session; ask again later`),
      );
    this.#lines.set(key, known);
    begin?.(state);
    const result = line.run(() => work(state));
    const leave = (): void => {
      if (line.waiting === 0) this.#lines.delete(key);
    };
    result.then(leave, leave);
    return result;
  }

  /** Resolves when what waits now is done. */
  async idle(): Promise<void> {
    await Promise.all([...this.#lines.values()].map(({ line }) => line.idle()));
  }
}
