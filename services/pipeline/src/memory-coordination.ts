/** `Coordination` of one process: what is in it is over with the process. */
import { agreedText, checkAgreedNames, checkAgreedPage } from '@lucid-sessions/contract';
import type { Agreed, AgreedLease, Coordination } from './ports.ts';

interface Held {
  text: string;
  version: number;
  untilUs: number;
}

export class MemoryCoordination implements Coordination {
  readonly #spaces = new Map<string, Map<string, Held>>();
  readonly #leases = new Map<string, AgreedLease>();
  /** Versions and epochs come from one count, so that neither is ever given twice. */
  #count = 0;

  #held(space: string, key: string, nowUs: number): Held | null {
    const held = this.#spaces.get(space)?.get(key);
    return held !== undefined && held.untilUs > nowUs ? held : null;
  }

  async get(space: string, key: string, nowUs: number): Promise<Agreed | null> {
    checkAgreedNames(space, key);
    const held = this.#held(space, key, nowUs);
    return held === null ? null : agreedOf(key, held);
  }

  async put(
    space: string,
    { key, value, untilUs, expected }: { key: string; value: unknown; untilUs: number; expected: number | null },
    nowUs: number,
  ): Promise<number | null> {
    checkAgreedNames(space, key);
    const text = agreedText(value);
    if ((this.#held(space, key, nowUs)?.version ?? null) !== expected) return null;
    const entries = this.#spaces.get(space) ?? new Map<string, Held>();
    this.#spaces.set(space, entries);
    const version = ++this.#count;
    entries.set(key, { text, version, untilUs });
    return version;
  }

  async remove(space: string, key: string, expected?: number): Promise<boolean> {
    checkAgreedNames(space, key);
    const entries = this.#spaces.get(space);
    const held = entries?.get(key);
    if (held === undefined || (expected !== undefined && held.version !== expected)) return false;
    entries?.delete(key);
    if (entries?.size === 0) this.#spaces.delete(space);
    return true;
  }

  async list(space: string, { after, limit }: { after: string; limit: number }, nowUs: number): Promise<Agreed[]> {
    checkAgreedNames(space);
    checkAgreedPage(limit);
    return [...(this.#spaces.get(space) ?? [])]
      .filter(([key, { untilUs }]) => key > after && untilUs > nowUs)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([key, held]) => agreedOf(key, held));
  }

  async count(space: string, nowUs: number): Promise<number> {
    checkAgreedNames(space);
    let count = 0;
    for (const { untilUs } of this.#spaces.get(space)?.values() ?? []) if (untilUs > nowUs) count += 1;
    return count;
  }

  async acquire(
    name: string,
    owner: string,
    expiresUs: number,
    nowUs: number,
  ): Promise<{ acquired: boolean; lease: AgreedLease }> {
    checkAgreedNames(name, owner);
    const held = this.#owner(name, nowUs);
    if (held !== null && held.owner !== owner) return { acquired: false, lease: held };
    const last = this.#leases.get(name);
    // One that ended and that nobody took goes on.
    const lease = { owner, epoch: last?.owner === owner ? last.epoch : ++this.#count, expiresUs };
    this.#leases.set(name, lease);
    return { acquired: true, lease: { ...lease } };
  }

  #owner(name: string, nowUs: number): AgreedLease | null {
    const lease = this.#leases.get(name);
    return lease !== undefined && lease.expiresUs > nowUs ? { ...lease } : null;
  }

  async owner(name: string, nowUs: number): Promise<AgreedLease | null> {
    checkAgreedNames(name);
    return this.#owner(name, nowUs);
  }

  async release(name: string, owner: string): Promise<void> {
    checkAgreedNames(name, owner);
    if (this.#leases.get(name)?.owner === owner) this.#leases.delete(name);
  }

  async sweep(nowUs: number): Promise<number> {
    let swept = 0;
    for (const [space, entries] of this.#spaces) {
      for (const [key, { untilUs }] of entries) if (untilUs <= nowUs && entries.delete(key)) swept += 1;
      if (entries.size === 0) this.#spaces.delete(space);
    }
    for (const [name, { expiresUs }] of this.#leases) if (expiresUs <= nowUs) this.#leases.delete(name);
    return swept;
  }

  async ping(): Promise<void> {}
  async dispose(): Promise<void> {}
}

const agreedOf = (key: string, { text, version, untilUs }: Held): Agreed => ({
  key,
  value: JSON.parse(text) as unknown,
  version,
  untilUs,
});
