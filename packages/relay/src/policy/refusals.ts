/** What a policy refused on one connection: told when it happens first, counted from then on. */

/** Names in it are the peers': so many are told apart. */
const KINDS_MAX = 64;
const NAME_CHARS_MAX = 64;
const others = 'more than can be told apart refused';

export class Refusals {
  readonly #tell: (what: string) => void;
  readonly #counts = new Map<string, number>();

  constructor(tell: (what: string) => void) {
    this.#tell = tell;
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  add(what: string): void {
    const kind = this.#counts.has(what) || this.#counts.size < KINDS_MAX ? what : others;
    const count = this.#counts.get(kind) ?? 0;
    this.#counts.set(kind, count + 1);
    if (count === 0) this.#tell(kind);
  }
}

/** A name of a peer's, as it may stand in a fact. */
export const shown = (name: string): string => name.replace(/[^\x20-\x7e]/g, '?').slice(0, NAME_CHARS_MAX);
