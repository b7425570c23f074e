import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { CliError } from './output.ts';

/** A file that is not there yet, for its owner alone. */
export async function writeTextFile(path: string, text: string): Promise<void> {
  const { makeOwnFolder, writeOwnFile } = await import('@lucid-sessions/node');
  await makeOwnFolder(dirname(path));
  try {
    await writeOwnFile(path, text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw isThere(path);
  }
}

const isThere = (path: string): CliError => new CliError(`${path} is there already: name another file`);

/** Said before anything is made that the file would be about. */
export function refuseExisting(path: string): void {
  if (existsSync(path)) throw isThere(path);
}
