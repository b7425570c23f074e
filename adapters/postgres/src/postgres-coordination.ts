/** `Coordination` of several pipelines: each call is one statement that the row's lock makes one after the other. */
import { randomUUID } from 'node:crypto';
import { agreedText, checkAgreedNames, checkAgreedPage } from '@lucid-sessions/contract';
import type { Agreed, AgreedLease, Coordination } from '@lucid-sessions/pipeline';
import type { PostgresDatabase, Row } from './postgres-database.ts';

const agreedOf = (row: Row): Agreed => ({
  key: String(row.key),
  value: JSON.parse(String(row.value)) as unknown,
  version: Number(row.version),
  untilUs: Number(row.until_us),
});

const leaseOf = (row: Row): AgreedLease => ({
  owner: String(row.owner),
  epoch: Number(row.epoch),
  expiresUs: Number(row.expires_us),
});

/** Versions and epochs come from one sequence, taken behind the row's lock: they grow. */
const next = `nextval('agreed_numbers')`;

export class PostgresCoordination implements Coordination {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
    database.share();
  }

  async get(space: string, key: string, nowUs: number): Promise<Agreed | null> {
    checkAgreedNames(space, key);
    const [row] = await this.#database.rows(
      'SELECT key, value, version, until_us FROM agreed WHERE space = $1 AND key = $2 AND until_us > $3',
      [space, key, nowUs],
    );
    return row === undefined ? null : agreedOf(row);
  }

  async put(
    space: string,
    { key, value, untilUs, expected }: { key: string; value: unknown; untilUs: number; expected: number | null },
    nowUs: number,
  ): Promise<number | null> {
    checkAgreedNames(space, key);
    const writer = randomUUID();
    const values = [space, key, agreedText(value), untilUs, writer, nowUs];
    return this.#database.work(async (session, again) => {
      const [row] =
        expected === null
          ? await session.rows(
              `INSERT INTO agreed (space, key, value, until_us, writer, version) VALUES ($1, $2, $3, $4, $5, ${next})
                 ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, until_us = excluded.until_us,
                   writer = excluded.writer, version = ${next} WHERE agreed.until_us <= $6 RETURNING version`,
              values,
            )
          : await session.rows(
              `UPDATE agreed SET value = $3, until_us = $4, writer = $5, version = ${next}
                 WHERE space = $1 AND key = $2 AND until_us > $6 AND version = $7 RETURNING version`,
              [...values, expected],
            );
      if (row !== undefined) return Number(row.version);
      if (!again) return null;
      const sql = 'SELECT version FROM agreed WHERE space = $1 AND key = $2 AND writer = $3';
      const [own] = await session.rows(sql, [space, key, writer]);
      return own === undefined ? null : Number(own.version);
    });
  }

  async remove(space: string, key: string, expected?: number): Promise<boolean> {
    checkAgreedNames(space, key);
    const removed = await this.#database.run(
      'DELETE FROM agreed WHERE space = $1 AND key = $2 AND version = COALESCE($3, version)',
      [space, key, expected ?? null],
    );
    return removed === 1;
  }

  async list(space: string, { after, limit }: { after: string; limit: number }, nowUs: number): Promise<Agreed[]> {
    checkAgreedNames(space);
    checkAgreedPage(limit);
    const rows = await this.#database.rows(
      `SELECT key, value, version, until_us FROM agreed WHERE space = $1 AND key > $2 AND until_us > $3
         ORDER BY key LIMIT $4`,
      [space, after, nowUs, limit],
    );
    return rows.map(agreedOf);
  }

  async count(space: string, nowUs: number): Promise<number> {
    checkAgreedNames(space);
    const sql = 'SELECT COUNT(*) AS count FROM agreed WHERE space = $1 AND until_us > $2';
    return Number((await this.#database.rows(sql, [space, nowUs]))[0]?.count);
  }

  async acquire(
    name: string,
    owner: string,
    expiresUs: number,
    nowUs: number,
  ): Promise<{ acquired: boolean; lease: AgreedLease }> {
    checkAgreedNames(name, owner);
    return this.#database.work(async (session) => {
      for (;;) {
        const [taken] = await session.rows(
          `INSERT INTO agreed_leases AS held (name, owner, epoch, expires_us) VALUES ($1, $2, ${next}, $3)
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires_us = excluded.expires_us,
               touched_at = clock_timestamp(),
               epoch = CASE WHEN held.owner = excluded.owner AND held.expires_us > $4 THEN held.epoch ELSE ${next} END
             WHERE held.owner = excluded.owner OR held.expires_us <= $4 RETURNING owner, epoch, expires_us`,
          [name, owner, expiresUs, nowUs],
        );
        if (taken !== undefined) return { acquired: true, lease: leaseOf(taken) };
        const sql = 'SELECT owner, epoch, expires_us FROM agreed_leases WHERE name = $1 AND expires_us > $2';
        const [held] = await session.rows(sql, [name, nowUs]);
        // Let go of in between: it is there to be taken.
        if (held !== undefined) return { acquired: false, lease: leaseOf(held) };
      }
    });
  }

  async owner(name: string, nowUs: number): Promise<AgreedLease | null> {
    checkAgreedNames(name);
    const sql = 'SELECT owner, epoch, expires_us FROM agreed_leases WHERE name = $1 AND expires_us > $2';
    const [row] = await this.#database.rows(sql, [name, nowUs]);
    return row === undefined ? null : leaseOf(row);
  }

  async release(name: string, owner: string): Promise<void> {
    checkAgreedNames(name, owner);
    await this.#database.run(
      'UPDATE agreed_leases SET expires_us = 0, touched_at = clock_timestamp() WHERE name = $1 AND owner = $2',
      [name, owner],
    );
  }

  /** Leases stay for an hour behind their last change: a statement that waits has taken its number already. */
  async sweep(nowUs: number): Promise<number> {
    await this.#database.run(
      `DELETE FROM agreed_leases WHERE expires_us <= $1 AND touched_at < clock_timestamp() - interval '1 hour'`,
      [nowUs],
    );
    return this.#database.run('DELETE FROM agreed WHERE until_us <= $1', [nowUs]);
  }

  async ping(): Promise<void> {
    await this.#database.rows('SELECT 1');
  }

  dispose(): Promise<void> {
    return this.#database.dispose();
  }
}
