import { readFile } from 'node:fs/promises';
import type { KeyWrap } from '@lucid-sessions/contract';
import { type BundleWrap, fromBase64 } from '@lucid-sessions/evidence';
import {
  AgeUnwrapper,
  combineShares,
  type KeyShare,
  openShares,
  parseShare,
  type SharedWrap,
  ShareError,
  sharedWrapOf,
  unwrapDek,
} from '@lucid-sessions/keys';
import { CliError, exitCodes } from '../cli/output.ts';

const identityPrefix = 'AGE-SECRET-KEY-1';
const sharePrefix = 'lucid-share-';

async function linesOf(path: string): Promise<string[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** The identities of an age file (`age-keygen`'s format: one per line, # comments). */
export async function readIdentities(path: string): Promise<string[]> {
  const identities = await linesOf(path);
  if (identities.length === 0 || !identities.every((line) => line.startsWith(identityPrefix)))
    throw new CliError(`${path} holds no age identity (${identityPrefix}…)`, exitCodes.usage);
  return identities;
}

/** Shares that these identities open, by their holders' numbers. */
export async function ownShares(
  holders: readonly { index: number; recipient: string; wrapped: string }[],
  identities: readonly string[],
): Promise<{ index: number; share: string }[]> {
  const own: { index: number; share: string }[] = [];
  for (const { index, recipient, wrapped } of holders) {
    const bytes = new Uint8Array(Buffer.from(wrapped, 'base64'));
    const [share] = await openShares({ holders: [{ index, recipient, wrapped: bytes }] }, identities);
    if (share !== undefined) own.push({ index, share });
  }
  return own;
}

export const keyWrapOf = ({ scheme, recipient, key_id, wrapped }: BundleWrap): KeyWrap => ({
  scheme,
  recipient,
  keyId: key_id,
  wrapped: fromBase64(wrapped, 'wrap'),
});

/** Opens a bundle's wrapped data key with what a file holds: age identities, or shares of the key, one per line. */
export async function identityUnwrapper(path: string): Promise<(wraps: BundleWrap[]) => Promise<Uint8Array | null>> {
  const lines = await linesOf(path);
  const identities = lines.filter((line) => line.startsWith(identityPrefix));
  const shares = lines.filter((line) => line.startsWith(sharePrefix));
  if (lines.length === 0 || identities.length + shares.length !== lines.length)
    throw new CliError(`${path} holds no age identity (${identityPrefix}…) and no share of a key`, exitCodes.usage);
  const unwrappers = identities.map((identity) => new AgeUnwrapper(identity));
  return async (bundleWraps) => {
    const wraps = bundleWraps.map(keyWrapOf);
    const shared = sharedWrapOf(wraps);
    const key = await unwrapDek(wraps, unwrappers);
    return key !== null || shared === null ? key : keyOf(path, shared, identities, shares);
  };
}

async function keyOf(
  path: string,
  shared: SharedWrap,
  identities: readonly string[],
  texts: readonly string[],
): Promise<Uint8Array> {
  try {
    const all = [...texts, ...(await openShares(shared, identities))].map(parseShare);
    const each = new Map<number, KeyShare>(all.map((share) => [share.index, share]));
    return await combineShares(shared, [...each.values()]);
  } catch (thrown) {
    if (thrown instanceof ShareError) throw new CliError(`${path}: ${thrown.message}`);
    throw thrown;
  }
}
