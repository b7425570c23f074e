/** Work of one session runs one after the other; sessions run beside each other. Every lane is bounded. */
import { LucidError } from '@lucid-sessions/contract';

export interface Lane {
  waiting: number;
  /** Bytes of files put but not yet in the chain. */
  pendingBytes: number;
  tail: Promise<unknown>;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #waitingMax: number;

  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /** The lane lives as long as something waits in it. */
  run<T>(key: string, work: (lane: Lane) => Promise<T>, begin?: (lane: Lane) => void): Promise<T> {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { waiting: 0, pendingBytes: 0, tail: Promise.resolve() };
      this.#lanes.set(key, lane);
    }
    const mine = lane;
    if (mine.waiting >= this.#waitingMax)
      throw new LucidError(
        'unavailable',
        `at most ${this.#waitingMax} calls may wait for one session; ask again later`,
      );
    mine.waiting += 1;
    begin?.(mine);
    const result = mine.tail.then(() => work(mine));
    mine.tail = result.then(
      () => this.#leave(key, mine),
      () => this.#leave(key, mine),
    );
    return result;
  }

  #leave(key: string, lane: Lane): void {
    lane.waiting -= 1;
    if (lane.waiting === 0) this.#lanes.delete(key);
  }

  async idle(): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((lane) => lane.tail));
  }
}
