/** Targets as they are kept: entries by id, and a second one for each name, so that no two have the same. */
import { LucidError, type Target, targetNameKey, targetsMax } from '@lucid-sessions/contract';
import { EntrySet, type EntryStorage, type Kept } from './people/entry-set.ts';

export type KeptTarget = Kept<Target>;

interface ClaimedName {
  targetId: string;
  atUs: number;
}

/** Whoever claimed a name has its target stored by then, or never will. */
const claimUs = 60_000_000;
const claimsMax = 3;
const pageSize = 200;

const notThere = (): LucidError => new LucidError('notFound', 'there is no such target');
const changedMeanwhile = (): LucidError =>
  new LucidError('conflict', 'the target was changed by someone else meanwhile: read it again');

export class Targets {
  readonly #set: EntrySet<Target>;
  readonly #names: EntrySet<ClaimedName>;
  readonly #nowUs: () => number;

  constructor({ storage, nowUs }: { storage: EntryStorage; nowUs: () => number }) {
    this.#set = new EntrySet(storage, 'target');
    this.#names = new EntrySet(storage, 'target_name');
    this.#nowUs = nowUs;
  }

  /** Throws `notFound`. */
  async need(id: string): Promise<KeptTarget> {
    const kept = await this.#set.get(id);
    if (kept === null) throw notThere();
    return kept;
  }

  /** Throws `conflict` where name or id are taken, or there are too many. */
  async create(id: string, target: Target): Promise<KeptTarget> {
    let count = 0;
    for await (const _ of this.#names.all()) count += 1;
    if (count >= targetsMax) throw new LucidError('conflict', `an installation has at most ${targetsMax} targets`);
    await this.#claim(target.name, id);
    if (await this.#set.add(id, target)) return { id, owner: null, value: target, version: 1, untilUs: null };
    await this.#release(target.name, id);
    throw new LucidError('conflict', 'a target of this id is there already');
  }

  /** Throws `notFound`, and `conflict` where it is of another version, or the new name is taken. */
  async replace(id: string, version: number, change: (target: Target) => Target): Promise<KeptTarget> {
    const before = await this.need(id);
    if (before.version !== version) throw changedMeanwhile();
    const next = change(before.value);
    const isRenamed = targetNameKey(next.name) !== targetNameKey(before.value.name);
    if (isRenamed) await this.#claim(next.name, id);
    try {
      const changed = await this.#set.change(id, (kept) => {
        if (kept.version !== version) throw changedMeanwhile();
        return { value: next };
      });
      if (changed === null) throw notThere();
      if (isRenamed) await this.#release(before.value.name, id);
      return changed;
    } catch (thrown) {
      if (isRenamed) await this.#release(next.name, id);
      throw thrown;
    }
  }

  /** Answers what it was. Throws `notFound`, and `conflict` where it is of another version. */
  async remove(id: string, version?: number): Promise<KeptTarget> {
    const kept = await this.need(id);
    if (version !== undefined && kept.version !== version) throw changedMeanwhile();
    if (!(await this.#set.remove(id, kept.version))) throw changedMeanwhile();
    await this.#release(kept.value.name, id);
    return kept;
  }

  /** By name, of those behind the key `after`; with the key of each. */
  async *byName(after: string): AsyncGenerator<{ key: string; target: KeptTarget }> {
    for (let from = after; ; ) {
      const page = await this.#names.page(from, pageSize);
      for (const { id: key, value } of page) {
        const target = await this.#holder(key, value);
        if (target !== null) yield { key, target };
      }
      if (page.length < pageSize) return;
      from = page.at(-1)!.id;
    }
  }

  /** The target that has this name; null: none. */
  async named(name: string): Promise<KeptTarget | null> {
    const key = targetNameKey(name);
    const claimed = await this.#names.get(key);
    return claimed === null ? null : this.#holder(key, claimed.value);
  }

  /** A name whose target has another one, or is gone, was left by somebody who died between two writes. */
  async #holder(key: string, { targetId }: ClaimedName): Promise<KeptTarget | null> {
    const target = await this.#set.get(targetId);
    return target !== null && targetNameKey(target.value.name) === key ? target : null;
  }

  async #claim(name: string, targetId: string): Promise<void> {
    const key = targetNameKey(name);
    for (let turn = 0; turn < claimsMax; turn++) {
      const claim = { targetId, atUs: this.#nowUs() };
      if (await this.#names.add(key, claim)) return;
      const taken = await this.#names.get(key);
      if (taken === null) continue;
      const isFresh = this.#nowUs() - taken.value.atUs < claimUs;
      if (isFresh || (await this.#holder(key, taken.value)) !== null) break;
      // Of its version: of two who take it over one has it.
      await this.#names.remove(key, taken.version);
    }
    throw new LucidError('conflict', 'a target of this name is there already');
  }

  async #release(name: string, targetId: string): Promise<void> {
    const key = targetNameKey(name);
    const kept = await this.#names.get(key);
    if (kept?.value.targetId === targetId) await this.#names.remove(key, kept.version);
  }
}
