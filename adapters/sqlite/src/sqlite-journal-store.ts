/** The pipeline's journal, facts and anchor receipts in one SQLite file. */
import type { AnchorReceipt, RecordingFact } from '@lucid-sessions/contract';
import type { GatewayCredential, Journal, JournalStore, ProgressRow } from '@lucid-sessions/pipeline';
import { bytesOf, guardedSql, SqliteDatabase } from './sqlite-database.ts';

const migrations = [
  `CREATE TABLE journals (session_id TEXT PRIMARY KEY, unfinished INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
   CREATE INDEX journals_unfinished ON journals (session_id) WHERE unfinished = 1;
   CREATE TABLE facts (session_id TEXT NOT NULL, position INTEGER NOT NULL, document TEXT NOT NULL,
     PRIMARY KEY (session_id, position)) WITHOUT ROWID;
   CREATE TABLE receipts (session_id TEXT NOT NULL, backend TEXT NOT NULL, document TEXT NOT NULL,
     PRIMARY KEY (session_id, backend)) WITHOUT ROWID;`,
  `CREATE TABLE sealed (session_id TEXT NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL,
     PRIMARY KEY (session_id, name)) WITHOUT ROWID;`,
  `CREATE TABLE gateway_credentials (session_id TEXT PRIMARY KEY, user TEXT NOT NULL UNIQUE, document TEXT NOT NULL, sealed BLOB)
     WITHOUT ROWID;`,
  // What an earlier version wrote was written at least once.
  'ALTER TABLE journals ADD COLUMN version INTEGER NOT NULL DEFAULT 1;',
  'CREATE TABLE progress (span_us INTEGER PRIMARY KEY, at_us INTEGER NOT NULL, heads BLOB NOT NULL);',
];

/** More facts than any honest session has; a loop in a recorder must not fill the disk. */
const factsMax = 20_000;

export class SqliteJournalStore implements JournalStore {
  readonly #database: SqliteDatabase;

  constructor(path: string) {
    this.#database = new SqliteDatabase(path, migrations);
  }

  async get(sessionId: string): Promise<Journal | null> {
    return guardedSql(() => {
      const row = this.#database.get('SELECT document, version FROM journals WHERE session_id = ?', sessionId);
      if (row === undefined) return null;
      return { ...(JSON.parse(String(row.document)) as Journal), version: Number(row.version) };
    });
  }

