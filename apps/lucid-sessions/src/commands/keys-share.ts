/** `keys holder`, `keys share`, `keys open-share`: keys that several people open together. */
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  bundleNames,
  parseCanonicalJson,
  readWhole,
  SMALL_FILE_BYTES_MAX,
  wrapsSchema,
} from '@lucid-sessions/evidence';
import { openBundle } from '@lucid-sessions/files';
import { openShares, ShareWrapper, sharedWrapOf } from '@lucid-sessions/keys';
import type { Environment } from '@lucid-sessions/kit';
import { writeOwnFile } from '@lucid-sessions/node';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { keyWrapOf, ownShares, readIdentities } from './identity-file.ts';
import { makeAuditor, rotateKeys } from './keys.ts';

export interface GivenForShare {
  threshold: number;
  holders: string[];
  session?: string;
  confirm?: string[];
  reason?: string;
}

export async function makeHolder(output: Output, path: string): Promise<void> {
  const { file, recipient } = await makeAuditor(path);
  const pub = `${file}.pub`;
  await writeOwnFile(pub, `${recipient}\n`);
  output.result(
    { recipient, file, public: pub },
    `secret     ${file}: its holder keeps it\npublic     ${pub}: ${recipient}`,
  );
}

async function recipientIn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => {
    throw new CliError(`there is no ${path}`, exitCodes.usage);
  });
  const lines = text.split('\n').map((line) => line.trim());
  const [recipient, ...more] = lines.filter((line) => line.startsWith('age1'));
  if (text.includes('AGE-SECRET-KEY'))
    throw new CliError(
      `${path} holds a secret: give its public file (.pub), and leave the secret with its holder`,
      exitCodes.usage,
    );
  if (recipient === undefined || more.length > 0)
    throw new CliError(`${path} must hold one age recipient (age1…)`, exitCodes.usage);
  return recipient;
}

export async function shareKeys(environment: Environment, output: Output, given: GivenForShare): Promise<void> {
  const holders = await Promise.all(given.holders.map(recipientIn));
  const { threshold, session, confirm, reason } = given;
  try {
    new ShareWrapper(holders, threshold);
  } catch (thrown) {
    throw new CliError(thrown instanceof Error ? thrown.message : String(thrown), exitCodes.usage);
  }
  await rotateKeys(environment, output, 'shares', {
    sharing: { holders, threshold, ...(session === undefined ? {} : { session }) },
    ...(confirm === undefined ? {} : { confirm }),
    ...(reason === undefined ? {} : { reason }),
  });
  if (session === undefined)
    output.say(`of new recordings too: LUCID_KEY_HOLDERS=${holders.join(',')} LUCID_KEY_THRESHOLD=${threshold}`);
}

async function sharesInBundle(path: string, identities: readonly string[]): Promise<string[]> {
  const { source, close } = await openBundle(path);
  try {
    const file = (await source.list()).find(({ name }) => name === bundleNames.wraps);
    if (file === undefined) throw new CliError('the bundle holds no key of its recording');
    const json = parseCanonicalJson(await readWhole(source, file, SMALL_FILE_BYTES_MAX), SMALL_FILE_BYTES_MAX);
    const shared = sharedWrapOf(wrapsSchema.parse(json, 'wraps').map(keyWrapOf));
    if (shared === null) throw new CliError('the key of this recording is not shared');
    return await openShares(shared, identities);
  } finally {
    await close();
  }
}

async function sharesOfSession(
  api: ApiClient,
  id: string,
  identities: readonly string[],
  viewing: string | undefined,
): Promise<string[]> {
  const { viewings } = await api.rest.sessionViewings({ params: { session_id: id } });
  const asked = viewings.find(({ viewing_id, shares }) => shares !== null && (viewing ?? viewing_id) === viewing_id);
  if (asked === undefined) throw new CliError('nobody asks for this recording now, or its key is not shared');
  return (await ownShares(asked.shares!.holders, identities)).map(({ share }) => share);
}

export async function printShare(
  api: () => ApiClient,
  output: Output,
  what: string,
  { identity, viewing }: { identity: string; viewing?: string },
): Promise<void> {
  const identities = await readIdentities(identity);
  const isBundle = await stat(what).then(
    () => true,
    () => false,
  );
  const shares = isBundle
    ? await sharesInBundle(resolve(what), identities)
    : await sharesOfSession(api(), what, identities, viewing);
  if (shares.length === 0) throw new CliError(`${identity} holds no share of this key`);
  output.result({ shares }, shares.join('\n'));
}
