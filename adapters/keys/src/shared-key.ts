/**
 * A session's key shared among holders: `threshold` of them, whichever they are, open it, fewer learn nothing (Shamir over GF(2^8), by
 * shamir-secret-sharing, audited by Cure53 and Zellic). Layout: docs/format.md, section 6, scheme `share`.
 */
import { createHash } from 'node:crypto';
import { type KeyWrap, keyHoldersMax } from '@lucid-sessions/contract';
import { DEK_BYTES, fromHex, toHex, utf8 } from '@lucid-sessions/evidence';
import { nodeCrypto } from '@lucid-sessions/node';
import { concatBytes, equalBytes } from '@lucid-sessions/wire';
import { Encrypter } from 'age-encryption';
import { combine, split } from 'shamir-secret-sharing';
import { type KeyWrapper, WrapError } from './key-wrappers.ts';

export const SHARE_SCHEME = 'share';
const SHARE_PREFIX = 'lucid-share-1-';
const SHARE_INFO = 'lucid-sessions/v1/key-share\0';
const KEY_INFO = 'lucid-sessions/v1/shared-key\0';
const keyIdBytes = 16;
const setBytes = 16;
/** Of one share: as long as the key, and its coordinate. */
const shareBytes = DEK_BYTES + 1;
const checkBytes = 4;
const wholeBytes = keyIdBytes + setBytes + 1 + shareBytes + checkBytes;

/** What one holder has. */
export interface KeyShare {
  keyId: string;
  /** Which sharing of that key; shares of two never go together. */
  set: string;
  index: number;
  bytes: Uint8Array;
}

export interface SharedWrap {
  keyId: string;
  set: string;
  threshold: number;
  keySha256: string;
  holders: readonly { index: number; recipient: string; shareSha256: string; wrapped: Uint8Array }[];
}

export type ShareErrorCode =
  | 'malformed'
  | 'mistyped'
  | 'other_recording'
  | 'other_set'
  | 'wrong'
  | 'repeated'
  | 'too_few';

