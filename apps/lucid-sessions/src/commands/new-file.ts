import { randomBytes } from 'node:crypto';
import { access, link, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { makeOwnFolder, ownFileMode } from '@lucid-sessions/node';
import { CliError } from '../cli/output.ts';

/**
 * Lets `write` fill a file beside `path`, which gets its name when it is whole: nobody meets half a file, and nothing that
 * exists is overwritten. Readable by its owner only: what is written here was encrypted before.
 */
export async function writeNewFile<T>(path: string, write: (partial: string) => Promise<T>): Promise<T> {
  const target = resolve(path);
  await refuseExisting(target);
  await makeOwnFolder(dirname(target));
  const partial = `${target}.${randomBytes(4).toString('hex')}.partial`;
  await (await open(partial, 'wx', ownFileMode)).close();
  try {
    const result = await write(partial);
    await giveName(partial, target);
    return result;
  } finally {
    await rm(partial, { force: true });
  }
}

/** A link fails where a name is taken; a rename would replace it. Not every file system knows links. */
async function giveName(partial: string, target: string): Promise<void> {
  try {
    await link(partial, target);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      await refuseExisting(target);
      return rename(partial, target);
    }
    throw isThere(target);
  }
}

async function refuseExisting(path: string): Promise<void> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) throw isThere(path);
}

const isThere = (path: string): CliError => new CliError(`${path} is there already: name another place with --out`);
