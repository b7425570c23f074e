/** How long chunks took from closing to durable, counted as Prometheus counts: each bound holds all that are not above it. */
export class Histogram {
  readonly bounds: readonly number[] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
  readonly #counts: number[] = this.bounds.map(() => 0);
  #sum = 0;
  #count = 0;

  observe(seconds: number): void {
    const value = Math.max(0, seconds);
    this.bounds.forEach((bound, at) => {
      if (value <= bound) this.#counts[at]! += 1;
    });
    this.#sum += value;
    this.#count += 1;
  }

  snapshot(): { bounds: number[]; counts: number[]; sum: number; count: number } {
    return { bounds: [...this.bounds], counts: [...this.#counts], sum: this.#sum, count: this.#count };
  }
}
