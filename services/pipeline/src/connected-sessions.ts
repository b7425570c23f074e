/** Sessions with a connection, or about to have one: how many there may be is counted over all pipelines. */
import { AgreedSpace } from './agreed-space.ts';
import type { Leases } from './leases.ts';
import type { Coordination } from './ports.ts';

/** Renewed by who compares the journals with the recorders; by itself none of them ends sooner. */
const lifetimeUs = 86_400_000_000;

interface Entry {
  sessionId: string;
  recorderId: string | null;
  sinceUs: number;
}

export class ConnectedSessions {
  readonly #entries: AgreedSpace<Entry>;
  readonly #leases: Leases;
  readonly #max: number;
  readonly #nowUs: () => number;

  constructor(coordination: Coordination, leases: Leases, max: number, nowUs: () => number) {
    this.#entries = new AgreedSpace(coordination, 'connected', nowUs);
    this.#leases = leases;
    this.#max = max;
    this.#nowUs = nowUs;
  }

  count(): Promise<number> {
    return this.#entries.count();
  }

  async hasRoom(): Promise<boolean> {
    return (await this.count()) < this.#max;
  }

  /**
   * False: there is no room for one more. Under a lease, so that of two that want the last place one has it; counted after it
   * was put there, so that there are never too many, whoever's lease ended meanwhile.
   */
  async add(sessionId: string, recorderId: string): Promise<boolean> {
    return this.#leases.run('capacity', async () => {
      await this.keep(sessionId, recorderId);
      if ((await this.count()) <= this.#max) return true;
      await this.remove(sessionId);
      return false;
    });
  }

  /** It is connected, whether there is room or not. */
  async keep(sessionId: string, recorderId: string | null): Promise<void> {
    const now = this.#nowUs();
    await this.#entries.change(sessionId, (known) =>
      known !== null && now - known.sinceUs < lifetimeUs / 2
        ? null
        : { value: { sessionId, recorderId, sinceUs: now }, untilUs: now + lifetimeUs },
    );
  }

  /** Who holds them. */
  async recorderIds(): Promise<Set<string | null>> {
    return new Set((await this.#entries.list()).map(({ recorderId }) => recorderId));
  }

  /** Those that are counted since before `beforeUs`. */
  async listSince(beforeUs: number): Promise<string[]> {
    const entries = await this.#entries.list();
    return entries.filter(({ sinceUs }) => sinceUs < beforeUs).map(({ sessionId }) => sessionId);
  }

  async remove(sessionId: string): Promise<void> {
    await this.#entries.remove(sessionId);
  }
}
