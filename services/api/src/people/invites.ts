/** Links that let somebody in, once: to the first account, to a password of their own, or at once. */
import { LucidError } from '@lucid-sessions/contract';
import { sha256Hex } from './accounts.ts';
import { EntrySet, type EntryStorage, type Kept } from './entry-set.ts';

export interface Invite {
  purpose: 'first' | 'password' | 'sign_in';
  createdBy: string;
}

const refused = () =>
  new LucidError('unauthenticated', 'this link was used, replaced or has expired; ask for another one');

export class Invites {
  readonly #set: EntrySet<Invite>;
  readonly #secret: () => string;

  constructor(storage: EntryStorage, secret: () => string) {
    this.#set = new EntrySet(storage, 'invite');
    this.#secret = secret;
  }

  /** `userId` null: whoever has it chooses a name. An earlier one of the same account is none any more. */
  async create(userId: string | null, invite: Invite, untilUs: number): Promise<string> {
    if (userId !== null) await this.dropAll(userId);
    const secret = this.#secret();
    await this.#set.add(sha256Hex(secret), invite, { ...(userId === null ? {} : { owner: userId }), untilUs });
    return secret;
  }

  /** Throws `unauthenticated`. */
  async look(secret: string): Promise<Kept<Invite>> {
    const kept = await this.#set.get(sha256Hex(secret));
    if (kept === null) throw refused();
    return kept;
  }

  /** Throws `unauthenticated` where somebody else was first. */
  async take({ id, version }: Kept<Invite>): Promise<void> {
    if (!(await this.#set.remove(id, version))) throw refused();
  }

  async dropAll(userId: string): Promise<void> {
    for await (const { id } of this.#set.all(userId)) await this.#set.remove(id);
  }
}
