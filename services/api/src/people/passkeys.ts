/** Passkeys (WebAuthn), checked by SimpleWebAuthn. Each is an entry of its own, found by the SHA-256 of its id. */
import { LucidError, passkeysMax } from '@lucid-sessions/contract';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { sha256Hex } from './accounts.ts';
import type { RelyingParty } from './browser.ts';
import { EntrySet, type EntryStorage, type Kept } from './entry-set.ts';

export interface Passkey {
  type: 'passkey';
  name: string;
  credentialId: string;
  /** COSE, base64. */
  publicKey: string;
  counter: number;
  createdUs: number;
  usedUs: number | null;
}

export type KeptPasskey = Kept<Passkey>;

interface Challenge {
  challenge: string;
}

const challengeUs = 5 * 60_000_000;

/** Its parts (X.509, CBOR) are only loaded where somebody has a passkey. */
const library = () => import('@simplewebauthn/server');
const idOf = (credentialId: string): string => sha256Hex(`passkey\0${credentialId}`);
const wrong = (cause?: unknown) =>
  new LucidError('unauthenticated', 'this passkey does not let you in here', { cause });

export class Passkeys {
  readonly #set: EntrySet<Passkey>;
  readonly #challenges: EntrySet<Challenge>;
  readonly #nowUs: () => number;
  readonly #secret: () => string;

  constructor(storage: EntryStorage, nowUs: () => number, secret: () => string) {
    this.#set = new EntrySet(storage, 'identity');
    this.#challenges = new EntrySet(storage, 'challenge');
    this.#nowUs = nowUs;
    this.#secret = secret;
  }

  async list(userId: string): Promise<KeptPasskey[]> {
    const all: KeptPasskey[] = [];
    for await (const kept of this.#set.all(userId)) if (kept.value.type === 'passkey') all.push(kept);
    return all;
  }

  async #asked(challenge: string, userId: string | null): Promise<string> {
    const id = this.#secret();
    const owner = userId === null ? {} : { owner: userId };
    await this.#challenges.add(id, { challenge }, { ...owner, untilUs: this.#nowUs() + challengeUs });
    return id;
  }

  /** Once. Throws `unauthenticated`. */
  async #taken(challengeId: string, userId: string | null): Promise<string> {
    const kept = await this.#challenges.get(challengeId);
    if (kept === null || kept.owner !== userId || !(await this.#challenges.remove(kept.id, kept.version)))
      throw new LucidError('unauthenticated', 'this took too long, or was answered before; try again');
    return kept.value.challenge;
  }

  async newChallenge({ id: rpID }: RelyingParty, userId: string, displayName: string) {
    const known = await this.list(userId);
    const { generateRegistrationOptions } = await library();
    const options = await generateRegistrationOptions({
      rpName: 'Lucid Sessions',
      rpID,
      userName: userId,
      userDisplayName: displayName === '' ? userId : displayName,
      // Says nothing about the person to whoever gets hold of the authenticator.
      userID: Uint8Array.from(Buffer.from(sha256Hex(`user\0${userId}`), 'hex')),
      attestationType: 'none',
      excludeCredentials: known.map(({ value }) => ({ id: value.credentialId })),
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    });
    return { challenge_id: await this.#asked(options.challenge, userId), options: { ...options } };
  }

  async add(
    { id: rpID, origin }: RelyingParty,
    userId: string,
    { challengeId, name, response }: { challengeId: string; name: string; response: Record<string, unknown> },
  ): Promise<KeptPasskey> {
    const expectedChallenge = await this.#taken(challengeId, userId);
    if ((await this.list(userId)).length >= passkeysMax)
      throw new LucidError('conflict', `an account has at most ${passkeysMax} passkeys; remove one first`);
    const { verifyRegistrationResponse } = await library();
    const verified = await verifyRegistrationResponse({
      response: response as unknown as RegistrationResponseJSON,
      expectedChallenge,
      expectedOrigin: origin,
      expectedRPID: rpID,
    }).catch((cause: unknown) => {
      throw new LucidError('invalidRequest', 'the browser’s answer is not that of a new passkey for this place', {
        cause,
      });
    });
    if (!verified.verified) throw new LucidError('invalidRequest', 'the new passkey could not be checked');
    const { id, publicKey, counter } = verified.registrationInfo.credential;
    const value: Passkey = {
      type: 'passkey',
      name,
      credentialId: id,
      publicKey: Buffer.from(publicKey).toString('base64'),
      counter,
      createdUs: this.#nowUs(),
      usedUs: null,
    };
    if (!(await this.#set.add(idOf(id), value, { owner: userId })))
      throw new LucidError('conflict', 'this passkey belongs to an account already');
    return { id: idOf(id), owner: userId, value, version: 1, untilUs: null };
  }

  async challenge({ id: rpID }: RelyingParty) {
    const { generateAuthenticationOptions } = await library();
    const options = await generateAuthenticationOptions({ rpID, userVerification: 'required' });
    return { challenge_id: await this.#asked(options.challenge, null), options: { ...options } };
  }

  /** Whose it is. Throws `unauthenticated`. */
  async verify(
    { id: rpID, origin }: RelyingParty,
    { challengeId, response }: { challengeId: string; response: Record<string, unknown> },
  ): Promise<string> {
    const expectedChallenge = await this.#taken(challengeId, null);
    const kept = typeof response.id === 'string' ? await this.#set.get(idOf(response.id.slice(0, 2000))) : null;
    if (kept?.owner == null || kept.value.type !== 'passkey') throw wrong();
    const { credentialId, publicKey, counter } = kept.value;
    const { verifyAuthenticationResponse } = await library();
    const verified = await verifyAuthenticationResponse({
      response: response as unknown as AuthenticationResponseJSON,
      expectedChallenge,
      expectedOrigin: origin,
      expectedRPID: rpID,
      credential: { id: credentialId, publicKey: Uint8Array.from(Buffer.from(publicKey, 'base64')), counter },
    }).catch((cause: unknown) => {
      throw wrong(cause);
    });
    if (!verified.verified) throw wrong();
    const { newCounter } = verified.authenticationInfo;
    await this.#set.change(kept.id, ({ value }) => ({
      value: { ...value, counter: Math.max(value.counter, newCounter), usedUs: this.#nowUs() },
    }));
    return kept.owner;
  }

  async remove(userId: string, id: string): Promise<boolean> {
    const kept = await this.#set.get(id);
    return kept?.owner === userId && kept.value.type === 'passkey' && (await this.#set.remove(id));
  }

  async removeAll(userId: string): Promise<void> {
    for (const { id } of await this.list(userId)) await this.#set.remove(id);
  }
}
