/** Signed records, wrapped keys, audit events. */
import { type AuditRow, auditEventOf, LucidError, type RecordKind } from '@lucid-sessions/contract';
import type { MetadataStore } from '@lucid-sessions/storage';
import { Conditions, pageOf } from './postgres-conditions.ts';
import type { PostgresDatabase } from './postgres-database.ts';

type RecordMethods = Pick<
  MetadataStore,
  | ('putRecord' | 'getRecords' | 'recordsCount' | 'putWraps' | 'getWraps')
  | ('putAudit' | 'knownAudit' | 'auditHead' | 'listAuditRows' | 'countUnchained' | 'listAudit')
>;

const auditPages = {
  table: 'audit',
  documents: 'audit',
  key: 'event_id',
  columns: 'timestamp_us, event_id',
  order: 'timestamp_us DESC, event_id',
  reverse: 'timestamp_us, event_id DESC',
};

export const recordRows = (database: PostgresDatabase): RecordMethods => ({
  putRecord: (sessionId, kind, record, place) =>
    database.transaction(async (session) => {
      // One after the other, so that each sees what the one before has put.
      await session.rows(`SELECT pg_advisory_xact_lock(hashtextextended('records ' || $1, 0))`, [sessionId]);
      const [known] = await session.rows(
        `SELECT COUNT(*) FILTER (WHERE kind = $2) AS place, COALESCE(MAX(sequence), 0) + 1 AS next,
           MIN(sequence) FILTER (WHERE kind = $2 AND record = $3) AS same FROM records WHERE session_id = $1`,
        [sessionId, kind, record],
      );
      if (known?.same !== null) return Number(known?.same);
      if (place !== undefined && Number(known.place) !== place)
        throw new LucidError('conflict', `another ${kind} record took this place; read them again`);
      await session.run('INSERT INTO records (session_id, sequence, kind, record) VALUES ($1, $2, $3, $4)', [
        sessionId,
        Number(known.next),
        kind,
        record,
      ]);
      return Number(known.next);
    }),

  async getRecords(sessionId, kind) {
    const { where, values } = new Conditions().add('session_id = ?', sessionId).add('kind = ?', kind ?? undefined);
    const rows = await database.rows(`SELECT kind, sequence, record FROM records ${where} ORDER BY sequence`, values);
    return rows.map((row) => ({
      kind: String(row.kind) as RecordKind,
      sequence: Number(row.sequence),
      record: row.record as Uint8Array,
    }));
  },

  async recordsCount(sessionId) {
    const [row] = await database.rows('SELECT COUNT(*) AS count FROM records WHERE session_id = $1', [sessionId]);
    return Number(row?.count);
  },

  async putWraps(sessionId, wraps) {
    await database.transaction(async (session) => {
      await session.rows(`SELECT pg_advisory_xact_lock(hashtextextended('wraps ' || $1, 0))`, [sessionId]);
      await session.run('DELETE FROM wraps WHERE session_id = $1', [sessionId]);
      for (const [position, { scheme, recipient, keyId, wrapped }] of wraps.entries())
        await session.run(
          'INSERT INTO wraps (session_id, position, scheme, recipient, key_id, wrapped) VALUES ($1, $2, $3, $4, $5, $6)',
          [sessionId, position, scheme, recipient, keyId, wrapped],
        );
    });
  },

  async getWraps(sessionId) {
    const rows = await database.rows(
      'SELECT scheme, recipient, key_id, wrapped FROM wraps WHERE session_id = $1 ORDER BY position',
      [sessionId],
    );
    return rows.map((row) => ({
      scheme: String(row.scheme),
      recipient: String(row.recipient),
      keyId: String(row.key_id),
      wrapped: row.wrapped as Uint8Array,
    }));
  },

  putAudit: (entries) =>
    database.transaction(async (session) => {
      // One writer after the other, so that none of them is refused for a place it could have had.
      await session.rows(`SELECT pg_advisory_xact_lock(hashtextextended('audit', 0))`);
      const ids = entries.map(({ event }) => event.eventId);
      const places = entries.flatMap(({ row }) => (row === null ? [] : [String(row.sequence)]));
      const taken = await session.rows(
        'SELECT 1 FROM audit WHERE event_id = ANY ($1) OR sequence = ANY ($2::bigint[]) LIMIT 1',
        [ids, places],
      );
      if (taken.length > 0) return false;
      for (const { event, row } of entries)
        await session.run(
          `INSERT INTO audit (event_id, timestamp_us, event_type, user_id, resource_id, document, sequence)
             VALUES ($1, $2, $3, $4, $5, $6, $7)`,
          [
            event.eventId,
            event.timestampUs,
            event.eventType,
            event.userId,
            event.resourceId,
            row?.text ?? JSON.stringify(event),
            row?.sequence ?? null,
          ],
        );
      return true;
    }),

  async knownAudit(eventIds) {
    const rows = await database.rows('SELECT event_id FROM audit WHERE event_id = ANY ($1)', [[...eventIds]]);
    return rows.map((row) => String(row.event_id));
  },

  async auditHead() {
    const [row] = await database.rows(
      'SELECT sequence, document FROM audit WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1',
    );
    return row === undefined ? null : { sequence: Number(row.sequence), text: String(row.document) };
  },

  async listAuditRows({ from, limit }) {
    const rows = await database.rows('SELECT * FROM audit WHERE sequence >= $1 ORDER BY sequence LIMIT $2', [
      from,
      limit,
    ]);
    return rows.map(
      (row): AuditRow => ({
        sequence: Number(row.sequence),
        text: String(row.document),
        eventId: String(row.event_id),
        timestampUs: Number(row.timestamp_us),
        eventType: String(row.event_type),
        userId: row.user_id as string | null,
        resourceId: row.resource_id as string | null,
      }),
    );
  },

  async countUnchained() {
    const [row] = await database.rows('SELECT COUNT(*) AS count FROM audit WHERE sequence IS NULL');
    return Number(row?.count);
  },

  async listAudit(query) {
    const conditions = new Conditions()
      .add('event_type = ?', query.eventType)
      .add('user_id = ?', query.userId)
      .add('resource_id = ?', query.resourceId)
      .add('timestamp_us >= ?', query.fromUs)
      .add('timestamp_us <= ?', query.toUs);
    const { documents, total } = await pageOf(database, auditPages, conditions, query);
    return { events: documents.map(auditEventOf), total };
  },
});
