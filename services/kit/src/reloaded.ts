/** What was made of files that somebody renews while this runs: links may be swapped under them, as Kubernetes does it. */
import { readFileSync, statSync } from 'node:fs';

/** Between two looks at the files. */
const lookMs = 1000;

export class Reloaded<T> {
  readonly #paths: readonly string[];
  readonly #make: (contents: Buffer[]) => T;
  readonly #onProblem: (message: string) => void;
  #value: T;
  #seen: string;
  #lookedMs: number;

  /** Throws what reading and `make` throw; later on that is told to `onProblem`, and the value stays. */
  constructor(paths: readonly string[], make: (contents: Buffer[]) => T, onProblem: (message: string) => void) {
    this.#paths = paths;
    this.#make = make;
    this.#onProblem = onProblem;
    this.#seen = this.#look();
    this.#value = this.#read();
    this.#lookedMs = performance.now();
  }

  get value(): T {
    if (performance.now() - this.#lookedMs >= lookMs) this.#refresh();
    return this.#value;
  }

  #look(): string {
    return this.#paths
      .map((path) => {
        const { ino, size, mtimeMs } = statSync(path);
        return `${ino} ${size} ${mtimeMs}`;
      })
      .join();
  }

  #read(): T {
    return this.#make(this.#paths.map((path) => readFileSync(path)));
  }

  #refresh(): void {
    this.#lookedMs = performance.now();
    try {
      const seen = this.#look();
      if (seen === this.#seen) return;
      this.#value = this.#read();
      // Only now: of files that are half renewed another look makes something.
      this.#seen = seen;
    } catch (error) {
      this.#onProblem(`renewed files are not used yet: ${(error as Error).message}`);
    }
  }
}
