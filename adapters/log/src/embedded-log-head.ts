import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { decodeEntries, emptyRoot, encodeEntries } from '@lucid-sessions/evidence';
import type { MaybePromise } from '@lucid-sessions/wire';
import { LogError } from './log-error.ts';

/** The committed head of a log. */
export interface LogHead {
  size: number;
  root: Uint8Array;
  /** Signed checkpoint, '' while the log is empty. */
  checkpoint: string;
  /** The entries of the last batch: what a crash may have kept from being published. */
  staged: Uint8Array[];
}

/** A checkpoint with the cosignatures of witnesses. */
export interface Witnessed {
  size: number;
  checkpoint: string;
}

/** Where a log's head is kept: compare-and-swap, durable when `swap` is over, one writer at a time. Calls are carried out in order. */
export interface LogHeadStore {
  /** Other processes write the log, too: each takes up what another wrote. */
  readonly isShared?: boolean;
  load(): MaybePromise<LogHead>;
  /** True when the head was `expected` and is `next` now; `leafHashes` are those of the entries in between. */
  swap(expected: LogHead, next: LogHead, leafHashes: readonly Uint8Array[]): MaybePromise<boolean>;
  indexOf(leafHash: Uint8Array): MaybePromise<number | null>;
  /** Size 0 while there is none. */
  loadWitnessed(): MaybePromise<Witnessed>;
  putWitnessed(witnessed: Witnessed): MaybePromise<void>;
  close(): MaybePromise<void>;
}

/**
 * In SQLite: the exclusive lock is the operating system's, so it is gone with the process that held it, and
 * `synchronous = FULL` makes a commit survive power loss. With a write-ahead log that is one wait for the disk, not four.
 */
export class SqliteLogHeadStore implements LogHeadStore {
  readonly #database: DatabaseSync;

  constructor(path: string) {
    // Made here first, for its mode.
    closeSync(openSync(path, 'a', 0o600));
    chmodSync(path, 0o600);
    this.#database = new DatabaseSync(path);
    try {
      // The lock before the write-ahead log: its index is then in memory, and shared with nobody.
      this.#database.exec('PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE;');
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      this.#database.exec(`
        BEGIN EXCLUSIVE;
        CREATE TABLE IF NOT EXISTS head (
          id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, root BLOB NOT NULL, checkpoint TEXT NOT NULL,
          staged BLOB NOT NULL
        ) STRICT;
        CREATE TABLE IF NOT EXISTS leaf (hash BLOB PRIMARY KEY, position INTEGER NOT NULL) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS witnessed (
          id INTEGER PRIMARY KEY CHECK (id = 1), size INTEGER NOT NULL, checkpoint TEXT NOT NULL
        ) STRICT;
        COMMIT;`);
    } catch (error) {
      this.#database.close();
      if (/locked|busy/i.test(String(error))) throw new LogError('locked', 'the log is in use by another process');
      throw error;
    }
    this.#database.prepare('INSERT OR IGNORE INTO head VALUES (1, 0, ?, ?, ?)').run(emptyRoot(), '', new Uint8Array(0));
  }

  load(): LogHead {
    const row = this.#database.prepare('SELECT size, root, checkpoint, staged FROM head').get() as unknown as {
      size: number;
      root: Uint8Array;
      checkpoint: string;
      staged: Uint8Array;
    };
    return { ...row, root: new Uint8Array(row.root), staged: decodeEntries(row.staged) };
  }

  swap(expected: LogHead, next: LogHead, leafHashes: readonly Uint8Array[]): boolean {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const { changes } = this.#database
        .prepare(
          'UPDATE head SET size = ?, root = ?, checkpoint = ?, staged = ? WHERE size = ? AND root = ? AND checkpoint = ?',
        )
        .run(
          next.size,
          next.root,
          next.checkpoint,
          encodeEntries(next.staged),
          expected.size,
          expected.root,
          expected.checkpoint,
        );
      const insert = this.#database.prepare('INSERT INTO leaf VALUES (?, ?)');
      if (changes === 1) for (const [at, hash] of leafHashes.entries()) insert.run(hash, expected.size + at);
      this.#database.exec('COMMIT');
      return changes === 1;
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  indexOf(leafHash: Uint8Array): number | null {
    const row = this.#database.prepare('SELECT position FROM leaf WHERE hash = ?').get(leafHash);
    return row === undefined ? null : (row.position as number);
  }

  loadWitnessed(): Witnessed {
    const row = this.#database.prepare('SELECT size, checkpoint FROM witnessed').get();
    return (row as unknown as Witnessed | undefined) ?? { size: 0, checkpoint: '' };
  }

  putWitnessed({ size, checkpoint }: Witnessed): void {
    this.#database.prepare('INSERT OR REPLACE INTO witnessed VALUES (1, ?, ?)').run(size, checkpoint);
  }

  close(): void {
    this.#database.close();
  }
}
