/** People and what they use. */
import type { Entry, EntryKind } from '@lucid-sessions/contract';
import type { MetadataStore } from '@lucid-sessions/storage';
import { Conditions } from './postgres-conditions.ts';
import type { PostgresDatabase, Row } from './postgres-database.ts';

type EntryMethods = Pick<MetadataStore, 'getEntry' | 'putEntry' | 'listEntries' | 'removeEntry' | 'sweepEntries'>;

const entryOf = (row: Row): Entry => ({
  kind: String(row.kind) as EntryKind,
  id: String(row.id),
  owner: row.owner === null ? null : String(row.owner),
  value: JSON.parse(String(row.document)) as Record<string, unknown>,
  version: Number(row.version),
  untilUs: row.until_us === null ? null : Number(row.until_us),
});

const byId = 'SELECT * FROM entries WHERE kind = $1 AND id = $2';

export const entryRows = (database: PostgresDatabase): EntryMethods => ({
  async getEntry(kind, id) {
    const [row] = await database.rows(byId, [kind, id]);
    return row === undefined ? null : entryOf(row);
  },

  putEntry({ kind, id, owner, value, version, untilUs }) {
    const values = [kind, id, owner, version, untilUs, JSON.stringify(value)];
    return database.work(async (session, again) => {
      const changed =
        version === 1
          ? await session.run(
              `INSERT INTO entries (kind, id, owner, version, until_us, document) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT DO NOTHING`,
              values,
            )
          : await session.run(
              `UPDATE entries SET owner = $3, version = $4, until_us = $5, document = $6
                 WHERE kind = $1 AND id = $2 AND version = $4 - 1`,
              values,
            );
      if (changed === 1 || !again) return changed === 1;
      // The answer to the first try was lost: what is there may be what it wrote.
      const [row] = await session.rows(byId, [kind, id]);
      return Number(row?.version) === version && row?.document === values[5] && row?.owner === owner;
    });
  },

  async listEntries({ kind, owner, after, limit }, nowUs) {
    const { where, values } = new Conditions()
      .add('kind = ?', kind)
      .add('owner = ?', owner)
      .add('id > ?', after)
      .add('(until_us IS NULL OR until_us > ?)', nowUs);
    const rows = await database.rows(`SELECT * FROM entries ${where} ORDER BY id LIMIT $${values.length + 1}`, [
      ...values,
      limit,
    ]);
    return rows.map(entryOf);
  },

  async removeEntry(kind, id, version) {
    const removed = await database.run(
      'DELETE FROM entries WHERE kind = $1 AND id = $2 AND version = COALESCE($3, version)',
      [kind, id, version ?? null],
    );
    return removed === 1;
  },

  sweepEntries: (nowUs) => database.run('DELETE FROM entries WHERE until_us <= $1', [nowUs]),
});
