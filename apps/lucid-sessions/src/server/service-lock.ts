/** One storage, one pipeline and one recorder per data directory: two of a kind would write over each other's files. */
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { EnvironmentError } from '@lucid-sessions/kit';
import { aloneServices, type ServiceName } from './environment.ts';

/**
 * Held until `release`. The lock is the operating system's (SQLite's own on an empty file), so it is gone with the process that
 * held it, however that ended.
 */
export function lockServices(root: string, services: ReadonlySet<ServiceName>): { release(): void } {
  const held: DatabaseSync[] = [];
  const release = (): void => {
    for (const database of held.splice(0)) database.close();
  };
  const directory = join(root, 'locks');
  const alone = aloneServices.filter((name) => services.has(name));
  if (alone.length > 0) mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const service of alone) {
    const path = join(directory, `${service}.sqlite`);
    closeSync(openSync(path, 'a', 0o600));
    const database = new DatabaseSync(path);
    held.push(database);
    try {
      database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE;');
    } catch (error) {
      release();
      if (!/locked|busy/i.test(String(error))) throw error;
      throw new EnvironmentError(
        'LUCID_DATA_DIR',
        `names ${root}, where the ${service} of another process runs: end that one, or give this one a directory of its own`,
      );
    }
  }
  return { release };
}
