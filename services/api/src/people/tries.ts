/**
 * Failed sign-ins. Two counts: one for an account from a place, one for an account from everywhere. Many failures from a place stop it;
 * many from everywhere stop browsers the account does not know, so that guessing from a thousand addresses ends. A browser that signed
 * in before is a place of its own, anybody else's is their address: whoever signed in here before, or has a passkey or a link, still
 * gets in, and nobody can be locked out by strangers, also not by those behind the same proxy. A try counts as failed before its
 * password is looked at: those sent at once are counted as well. Names that are none are counted by the same path in every process, or
 * the time and the number of refusals would tell who has an account; but in places that are bounded, since strangers make them up.
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
/** Of hexadecimal digits: 65,536 places for all names that are no accounts. */
const unknownPlaceDigits = 4;
const saltId = 'salt';

const idOf = (...parts: string[]): string => createHash('sha256').update(parts.join('\0')).digest('hex');

export class Tries {
  readonly #counts: EntrySet<Count>;
  readonly #salts: EntrySet<{ salt: string }>;
  readonly #nowUs: () => number;
  readonly #secret: () => string;
  #salt: string | null = null;

  constructor(storage: EntryStorage, nowUs: () => number, secret: () => string) {
    this.#counts = new EntrySet(storage, 'tries');
    this.#salts = new EntrySet(storage, 'tries');
    this.#nowUs = nowUs;
    this.#secret = secret;
  }

  /** Of the installation: whoever could tell which names share a place would fill it, and try a name there. */
  async #saltOf(): Promise<string> {
    if (this.#salt !== null) return this.#salt;
    await this.#salts.add(saltId, { salt: this.#secret() });
    const kept = await this.#salts.get(saltId);
    this.#salt = kept!.value.salt;
    return this.#salt;
  }

  async #placeOf(isAccount: boolean, kind: 'from' | 'all', ...parts: string[]): Promise<string> {
    const salt = await this.#saltOf();
    if (isAccount) return idOf(kind, ...parts);
    return `unknown ${kind} ${idOf(salt, kind, ...parts).slice(0, unknownPlaceDigits)}`;
  }

  /**
   * Counts a try as failed. Throws `rateLimited` with the seconds to wait. `place`: an address, or a browser; `browserKnown`: it signed
   * in to this account before.
   */
  async begin(userId: string, place: string, isAccount: boolean, browserKnown: boolean): Promise<void> {
    const fromHere = await this.#placeOf(isAccount, 'from', userId, place);
    const here = { id: fromHere, max: fromOnePlaceMax, where: 'from where you are' };
    const where = 'from many places: use a browser that signed in here before, a passkey or a link';
    const everywhere = { id: await this.#placeOf(isAccount, 'all', userId), max: fromEverywhereMax, where };
    const counted = browserKnown ? [here] : [here, everywhere];
    for (const { id, max, where } of counted) {
      const kept = await this.#counts.get(id);
      if (kept !== null && kept.value.count >= max) this.#refuse(kept.untilUs ?? 0, where);
    }
    for (const { id, max, where } of counted) {
      const { count, untilUs } = await this.#add(id);
      if (count > max) this.#refuse(untilUs, where);
    }
  }

  #refuse(untilUs: number, where: string): never {
    const seconds = Math.max(1, Math.ceil((untilUs - this.#nowUs()) / 1_000_000));
    const minutes = Math.ceil(seconds / 60);
    throw new LucidError('rateLimited', `too many failed sign-ins ${where}; or try again in ${minutes} min`, {
      details: { retry_after_seconds: seconds },
    });
  }

  async #add(id: string): Promise<{ count: number; untilUs: number }> {
    const untilUs = this.#nowUs() + windowUs;
    if (await this.#counts.add(id, { count: 1 }, { untilUs })) return { count: 1, untilUs };
    const more = await this.#counts.change(id, ({ value }) => ({ value: { count: value.count + 1 }, untilUs }));
    if (more === null) await this.#counts.add(id, { count: 1 }, { untilUs });
    return { count: more?.value.count ?? 1, untilUs };
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
