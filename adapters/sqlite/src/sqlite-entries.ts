/** People and what they use, in the file of the metadata. */
import type { Entry, EntryKind } from '@lucid-sessions/contract';
import type { EntryQuery } from '@lucid-sessions/storage';
import { guardedSql, type Row, type SqliteDatabase, textOrNull } from './sqlite-database.ts';

export const entryTable = `CREATE TABLE entries (
     kind TEXT NOT NULL, id TEXT NOT NULL, owner TEXT, version INTEGER NOT NULL, until_us INTEGER, document TEXT NOT NULL,
     PRIMARY KEY (kind, id)
   ) WITHOUT ROWID;
   CREATE INDEX entries_by_owner ON entries (kind, owner, id) WHERE owner IS NOT NULL;
   CREATE INDEX entries_by_end ON entries (until_us) WHERE until_us IS NOT NULL;`;

const entryOf = (row: Row): Entry => ({
  kind: String(row.kind) as EntryKind,
  id: String(row.id),
  owner: textOrNull(row.owner),
  value: JSON.parse(String(row.document)) as Record<string, unknown>,
  version: Number(row.version),
  untilUs: row.until_us === null ? null : Number(row.until_us),
});

export class SqliteEntries {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  get(kind: EntryKind, id: string): Promise<Entry | null> {
    return guardedSql(() => {
      const row = this.#database.get('SELECT * FROM entries WHERE kind = ? AND id = ?', kind, id);
      return row === undefined ? null : entryOf(row);
    });
  }

  put({ kind, id, owner, value, version, untilUs }: Entry): Promise<boolean> {
    const document = JSON.stringify(value);
    return guardedSql(() => {
      const changed =
        version === 1
          ? this.#database.run(
              `INSERT INTO entries (kind, id, owner, version, until_us, document) VALUES (?, ?, ?, 1, ?, ?)
               ON CONFLICT DO NOTHING`,
              ...[kind, id, owner, untilUs, document],
            )
          : this.#database.run(
              `UPDATE entries SET owner = ?, version = ?, until_us = ?, document = ?
                 WHERE kind = ? AND id = ? AND version = ?`,
              ...[owner, version, untilUs, document, kind, id, version - 1],
            );
      return changed === 1;
    });
  }

  list({ kind, owner, after, limit }: EntryQuery, nowUs: number): Promise<Entry[]> {
    const owned = owner === undefined ? '' : 'AND owner = ?';
    return guardedSql(() =>
      this.#database
        .all(
          `SELECT * FROM entries WHERE kind = ? ${owned} AND id > ? AND (until_us IS NULL OR until_us > ?)
             ORDER BY id LIMIT ?`,
          ...[kind, ...(owner === undefined ? [] : [owner]), after, nowUs, limit],
        )
        .map(entryOf),
    );
  }

  remove(kind: EntryKind, id: string, version?: number): Promise<boolean> {
    return guardedSql(
      () =>
        this.#database.run(
          'DELETE FROM entries WHERE kind = ? AND id = ? AND version = COALESCE(?, version)',
          ...[kind, id, version ?? null],
        ) === 1,
    );
  }

  sweep(nowUs: number): Promise<number> {
    return guardedSql(() => this.#database.run('DELETE FROM entries WHERE until_us <= ?', nowUs));
  }
}
