/** Shares of session keys in one process: opened with an identity that lives here alone, combined while a grant lasts. */
import type { HeldFor, KeyShares, SharedKey } from '@lucid-sessions/api';
import { type KeyWrap, LucidError } from '@lucid-sessions/contract';
import { Decrypter, Encrypter, identityToRecipient } from 'age-encryption';
import { type KeyUnwrapper, makeAgeIdentity } from './key-wrappers.ts';
import {
  checkShare,
  combineShares,
  type KeyShare,
  parseShare,
  type SharedWrap,
  ShareError,
  sharedWrapOf,
} from './shared-key.ts';

interface Held extends HeldFor {
  keyId: string;
  key: Uint8Array;
}

export class MemoryKeyShares implements KeyShares, KeyUnwrapper {
  readonly #nowUs: () => number;
  readonly #own = makeAgeIdentity();
  /** By grant. */
  readonly #held = new Map<string, Held>();

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  async recipient(): Promise<string> {
    return (await this.#own).recipient;
  }

  describe(wraps: readonly KeyWrap[]): SharedKey | null {
    return sharedWrapOf(wraps);
  }

  async read(wraps: readonly KeyWrap[], given: { share: string } | { box: Uint8Array }) {
    const share = 'share' in given ? given.share : await this.#opened(given.box);
    if (share === null)
      throw new LucidError(
        'invalidRequest',
        'the share is not sealed to this process: read the recipients anew and seal it again',
      );
    try {
      const parsed = parseShare(share);
      checkShare(sharedOf(wraps), parsed);
      return { index: parsed.index, share: share.trim() };
    } catch (thrown) {
      if (thrown instanceof ShareError)
        throw new LucidError('invalidRequest', thrown.message, { details: { share: thrown.code } });
      throw thrown;
    }
  }

  async seal(share: string, recipients: readonly string[]): Promise<Uint8Array> {
    const encrypter = new Encrypter();
    for (const recipient of recipients) encrypter.addRecipient(recipient);
    return encrypter.encrypt(share);
  }

  async hold(wraps: readonly KeyWrap[], boxes: readonly Uint8Array[], grant: HeldFor): Promise<boolean> {
    const shared = sharedOf(wraps);
    const shares: KeyShare[] = [];
    for (const box of boxes) {
      const text = await this.#opened(box);
      const share = text === null ? null : shareOf(shared, text);
      if (share !== null) shares.push(share);
    }
    if (shares.length < shared.threshold) return false;
    const key = await combineShares(shared, shares);
    for (const { bytes } of shares) bytes.fill(0);
    this.#forget(grant.viewingId);
    this.#held.set(grant.viewingId, { ...grant, keyId: shared.keyId, key });
    return true;
  }

  holds(viewingId: string): boolean {
    this.#dropEnded();
    return this.#held.has(viewingId);
  }

  async prune(isGranted: (grant: HeldFor) => Promise<boolean>): Promise<void> {
    this.#dropEnded();
    for (const grant of [...this.#held.values()]) if (!(await isGranted(grant))) this.#forget(grant.viewingId);
  }

  /** Of a grant that lasts; whoever asks has been let through by it. */
  async unwrap({ scheme, keyId }: KeyWrap): Promise<Uint8Array | null> {
    if (scheme !== 'share') return null;
    this.#dropEnded();
    for (const held of this.#held.values()) if (held.keyId === keyId) return held.key.slice();
    return null;
  }

  #dropEnded(): void {
    const now = this.#nowUs();
    for (const { viewingId, untilUs } of [...this.#held.values()]) if (untilUs <= now) this.#forget(viewingId);
  }

  #forget(viewingId: string): void {
    this.#held.get(viewingId)?.key.fill(0);
    this.#held.delete(viewingId);
  }

  async #opened(box: Uint8Array): Promise<string | null> {
    const decrypter = new Decrypter();
    decrypter.addIdentity((await this.#own).identity);
    return decrypter.decrypt(box, 'text').catch(() => null);
  }
}

/** Null where it is not one of these: what is sealed to this process, others may have put there. */
function shareOf(shared: SharedWrap, text: string): KeyShare | null {
  try {
    const share = parseShare(text);
    checkShare(shared, share);
    return share;
  } catch {
    return null;
  }
}

function sharedOf(wraps: readonly KeyWrap[]): SharedWrap {
  const shared = sharedWrapOf(wraps);
  if (shared === null) throw new LucidError('notInThisState', 'the key of this recording is not shared');
  return shared;
}

/** A holder's own shares of a key, by the age identities in their hands. */
export async function openShares(
  shared: { holders: readonly Pick<SharedWrap['holders'][number], 'index' | 'recipient' | 'wrapped'>[] },
  identities: readonly string[],
): Promise<string[]> {
  const shares: string[] = [];
  for (const identity of identities) {
    const recipient = await identityToRecipient(identity);
    for (const holder of shared.holders.filter((each) => each.recipient === recipient)) {
      const decrypter = new Decrypter();
      decrypter.addIdentity(identity);
      shares.push(await decrypter.decrypt(holder.wrapped, 'text'));
    }
  }
  return shares;
}
