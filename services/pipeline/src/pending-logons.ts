/** Tries under way, by user: each may turn out to be wrong. */
import { AgreedSpace } from './agreed-space.ts';
import type { Coordination } from './ports.ts';

/** A recorder that died does not tell how a try ended. */
const pendingUsMax = 60_000_000;

type Try = [connectionId: string, atUs: number];

export class PendingLogons {
  /** One value a user: of tries that come at once through several pipelines none is overlooked. */
  readonly #tries: AgreedSpace<Try[]>;
  readonly #nowUs: () => number;

  constructor(coordination: Coordination, nowUs: () => number) {
    this.#tries = new AgreedSpace(coordination, 'logon', nowUs);
    this.#nowUs = nowUs;
  }

  #pending(tries: Try[] | null, without: string): Try[] {
    const since = this.#nowUs() - pendingUsMax;
    return (tries ?? []).filter(([id, atUs]) => atUs >= since && id !== without);
  }

  /** False: `max` others are under way. */
  async add(user: string, connectionId: string, max: number): Promise<boolean> {
    const now = this.#nowUs();
    const tries = await this.#tries.change(user, (known) => {
      const others = this.#pending(known, connectionId);
      if (others.length >= max) return null;
      return { value: [...others, [connectionId, now]], untilUs: now + pendingUsMax };
    });
    return tries?.some(([id, atUs]) => id === connectionId && atUs === now) === true;
  }

  async count(user: string): Promise<number> {
    return this.#pending(await this.#tries.get(user), '').length;
  }

  /** False: it is not under way; its outcome was told already. */
  async has(user: string, connectionId: string): Promise<boolean> {
    return this.#pending(await this.#tries.get(user), '').some(([id]) => id === connectionId);
  }

  async take(user: string, connectionId: string): Promise<void> {
    await this.#tries.change(user, (known) =>
      known?.some(([id]) => id === connectionId)
        ? { value: this.#pending(known, connectionId), untilUs: this.#nowUs() + pendingUsMax }
        : null,
    );
  }
}
