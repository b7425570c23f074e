/**
 * Failed sign-ins. Two counts: one for an account from an address, one for an account from everywhere. Many failures from an address
 * stop this address; many from everywhere stop browsers the account does not know, so that guessing from a thousand addresses ends,
 * and whoever signed in here before, or has a passkey or a link, still gets in: nobody can be locked out by strangers.
 */
import { createHash } from 'node:crypto';
import { LucidError } from '@lucid-sessions/contract';
import { EntrySet, type EntryStorage } from './entry-set.ts';

interface Count {
  count: number;
}

const fromOneAddressMax = 8;
const fromEverywhereMax = 50;
const windowUs = 15 * 60_000_000;
/** Names that are no accounts are counted in memory: strangers must not fill the database with them. */
const unknownNamesMax = 10_000;

const idOf = (...parts: string[]): string => createHash('sha256').update(parts.join('\0')).digest('hex');

export class Tries {
  readonly #counts: EntrySet<Count>;
  readonly #nowUs: () => number;
  readonly #unknown = new Map<string, { count: number; untilUs: number }>();

  constructor(storage: EntryStorage, nowUs: () => number) {
    this.#counts = new EntrySet(storage, 'tries');
    this.#nowUs = nowUs;
  }

  /** Throws `rateLimited` with the seconds to wait. `browserKnown`: it signed in to this account before. */
  async check(userId: string, address: string, isAccount: boolean, browserKnown: boolean): Promise<void> {
    const here = await this.#read(idOf('from', userId, address), isAccount);
    if (here !== null && here.count >= fromOneAddressMax) this.#refuse(here.untilUs, 'from your address');
    if (browserKnown) return;
    const everywhere = await this.#read(idOf('all', userId), isAccount);
    if (everywhere !== null && everywhere.count >= fromEverywhereMax)
      this.#refuse(
        everywhere.untilUs,
        'from many places: use a browser that signed in here before, a passkey or a link',
      );
  }

  #refuse(untilUs: number, where: string): never {
    const seconds = Math.max(1, Math.ceil((untilUs - this.#nowUs()) / 1_000_000));
    const minutes = Math.ceil(seconds / 60);
    throw new LucidError('rateLimited', `too many failed sign-ins ${where}; or try again in ${minutes} min`, {
      details: { retry_after_seconds: seconds },
    });
  }

  async #read(id: string, isAccount: boolean): Promise<{ count: number; untilUs: number } | null> {
    if (isAccount) {
      const kept = await this.#counts.get(id);
      return kept === null ? null : { count: kept.value.count, untilUs: kept.untilUs ?? 0 };
    }
    const known = this.#unknown.get(id);
    return known !== undefined && known.untilUs > this.#nowUs() ? known : null;
  }

  async failed(userId: string, address: string, isAccount: boolean): Promise<void> {
    for (const id of [idOf('from', userId, address), idOf('all', userId)])
      if (isAccount) await this.#add(id);
      else this.#addUnknown(id);
  }

  async #add(id: string): Promise<void> {
    const untilUs = this.#nowUs() + windowUs;
    if (await this.#counts.add(id, { count: 1 }, { untilUs })) return;
    const more = await this.#counts.change(id, ({ value }) => ({ value: { count: value.count + 1 }, untilUs }));
    if (more === null) await this.#counts.add(id, { count: 1 }, { untilUs });
  }

  #addUnknown(id: string): void {
    const nowUs = this.#nowUs();
    const known = this.#unknown.get(id);
    const count = known !== undefined && known.untilUs > nowUs ? known.count + 1 : 1;
    // The oldest go first.
    this.#unknown.delete(id);
    this.#unknown.set(id, { count, untilUs: nowUs + windowUs });
    for (const key of this.#unknown.keys()) {
      if (this.#unknown.size <= unknownNamesMax) break;
      this.#unknown.delete(key);
    }
  }

  async succeeded(userId: string, address: string): Promise<void> {
    await this.#counts.remove(idOf('from', userId, address));
  }
}
