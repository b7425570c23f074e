/** Whether this user may use the files and directories that are configured. The messages name variable and path. */
import { randomBytes } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { access, mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EnvironmentError } from '@lucid-sessions/kit/environment';
import { accessProblem } from '@lucid-sessions/kit/secret-file';

const codeOf = (error: unknown): string => String((error as NodeJS.ErrnoException).code);

function cannot(variable: string, path: string, doing: string, error: unknown): unknown {
  const why = accessProblem(error);
  return why === null ? error : new EnvironmentError(variable, `names ${path}, which can't be ${doing}: ${why}`);
}

/** A directory that is there can be read and written; one that is not has a parent in which it can be made. */
export async function checkDirectory(variable: string, path: string): Promise<void> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) throw Object.assign(new Error('no directory'), { code: 'ENOTDIR' });
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' && dirname(path) !== path) return checkDirectory(variable, dirname(path));
    throw cannot(variable, path, 'used', error);
  }
}

/** A file that is there can be read and written; one that is not can be made. */
export async function checkFile(variable: string, path: string): Promise<void> {
  try {
    if ((await stat(path)).isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' });
    await access(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return checkDirectory(variable, dirname(path));
    throw cannot(variable, path, 'used', error);
  }
}

/**
 * Answers the first directory that had to be made. One by one: Node's recursive mkdir never ends where a parent is there and
 * takes no directory (/proc).
 */
async function makePath(path: string): Promise<string | undefined> {
  const missing: string[] = [];
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const directory of missing)
    await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
      // Services that start together make it together.
      if (codeOf(error) !== 'EEXIST') throw error;
    });
  return missing[0];
}

/**
 * Makes a directory and writes into it, which finds what rights alone don't show. A directory that was there may be on a full
 * disk: looking at recordings and deleting them must go on.
 */
export async function makeDirectory(variable: string, path: string): Promise<void> {
  let made: string | undefined;
  try {
    made = await makePath(path);
    const probe = join(path, `.${process.pid}-${randomBytes(6).toString('hex')}`);
    await (await open(probe, 'wx', 0o600)).close();
    await rm(probe);
  } catch (error) {
    if (made === undefined && ['ENOSPC', 'EDQUOT'].includes(codeOf(error))) return;
    if (made !== undefined) await rm(made, { recursive: true, force: true });
    throw cannot(variable, path, 'written', error);
  }
}
