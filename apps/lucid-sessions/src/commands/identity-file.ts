import { readFile } from 'node:fs/promises';
import { type BundleWrap, fromBase64 } from '@lucid-sessions/evidence';
import { AgeUnwrapper, unwrapDek } from '@lucid-sessions/keys';
import { CliError, exitCodes } from '../cli/output.ts';

/** Opens a bundle's wrapped data key with the identities of an age file (`age-keygen`'s format: one per line, # comments). */
export async function identityUnwrapper(path: string): Promise<(wraps: BundleWrap[]) => Promise<Uint8Array | null>> {
  const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
  const identities = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (identities.length === 0 || !identities.every((line) => line.startsWith('AGE-SECRET-KEY-1')))
    throw new CliError(`${path} holds no age identity (AGE-SECRET-KEY-1…)`, exitCodes.usage);
  const unwrappers = identities.map((identity) => new AgeUnwrapper(identity));
  return (wraps) =>
    unwrapDek(
      wraps.map(({ scheme, recipient, key_id, wrapped }) => ({
        scheme,
        recipient,
        keyId: key_id,
        wrapped: fromBase64(wrapped, 'wrap'),
      })),
      unwrappers,
    );
}