  async put(journal: Journal): Promise<Journal | null> {
    const unfinished = journal.connected || (journal.endedUs !== null && journal.manifestUs === null) ? 1 : 0;
    const { sessionId, version } = journal;
    const stored = { ...journal, version: version + 1 };
    const document = JSON.stringify(stored);
    return guardedSql(() => {
      const changed =
        version === 0
          ? this.#database.run(
              `INSERT INTO journals (session_id, unfinished, document, version) VALUES (?, ?, ?, 1)
               ON CONFLICT (session_id) DO NOTHING`,
              ...[sessionId, unfinished, document],
            )
          : this.#database.run(
              'UPDATE journals SET unfinished = ?, document = ?, version = ? WHERE session_id = ? AND version = ?',
              ...[unfinished, document, version + 1, sessionId, version],
            );
      return changed === 1 ? stored : null;
    });
  }

  async list(after: string, limit: number): Promise<string[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT session_id FROM journals WHERE session_id > ? ORDER BY session_id LIMIT ?', after, limit)
        .map((row) => String(row.session_id)),
    );
  }

  async listUnfinished(): Promise<string[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT session_id FROM journals WHERE unfinished = 1 ORDER BY session_id')
        .map((row) => String(row.session_id)),
    );
  }

  async appendFact(sessionId: string, fact: RecordingFact): Promise<void> {
    await guardedSql(() =>
      this.#database.transaction(() => {
        const document = JSON.stringify(fact);
        const { count, same } = this.#database.get(
          'SELECT COUNT(*) AS count, SUM(document = ?) AS same FROM facts WHERE session_id = ?',
          document,
          sessionId,
        ) ?? { count: 0, same: 0 };
        // A report that came twice; facts carry their time, so equal ones are the same.
        if (Number(same) > 0 || Number(count) >= factsMax) return;
        this.#database.run(
          'INSERT INTO facts (session_id, position, document) VALUES (?, ?, ?)',
          sessionId,
          Number(count),
          document,
        );
      }),
    );
  }

  async listFacts(sessionId: string): Promise<RecordingFact[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT document FROM facts WHERE session_id = ? ORDER BY position', sessionId)
        .map((row) => JSON.parse(String(row.document)) as RecordingFact),
    );
  }

  async putReceipt(sessionId: string, receipt: AnchorReceipt): Promise<void> {
    await guardedSql(() =>
      this.#database.run(
        'INSERT OR REPLACE INTO receipts (session_id, backend, document) VALUES (?, ?, ?)',
        sessionId,
        receipt.backend,
        JSON.stringify(receipt),
      ),
    );
  }

  async listReceipts(sessionId: string): Promise<AnchorReceipt[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT document FROM receipts WHERE session_id = ? ORDER BY backend', sessionId)
        .map((row) => JSON.parse(String(row.document)) as AnchorReceipt),
    );
  }

  async putProgress({ spanUs, atUs, heads }: ProgressRow): Promise<boolean> {
    const sql = 'INSERT INTO progress (span_us, at_us, heads) VALUES (?, ?, ?) ON CONFLICT DO NOTHING';
    return guardedSql(() => this.#database.run(sql, spanUs, atUs, heads) === 1);
  }

  async getProgress(spanUs: number): Promise<ProgressRow | null> {
    return guardedSql(() => {
      const row = this.#database.get('SELECT at_us, heads FROM progress WHERE span_us = ?', spanUs);
      return row === undefined ? null : { spanUs, atUs: Number(row.at_us), heads: bytesOf(row.heads) };
    });
  }

  async progressSpans(fromUs: number, untilUs: number, limit: number): Promise<number[]> {
    const sql = 'SELECT span_us FROM progress WHERE span_us BETWEEN ? AND ? ORDER BY span_us DESC LIMIT ?';
    return guardedSql(() => this.#database.all(sql, fromUs, untilUs, limit).map((row) => Number(row.span_us)));
  }

  async putSealed(sessionId: string, name: string, sealed: Uint8Array): Promise<void> {
    await guardedSql(() =>
      this.#database.run(
        'INSERT OR REPLACE INTO sealed (session_id, name, sealed) VALUES (?, ?, ?)',
        sessionId,
        name,
        sealed,
      ),
    );
  }

  async getSealed(sessionId: string, name: string): Promise<Uint8Array | null> {
    return guardedSql(() => {
      const row = this.#database.get('SELECT sealed FROM sealed WHERE session_id = ? AND name = ?', sessionId, name);
      return row === undefined ? null : new Uint8Array(row.sealed as Uint8Array);
    });
  }

  async listSealed(): Promise<{ sessionId: string; name: string }[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT session_id, name FROM sealed ORDER BY session_id, name')
        .map((row) => ({ sessionId: String(row.session_id), name: String(row.name) })),
    );
  }

  /** `secure_delete` overwrites the row in its page; the write-ahead log, which has the page as it was, is cut. */
  async dropSealed(sessionId: string, name?: string): Promise<void> {
    const gone = await guardedSql(() =>
      name === undefined
        ? this.#database.run('DELETE FROM sealed WHERE session_id = ?', sessionId)
        : this.#database.run('DELETE FROM sealed WHERE session_id = ? AND name = ?', sessionId, name),
    );
    // Tried at once. What waits for a reader's end behind that keeps nobody's session waiting.
    if (gone > 0) void this.#database.cutLog().catch(() => {});
  }

  async putCredential({ sealed, ...credential }: GatewayCredential): Promise<void> {
    await guardedSql(() =>
      this.#database.run(
        'INSERT OR REPLACE INTO gateway_credentials (session_id, user, document, sealed) VALUES (?, ?, ?, ?)',
        credential.sessionId,
        credential.user,
        JSON.stringify(credential),
        sealed,
      ),
    );
  }

  async findCredential(user: string): Promise<GatewayCredential | null> {
    return this.#credential('user', user);
  }
  async credentialOf(sessionId: string): Promise<GatewayCredential | null> {
    return this.#credential('session_id', sessionId);
  }

  #credential(column: 'user' | 'session_id', value: string): Promise<GatewayCredential | null> {
    return guardedSql(() => {
      const row = this.#database.get(`SELECT document, sealed FROM gateway_credentials WHERE ${column} = ?`, value);
      if (row === undefined) return null;
      const credential = JSON.parse(String(row.document)) as Omit<GatewayCredential, 'sealed'>;
      return { ...credential, sealed: row.sealed === null ? null : new Uint8Array(row.sealed as Uint8Array) };
    });
  }

  async dropCredential(sessionId: string): Promise<void> {
    const gone = await guardedSql(() =>
      this.#database.run('DELETE FROM gateway_credentials WHERE session_id = ?', sessionId),
    );
    if (gone > 0) void this.#database.cutLog().catch(() => {});
  }

  async dispose(): Promise<void> {
    this.#database.close();
  }
}
