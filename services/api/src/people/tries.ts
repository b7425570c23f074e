/**
 * Failed sign-ins. Two counts: one for an account from a place, one for an account from everywhere. Many failures from a place stop it;
 * many from everywhere stop browsers the account does not know, so that guessing from a thousand addresses ends. A browser that signed
 * in before is a place of its own, anybody else's is their address: whoever signed in here before, or has a passkey or a link, still
 * gets in, and nobody can be locked out by strangers, also not by those behind the same proxy. A try counts as failed before its
 * password is looked at: those sent at once are counted as well.
 */
import { createHash } from 'node:crypto';
import { isLucidError, LucidError } from '@lucid-sessions/contract';
import { EntrySet, type EntryStorage } from './entry-set.ts';

interface Count {
  count: number;
}

const fromOnePlaceMax = 8;
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

  /**
   * Counts a try as failed. Throws `rateLimited` with the seconds to wait. `place`: an address, or a browser; `browserKnown`: it signed
   * in to this account before.
   */
  async begin(userId: string, place: string, isAccount: boolean, browserKnown: boolean): Promise<void> {
    const [here, everywhere] = [idOf('from', userId, place), idOf('all', userId)];
    await this.#count(here, isAccount, fromOnePlaceMax, 'from where you are');
    if (browserKnown) return;
    const elsewhere = 'from many places: use a browser that signed in here before, a passkey or a link';
    await this.#count(everywhere, isAccount, fromEverywhereMax, elsewhere);
  }

  async #count(id: string, isAccount: boolean, max: number, where: string): Promise<void> {
    const before = await this.#read(id, isAccount);
    if (before !== null && before.count >= max) this.#refuse(before.untilUs, where);
    const { count, untilUs } = isAccount ? await this.#add(id) : this.#addUnknown(id);
    if (count > max) this.#refuse(untilUs, where);
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

  async #add(id: string): Promise<{ count: number; untilUs: number }> {
    const untilUs = this.#nowUs() + windowUs;
    if (await this.#counts.add(id, { count: 1 }, { untilUs })) return { count: 1, untilUs };
    const more = await this.#counts.change(id, ({ value }) => ({ value: { count: value.count + 1 }, untilUs }));
    if (more === null) await this.#counts.add(id, { count: 1 }, { untilUs });
    return { count: more?.value.count ?? 1, untilUs };
  }

  #addUnknown(id: string): { count: number; untilUs: number } {
    const nowUs = this.#nowUs();
    const known = this.#unknown.get(id);
    const count = known !== undefined && known.untilUs > nowUs ? known.count + 1 : 1;
    const counted = { count, untilUs: nowUs + windowUs };
    // The oldest go first.
    this.#unknown.delete(id);
    this.#unknown.set(id, counted);
    for (const key of this.#unknown.keys()) {
      if (this.#unknown.size <= unknownNamesMax) break;
      this.#unknown.delete(key);
    }
    return counted;
  }

  /** Takes a try of an account back: its password was right, or nobody looked at it. */
  async takeBack(userId: string, place: string, browserKnown: boolean): Promise<void> {
    const counted = [idOf('from', userId, place), ...(browserKnown ? [] : [idOf('all', userId)])];
    for (const id of counted) {
      const change = this.#counts.change(id, ({ value }) => ({ value: { count: Math.max(0, value.count - 1) } }));
      // One too many keeps nobody out who is right; those who guess meanwhile must not.
      await change.catch((thrown: unknown) => {
        if (!isLucidError(thrown, 'conflict')) throw thrown;
      });
    }
  }

  /** Signed in: nothing of this place is held against it. */
  async succeeded(userId: string, place: string, browserKnown: boolean): Promise<void> {
    await this.takeBack(userId, place, browserKnown);
    await this.#counts.remove(idOf('from', userId, place));
  }
}
