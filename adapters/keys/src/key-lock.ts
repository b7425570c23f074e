import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { KeyError } from './key-files.ts';

/**
 * Who uses a key directory and who changes it: services share the lock, rotation takes it alone. The lock is the operating
 * system's (SQLite's own on an empty file), so it is gone with the process that held it, however that ended.
 */
export class KeyLock {
  readonly #database: DatabaseSync;

  private constructor(directory: string) {
    const path = join(directory, 'lock.sqlite');
    // Made here first, for its mode.
    closeSync(openSync(path, 'a', 0o600));
    this.#database = new DatabaseSync(path);
  }

  static #acquire(directory: string, statements: string, message: string): KeyLock {
    const lock = new KeyLock(directory);
    try {
      lock.#database.exec(`PRAGMA busy_timeout = 0; ${statements}`);
      return lock;
    } catch (error) {
      lock.#database.close();
      if (/locked|busy/i.test(String(error))) throw new KeyError('in_use', message);
      throw error;
    }
  }

  /** For a service, as long as it runs with keys it has read. */
  static share(directory: string): KeyLock {
    return KeyLock.#acquire(
      directory,
      'BEGIN; SELECT count(*) FROM sqlite_schema;',
      'keys are being rotated here; start again when that is done',
    );
  }

  /** For who changes keys, or what else the directory holds: nobody may be using them. */
  static take(
    directory: string,
    message = 'services are running with these keys; stop them first, they read keys only when they start',
  ): KeyLock {
    return KeyLock.#acquire(directory, 'BEGIN EXCLUSIVE;', message);
  }

  release(): void {
    this.#database.close();
  }
}
