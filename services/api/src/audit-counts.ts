/**
 * Audit entries of what may come without end: refused tokens, lists that a page asks for again and again. The first of a kind is
 * told at once, those behind it within a minute together, in one entry with their number. An API process that dies loses the
 * number of that minute.
 */
import type { AuditFacts } from './audit.ts';

interface Counted {
  facts: AuditFacts;
  count: number;
}

const everyMs = 60_000;
/** Whoever can't be told apart from others is counted with them. */
const kindsMax = 100;

export class AuditCounts {
  readonly #tell: (facts: AuditFacts) => Promise<void>;
  readonly #counted = new Map<string, Counted>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (facts: AuditFacts) => Promise<void>) {
    this.#tell = tell;
  }

  /** `who`: an address or a user; entries of one kind and one of them are told together. */
  async note(who: string, facts: AuditFacts): Promise<void> {
    const own = `${facts.event} ${who}`;
    const isKnown = this.#counted.has(own);
    const kind = isKnown || this.#counted.size < kindsMax ? own : `${facts.event} others`;
    const known = this.#counted.get(kind);
    if (known !== undefined) {
      Object.assign(known, { facts, count: known.count + 1 });
      return;
    }
    this.#counted.set(kind, { facts, count: 0 });
    this.#timer ??= setTimeout(() => void this.flush(), everyMs).unref();
    await this.#tell({ ...facts, details: { ...facts.details, count: 1 } });
  }

  /** Tells what was counted; who comes again is told at once again. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const counted = [...this.#counted.values()];
    this.#counted.clear();
    for (const { facts, count } of counted)
      if (count > 0) await this.#tell({ ...facts, details: { ...facts.details, count } });
  }
}
