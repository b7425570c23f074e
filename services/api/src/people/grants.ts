/** Who is let see single recordings, beside what their scope shows. Grants end by themselves. */
import { grantsMax, LucidError } from '@lucid-sessions/contract';
import { sha256Hex } from './accounts.ts';
import { EntrySet, type EntryStorage, type Kept } from './entry-set.ts';

export interface Grant {
  sessionId: string;
  reason: string;
  grantedBy: string;
  grantedUs: number;
}

export type KeptGrant = Kept<Grant>;

/** By session first, so that those of one stand together. */
const beginningOf = (sessionId: string): string => `${sessionId} `;
const idOf = (sessionId: string, userId: string): string => beginningOf(sessionId) + sha256Hex(userId).slice(0, 32);

export class Grants {
  readonly #set: EntrySet<Grant>;

  constructor(storage: EntryStorage) {
    this.#set = new EntrySet(storage, 'grant');
  }

  /** In place of the one there is. Throws `conflict` where somebody has too many. */
  async give(userId: string, grant: Grant, untilUs: number): Promise<KeptGrant> {
    const id = idOf(grant.sessionId, userId);
    const renewed = await this.#set.change(id, () => ({ value: grant, untilUs }));
    if (renewed !== null) return renewed;
    for (const count of [(await this.ofUser(userId)).length, (await this.ofSession(grant.sessionId)).length])
      if (count >= grantsMax)
        throw new LucidError('conflict', `there are at most ${grantsMax} grants of a person, and of a recording`);
    if (!(await this.#set.add(id, grant, { owner: userId, untilUs })))
      throw new LucidError('conflict', 'this is being changed by someone else; try again');
    return { id, owner: userId, value: grant, version: 1, untilUs };
  }

  async revoke(sessionId: string, userId: string): Promise<boolean> {
    return this.#set.remove(idOf(sessionId, userId));
  }

  async ofUser(userId: string): Promise<KeptGrant[]> {
    const all: KeptGrant[] = [];
    for await (const kept of this.#set.all(userId)) all.push(kept);
    return all;
  }

  async ofSession(sessionId: string): Promise<KeptGrant[]> {
    const beginning = beginningOf(sessionId);
    const page = await this.#set.page(beginning, grantsMax);
    return page.filter(({ id }) => id.startsWith(beginning));
  }

  async revokeAll(userId: string): Promise<void> {
    for (const { id } of await this.ofUser(userId)) await this.#set.remove(id);
  }
}
