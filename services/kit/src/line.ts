/** Work that runs one after the other, in order, whatever became of the one before. */
export class Line {
  #waiting = 0;
  #tail: Promise<unknown> = Promise.resolve();

  /** What runs or waits. */
  get waiting(): number {
    return this.#waiting;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const result = this.#tail.then(work);
    const leave = (): void => {
      this.#waiting -= 1;
    };
    this.#tail = result.then(leave, leave);
    return result;
  }

  /** Resolves when what waits now is done. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}
