/** Whom providers know: which account an issuer and subject are, and whose a session at the provider is. Never an e-mail address. */
import { sha256Hex } from '../people/accounts.ts';
import { EntrySet, type EntryStorage, type Kept } from '../people/entry-set.ts';

interface Identity {
  type: 'oidc';
  providerId: string;
  issuer: string;
  subject: string;
  /** Of the account. */
  key?: string;
  createdUs: number;
}

interface ProviderSession {
  type: 'oidc_session';
}

const idOf = (issuer: string, subject: string): string => sha256Hex(`oidc\0${issuer}\0${subject}`);
const sessionIdOf = (issuer: string, sid: string): string => sha256Hex(`oidc session\0${issuer}\0${sid}`);

export class OidcIdentities {
  readonly #set: EntrySet<Identity>;
  readonly #sessions: EntrySet<ProviderSession>;

  constructor(storage: EntryStorage) {
    this.#set = new EntrySet(storage, 'identity');
    this.#sessions = new EntrySet(storage, 'identity');
  }

  find(issuer: string, subject: string): Promise<Kept<Identity> | null> {
    return this.#set.get(idOf(issuer, subject));
  }

  /** False: it belongs to an account. */
  add(userId: string, identity: Omit<Identity, 'type'>): Promise<boolean> {
    return this.#set.add(idOf(identity.issuer, identity.subject), { type: 'oidc', ...identity }, { owner: userId });
  }

  remove(issuer: string, subject: string, version?: number): Promise<boolean> {
    return this.#set.remove(idOf(issuer, subject), version);
  }

  async removeAll(userId: string): Promise<void> {
    for await (const { id, value } of this.#set.all(userId)) if (value.type === 'oidc') await this.#set.remove(id);
  }

  /** Whose session at the provider this is, as long as sign-ins of it can last. */
  async noteSession(issuer: string, sid: string, userId: string, untilUs: number): Promise<void> {
    const id = sessionIdOf(issuer, sid);
    const value = { type: 'oidc_session' } as const;
    if (await this.#sessions.add(id, value, { owner: userId, untilUs })) return;
    await this.#sessions.remove(id);
    await this.#sessions.add(id, value, { owner: userId, untilUs });
  }

  async ownerOfSession(issuer: string, sid: string): Promise<string | null> {
    return (await this.#sessions.get(sessionIdOf(issuer, sid)))?.owner ?? null;
  }
}
