/** The pipeline's journal, facts, anchor receipts, sealed secrets and credentials of the gateway. */
import type { AnchorReceipt, RecordingFact } from '@lucid-sessions/contract';
import type { GatewayCredential, Journal, JournalStore, ProgressRow } from '@lucid-sessions/pipeline';
import type { PostgresDatabase } from './postgres-database.ts';

/** More facts than any honest session has; a loop in a recorder must not fill the disk. */
const factsMax = 20_000;

export class PostgresJournalStore implements JournalStore {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
    database.share();
  }

  async get(sessionId: string): Promise<Journal | null> {
    const [row] = await this.#database.rows('SELECT document FROM journals WHERE session_id = $1', [sessionId]);
    return row === undefined ? null : (JSON.parse(String(row.document)) as Journal);
  }

  put(journal: Journal): Promise<Journal | null> {
    const { sessionId, version } = journal;
    const unfinished = journal.connected || (journal.endedUs !== null && journal.manifestUs === null);
    const stored = { ...journal, version: version + 1 };
    const document = JSON.stringify(stored);
    return this.#database.work(async (session, again) => {
      const values = [sessionId, unfinished, document, version + 1];
      const changed =
        version === 0
          ? await session.run(
              `INSERT INTO journals (session_id, unfinished, document, version) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (session_id) DO NOTHING`,
              values,
            )
          : await session.run(
              `UPDATE journals SET unfinished = $2, document = $3, version = $4 WHERE session_id = $1 AND version = $5`,
              [...values, version],
            );
      if (changed === 1) return stored;
      const sql = 'SELECT 1 FROM journals WHERE session_id = $1 AND document = $2';
      return again && (await session.rows(sql, [sessionId, document])).length === 1 ? stored : null;
    });
  }

  async list(after: string, limit: number): Promise<string[]> {
    const sql = 'SELECT session_id FROM journals WHERE session_id > $1 ORDER BY session_id LIMIT $2';
    return (await this.#database.rows(sql, [after, limit])).map((row) => String(row.session_id));
  }

  async listUnfinished(): Promise<string[]> {
    const rows = await this.#database.rows('SELECT session_id FROM journals WHERE unfinished ORDER BY session_id');
    return rows.map((row) => String(row.session_id));
  }

  async appendFact(sessionId: string, fact: RecordingFact): Promise<void> {
    await this.#database.transaction(async (session) => {
      await session.rows(`SELECT pg_advisory_xact_lock(hashtextextended('facts ' || $1, 0))`, [sessionId]);
      // A report that came twice; facts carry their time, so equal ones are the same.
      await session.run(
        `INSERT INTO facts (session_id, position, document)
           SELECT $1::text, COUNT(*), $2::text FROM facts WHERE session_id = $1::text
             HAVING COUNT(*) FILTER (WHERE document = $2::text) = 0 AND COUNT(*) < $3::bigint`,
        [sessionId, JSON.stringify(fact), factsMax],
      );
    });
  }

  async listFacts(sessionId: string): Promise<RecordingFact[]> {
    const sql = 'SELECT document FROM facts WHERE session_id = $1 ORDER BY position';
    const rows = await this.#database.rows(sql, [sessionId]);
    return rows.map((row) => JSON.parse(String(row.document)) as RecordingFact);
  }

  async putReceipt(sessionId: string, receipt: AnchorReceipt): Promise<void> {
    await this.#database.run(
      `INSERT INTO receipts (session_id, backend, document) VALUES ($1, $2, $3)
         ON CONFLICT (session_id, backend) DO UPDATE SET document = excluded.document`,
      [sessionId, receipt.backend, JSON.stringify(receipt)],
    );
  }

  async listReceipts(sessionId: string): Promise<AnchorReceipt[]> {
    const sql = 'SELECT document FROM receipts WHERE session_id = $1 ORDER BY backend';
    const rows = await this.#database.rows(sql, [sessionId]);
    return rows.map((row) => JSON.parse(String(row.document)) as AnchorReceipt);
  }

  /** Sent again because its answer was lost, it finds its own row. */
  async putProgress({ spanUs, atUs, heads }: ProgressRow): Promise<boolean> {
    return this.#database.work(async (session, again) => {
      const put = 'INSERT INTO progress (span_us, at_us, heads) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING';
      if ((await session.run(put, [spanUs, atUs, heads])) === 1) return true;
      const same = 'SELECT 1 FROM progress WHERE span_us = $1 AND at_us = $2 AND heads = $3';
      return again && (await session.rows(same, [spanUs, atUs, heads])).length === 1;
    });
  }

  async getProgress(spanUs: number): Promise<ProgressRow | null> {
    const [row] = await this.#database.rows('SELECT at_us, heads FROM progress WHERE span_us = $1', [spanUs]);
    return row === undefined ? null : { spanUs, atUs: Number(row.at_us), heads: row.heads as Uint8Array };
  }

  async progressSpans(fromUs: number, untilUs: number, limit: number): Promise<number[]> {
    const sql = 'SELECT span_us FROM progress WHERE span_us BETWEEN $1 AND $2 ORDER BY span_us DESC LIMIT $3';
    return (await this.#database.rows(sql, [fromUs, untilUs, limit])).map((row) => Number(row.span_us));
  }

  async putSealed(sessionId: string, name: string, sealed: Uint8Array): Promise<void> {
    await this.#database.run(
      `INSERT INTO sealed (session_id, name, sealed) VALUES ($1, $2, $3)
         ON CONFLICT (session_id, name) DO UPDATE SET sealed = excluded.sealed`,
      [sessionId, name, sealed],
    );
  }

  async getSealed(sessionId: string, name: string): Promise<Uint8Array | null> {
    const sql = 'SELECT sealed FROM sealed WHERE session_id = $1 AND name = $2';
    const [row] = await this.#database.rows(sql, [sessionId, name]);
    return row === undefined ? null : (row.sealed as Uint8Array);
  }

  async listSealed(): Promise<{ sessionId: string; name: string }[]> {
    const rows = await this.#database.rows('SELECT session_id, name FROM sealed ORDER BY session_id, name');
    return rows.map((row) => ({ sessionId: String(row.session_id), name: String(row.name) }));
  }

  async dropSealed(sessionId: string, name?: string): Promise<void> {
    const sql = 'DELETE FROM sealed WHERE session_id = $1 AND name = COALESCE($2, name)';
    await this.#database.run(sql, [sessionId, name ?? null]);
  }

  async putCredential({ sealed, ...credential }: GatewayCredential): Promise<void> {
    const { sessionId, user } = credential;
    await this.#database.transaction(async (session) => {
      const others = 'DELETE FROM gateway_credentials WHERE user_name = $1 AND session_id <> $2';
      await session.run(others, [user, sessionId]);
      await session.run(
        `INSERT INTO gateway_credentials (session_id, user_name, document, sealed) VALUES ($1, $2, $3, $4)
           ON CONFLICT (session_id) DO UPDATE SET user_name = excluded.user_name, document = excluded.document,
             sealed = excluded.sealed`,
        [sessionId, user, JSON.stringify(credential), sealed],
      );
    });
  }

  findCredential(user: string): Promise<GatewayCredential | null> {
    return this.#credential('user_name', user);
  }
  credentialOf(sessionId: string): Promise<GatewayCredential | null> {
    return this.#credential('session_id', sessionId);
  }

  async #credential(column: 'user_name' | 'session_id', value: string): Promise<GatewayCredential | null> {
    const sql = `SELECT document, sealed FROM gateway_credentials WHERE ${column} = $1`;
    const [row] = await this.#database.rows(sql, [value]);
    if (row === undefined) return null;
    const credential = JSON.parse(String(row.document)) as Omit<GatewayCredential, 'sealed'>;
    return { ...credential, sealed: row.sealed as Uint8Array | null };
  }

  async dropCredential(sessionId: string): Promise<void> {
    await this.#database.run('DELETE FROM gateway_credentials WHERE session_id = $1', [sessionId]);
  }

  dispose(): Promise<void> {
    return this.#database.dispose();
  }
}