/** Says what is wrong with a share, never what it is. */
export class ShareError extends Error {
  override readonly name = 'ShareError';
  readonly code: ShareErrorCode;
  constructor(code: ShareErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

const shareDigest = ({ set, index, bytes }: KeyShare): string =>
  toHex(sha256(utf8(SHARE_INFO), fromHex(set, setBytes), Uint8Array.of(index), bytes));

const keyDigest = (keyId: string, key: Uint8Array): string =>
  toHex(sha256(utf8(KEY_INFO), fromHex(keyId, keyIdBytes), key));

export function formatShare({ keyId, set, index, bytes }: KeyShare): string {
  const body = concatBytes(fromHex(keyId, keyIdBytes), fromHex(set, setBytes), Uint8Array.of(index), bytes);
  return SHARE_PREFIX + Buffer.from(concatBytes(body, sha256(body).subarray(0, checkBytes))).toString('base64url');
}

/** Throws `ShareError`: `malformed`, `mistyped`. */
export function parseShare(given: string): KeyShare {
  const text = given.trim();
  const body = text.startsWith(SHARE_PREFIX)
    ? new Uint8Array(Buffer.from(text.slice(SHARE_PREFIX.length), 'base64url'))
    : null;
  if (body?.length !== wholeBytes)
    throw new ShareError('malformed', `a share begins with ${SHARE_PREFIX} and is ${shareChars} characters long`);
  const said = body.subarray(0, wholeBytes - checkBytes);
  if (!equalBytes(sha256(said).subarray(0, checkBytes), body.subarray(wholeBytes - checkBytes)))
    throw new ShareError('mistyped', 'a letter of the share is wrong, or some are missing');
  const at = keyIdBytes + setBytes;
  return {
    keyId: toHex(said.subarray(0, keyIdBytes)),
    set: toHex(said.subarray(keyIdBytes, at)),
    index: said[at]!,
    bytes: said.slice(at + 1),
  };
}

const shareChars = SHARE_PREFIX.length + Math.ceil((wholeBytes * 8) / 6);

/** Splits each session's key anew; throws at once where recipients or threshold can't be. */
export class ShareWrapper implements KeyWrapper {
  readonly scheme = SHARE_SCHEME;
  readonly recipient: string;
  readonly #holders: readonly string[];
  readonly #threshold: number;

  constructor(holders: readonly string[], threshold: number) {
    if (!(holders.length >= 2 && holders.length <= keyHoldersMax) || new Set(holders).size !== holders.length)
      throw new WrapError('no_key', `a key is shared among 2 to ${keyHoldersMax} holders, each named once`);
    if (!(Number.isInteger(threshold) && threshold >= 2 && threshold <= holders.length))
      throw new WrapError('no_key', `the threshold is from 2 to the number of holders, ${holders.length}`);
    for (const holder of holders) new Encrypter().addRecipient(holder);
    this.#holders = holders;
    this.#threshold = threshold;
    this.recipient = `${threshold} of ${holders.length}`;
  }

  async wrap(dek: Uint8Array, keyId: string): Promise<KeyWrap> {
    const set = toHex(nodeCrypto.randomBytes(setBytes));
    // The library asks for a plain Uint8Array: a Buffer is refused.
    const parts = await split(Uint8Array.from(dek), this.#holders.length, this.#threshold);
    const holders = await Promise.all(
      this.#holders.map(async (recipient, at) => {
        const share: KeyShare = { keyId, set, index: at + 1, bytes: parts[at]! };
        const encrypter = new Encrypter();
        encrypter.addRecipient(recipient);
        const wrapped = Buffer.from(await encrypter.encrypt(formatShare(share))).toString('base64');
        const shareSha256 = shareDigest(share);
        share.bytes.fill(0);
        return { index: share.index, recipient, share_sha256: shareSha256, wrapped };
      }),
    );
    const body = { v: 1, set, threshold: this.#threshold, key_sha256: keyDigest(keyId, dek), holders };
    return { scheme: this.scheme, recipient: this.recipient, keyId, wrapped: utf8(JSON.stringify(body)) };
  }
}

/** What a session's wraps say of shares; null: its key is not shared. Throws `WrapError` where it can't be read. */
export function sharedWrapOf(wraps: readonly KeyWrap[]): SharedWrap | null {
  const wrap = wraps.find(({ scheme }) => scheme === SHARE_SCHEME);
  return wrap === undefined ? null : readSharedWrap(wrap);
}

const isHex = (value: unknown, bytes: number): value is string =>
  typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]*$/.test(value);

function readSharedWrap({ keyId, wrapped }: KeyWrap): SharedWrap {
  const damaged = () => new WrapError('damaged', `the shares of key ${keyId} can't be read`);
  let body: Record<string, unknown>;
  try {
    body = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(wrapped));
  } catch {
    throw damaged();
  }
  const { v, set, threshold, key_sha256: keySha256, holders } = body ?? {};
  if (v !== 1 || !isHex(set, setBytes) || !isHex(keySha256, 32) || !Array.isArray(holders)) throw damaged();
  const isCount = Number.isInteger(threshold) && (threshold as number) >= 2 && (threshold as number) <= holders.length;
  if (!isCount || holders.length > keyHoldersMax) throw damaged();
  return {
    keyId,
    set,
    threshold: threshold as number,
    keySha256,
    holders: holders.map((holder: Record<string, unknown>, at) => {
      const { index, recipient, share_sha256: shareSha256, wrapped: text } = holder ?? {};
      if (index !== at + 1 || typeof recipient !== 'string' || typeof text !== 'string' || !isHex(shareSha256, 32))
        throw damaged();
      return { index, recipient, shareSha256, wrapped: new Uint8Array(Buffer.from(text, 'base64')) };
    }),
  };
}

/** Whether this share is what its holder was given. Throws `ShareError`. */
export function checkShare(shared: SharedWrap, share: KeyShare): void {
  if (share.keyId !== shared.keyId) throw new ShareError('other_recording', 'this share is of another recording');
  if (share.set !== shared.set)
    throw new ShareError('other_set', 'this share is of an earlier sharing of the key: open the present one');
  const holder = shared.holders[share.index - 1];
  if (holder?.shareSha256 !== shareDigest(share))
    throw new ShareError('wrong', 'this share is not what its holder was given');
}

/** The key from `threshold` shares or more, each checked. Throws `ShareError`. */
export async function combineShares(shared: SharedWrap, shares: readonly KeyShare[]): Promise<Uint8Array> {
  for (const share of shares) checkShare(shared, share);
  if (new Set(shares.map(({ index }) => index)).size !== shares.length)
    throw new ShareError('repeated', 'one share is there twice: each holder has one');
  if (shares.length < shared.threshold)
    throw new ShareError('too_few', `it takes ${shared.threshold} shares, ${shares.length} are there`);
  const key = await combine(shares.slice(0, shared.threshold).map(({ bytes }) => Uint8Array.from(bytes)));
  if (key.length !== DEK_BYTES || keyDigest(shared.keyId, key) !== shared.keySha256)
    throw new ShareError('wrong', 'the shares together do not give the key: they were made wrong');
  return key;
}
