/** Leases, heads of chains, and rows of chunks. */
import type { ChunkMetadata } from '@lucid-sessions/contract';
import type { ChainHead, ChunkRow, Lease, MetadataStore } from '@lucid-sessions/storage';
import { Conditions } from './postgres-conditions.ts';
import type { PostgresDatabase, Row, Session, Value } from './postgres-database.ts';

type ChunkMethods = Pick<
  MetadataStore,
  | 'acquireLease'
  | 'releaseLease'
  | 'getLease'
  | 'getHead'
  | 'appendChunk'
  | 'completeChunk'
  | 'getChunk'
  | 'listChunks'
  | 'chainTotals'
  | 'listChains'
  | 'purgeChain'
  | 'totals'
>;

const columns = `session_id, chunk_index, chunk_id, leaf_hash, file_sha256, file_bytes, payload_bytes, compression,
  stored_at_us, opened_us, closed_us, frames_count, updates_count, flags, storage_path, key_id, sealed_leaf, rebuilt`;

const valuesOf = ({ metadata, sealedLeaf, rebuilt }: ChunkRow): Value[] => [
  metadata.sessionId,
  metadata.index,
  metadata.chunkId,
  metadata.leafHash,
  metadata.fileSha256,
  metadata.fileBytes,
  metadata.payloadBytes,
  metadata.compression,
  metadata.storedAtUs,
  metadata.openedUs,
  metadata.closedUs,
  metadata.framesCount ?? 0,
  metadata.updatesCount ?? 0,
  metadata.flags,
  metadata.storagePath,
  metadata.keyId,
  sealedLeaf,
  rebuilt,
];

/** Who knows how long a payload is has opened it. */
const isCounted = (row: Row): boolean => row.rebuilt !== true || Number(row.payload_bytes) > 0;

const metadataOf = (row: Row): ChunkMetadata => ({
  sessionId: String(row.session_id),
  chunkId: String(row.chunk_id),
  index: Number(row.chunk_index),
  leafHash: String(row.leaf_hash),
  fileSha256: String(row.file_sha256),
  fileBytes: Number(row.file_bytes),
  payloadBytes: Number(row.payload_bytes),
  compression: String(row.compression) as ChunkMetadata['compression'],
  storedAtUs: Number(row.stored_at_us),
  openedUs: Number(row.opened_us),
  closedUs: Number(row.closed_us),
  framesCount: isCounted(row) ? Number(row.frames_count) : null,
  updatesCount: row.rebuilt === true ? null : Number(row.updates_count),
  flags: Number(row.flags),
  storagePath: String(row.storage_path),
  keyId: String(row.key_id),
});

const leaseOf = (row: Row): Lease => ({
  owner: String(row.owner),
  epoch: Number(row.epoch),
  expiresUs: Number(row.expires_us),
});

async function leaseIn(session: Session, sessionId: string): Promise<Lease | null> {
  const [row] = await session.rows('SELECT owner, epoch, expires_us FROM leases WHERE session_id = $1', [sessionId]);
  return row === undefined ? null : leaseOf(row);
}

/**
 * One statement, and so one wait for the disk: the lease is held fast, the head goes forward where it is as expected, and only then
 * comes the row. $19: epoch, null where none is asked for; $20: expected leaf hash.
 */
const append = (head: string) => `
  WITH held AS (SELECT 1 AS yes FROM leases WHERE session_id = $1::text AND epoch = $19::bigint FOR SHARE),
    allowed AS (SELECT 1 AS yes FROM held UNION ALL SELECT 1 WHERE $19::bigint IS NULL),
    head AS (${head})
  INSERT INTO chunks (${columns})
    SELECT $1::text, $2::bigint, $3::text, $4::text, $5::text, $6::bigint, $7::bigint, $8::text, $9::bigint, $10::bigint,
      $11::bigint, $12::bigint, $13::bigint, $14::bigint, $15::text, $16::text, $17::bytea, $18::boolean FROM head`;

const appendFirst = append(`
  INSERT INTO chains (session_id, count, leaf_hash, stored_bytes, payload_bytes)
    SELECT $1::text, 1, $4::text, $6::bigint, $7::bigint FROM allowed WHERE $2::bigint = 0 AND $20::text IS NULL
    ON CONFLICT DO NOTHING RETURNING 1`);
const appendNext = append(`
  UPDATE chains SET count = count + 1, leaf_hash = $4::text, stored_bytes = stored_bytes + $6::bigint,
      payload_bytes = payload_bytes + $7::bigint
    FROM allowed WHERE session_id = $1::text AND count = $2::bigint AND leaf_hash IS NOT DISTINCT FROM $20::text RETURNING 1`);

async function appendIn(session: Session, row: ChunkRow, expected: ChainHead, epoch: number | null): Promise<boolean> {
  if (expected.count !== row.metadata.index) return false;
  const sql = expected.count === 0 ? appendFirst : appendNext;
  return (await session.run(sql, [...valuesOf(row), epoch, expected.leafHash])) === 1;
}

/** One that was lost on the way is there, and at the head. */
async function isAppended(session: Session, { metadata, sealedLeaf }: ChunkRow): Promise<boolean> {
  const rows = await session.rows(
    `SELECT 1 FROM chunks JOIN chains USING (session_id) WHERE session_id = $1 AND chunk_index = $2 AND chunks.leaf_hash = $3
       AND sealed_leaf = $4 AND stored_at_us = $5 AND chains.count > chunk_index`,
    [metadata.sessionId, metadata.index, metadata.leafHash, sealedLeaf, metadata.storedAtUs],
  );
  return rows.length === 1;
}

export const chunkRows = (database: PostgresDatabase): ChunkMethods => ({
  acquireLease: (sessionId, owner, nowUs, expiresUs) =>
    database.work(async (session) => {
      for (;;) {
        const [taken] = await session.rows(
          `INSERT INTO leases AS held (session_id, owner, epoch, expires_us) VALUES ($1, $2, 1, $4)
             ON CONFLICT (session_id) DO UPDATE SET owner = excluded.owner, expires_us = excluded.expires_us,
               epoch = held.epoch + CASE WHEN held.owner = excluded.owner THEN 0 ELSE 1 END
             WHERE held.owner = excluded.owner OR held.expires_us <= $3 RETURNING owner, epoch, expires_us`,
          [sessionId, owner, nowUs, expiresUs],
        );
        if (taken !== undefined) return { acquired: true, lease: leaseOf(taken) };
        const lease = await leaseIn(session, sessionId);
        // Purged in between: it is there to be taken.
        if (lease !== null) return { acquired: false, lease };
      }
    }),

  async releaseLease(sessionId, owner) {
    await database.run('UPDATE leases SET expires_us = 0 WHERE session_id = $1 AND owner = $2', [sessionId, owner]);
  },

  getLease: (sessionId) => database.work((session) => leaseIn(session, sessionId)),

  async getHead(sessionId) {
    const sql = 'SELECT count, leaf_hash, stored_bytes FROM chains WHERE session_id = $1';
    const [row] = await database.rows(sql, [sessionId]);
    if (row === undefined) return { count: 0, leafHash: null, storedBytes: 0 };
    return {
      count: Number(row.count),
      leafHash: row.leaf_hash as string | null,
      storedBytes: Number(row.stored_bytes),
    };
  },

  appendChunk: (row, expected, epoch) =>
    database.work(
      async (session, again) =>
        (await appendIn(session, row, expected, epoch)) || (again && (await isAppended(session, row))),
    ),

  async completeChunk(row) {
    const { sessionId, index, leafHash, payloadBytes } = row.metadata;
    await database.transaction(async (session) => {
      const [rebuilt] = await session.rows(
        `SELECT payload_bytes FROM chunks WHERE session_id = $1 AND chunk_index = $2 AND leaf_hash = $3 AND rebuilt FOR UPDATE`,
        [sessionId, index, leafHash],
      );
      if (rebuilt === undefined) return;
      await session.run('DELETE FROM chunks WHERE session_id = $1 AND chunk_index = $2', [sessionId, index]);
      await session.run(
        `INSERT INTO chunks (${columns})
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
        valuesOf(row),
      );
      await session.run('UPDATE chains SET payload_bytes = payload_bytes + $1 WHERE session_id = $2', [
        payloadBytes - Number(rebuilt.payload_bytes),
        sessionId,
      ]);
    });
  },

  async getChunk(sessionId, index) {
    const sql = `SELECT ${columns} FROM chunks WHERE session_id = $1 AND chunk_index = $2`;
    const [row] = await database.rows(sql, [sessionId, index]);
    if (row === undefined) return null;
    return {
      metadata: metadataOf(row),
      sealedLeaf: row.sealed_leaf as Uint8Array,
      rebuilt: row.rebuilt === true,
    };
  },

  async listChunks(query) {
    const { sessionId, limit, offset, fromUs, toUs } = query;
    const { chunks, total } = await database.transaction(
      (session) =>
        fromUs === undefined && toUs === undefined
          ? chunksFrom(session, sessionId, limit, offset)
          : chunksWithin(session, query),
      'snapshot',
    );
    return { chunks: chunks.map(metadataOf), total };
  },

  async chainTotals(sessionId) {
    const [row] = await database.rows(
      `SELECT COUNT(*) AS chunks, COALESCE(SUM(file_bytes), 0)::bigint AS stored,
         COALESCE(SUM(payload_bytes), 0)::bigint AS payload, COALESCE(SUM(frames_count), 0)::bigint AS frames,
         COALESCE(SUM(updates_count), 0)::bigint AS updates, COUNT(*) FILTER (WHERE rebuilt) AS rebuilt,
         COUNT(*) FILTER (WHERE rebuilt AND payload_bytes = 0) AS uncounted,
         COALESCE(SUM(GREATEST(0, stored_at_us - closed_us)), 0)::bigint AS line FROM chunks WHERE session_id = $1`,
      [sessionId],
    );
    return {
      chunksCount: Number(row?.chunks),
      storedBytes: Number(row?.stored),
      payloadBytes: Number(row?.payload),
      framesCount: Number(row?.uncounted) > 0 ? null : Number(row?.frames),
      updatesCount: Number(row?.rebuilt) > 0 ? null : Number(row?.updates),
      lineUs: Number(row?.line),
    };
  },

  async listChains(after, limit) {
    const sql = 'SELECT session_id FROM chains WHERE session_id > $1 ORDER BY session_id LIMIT $2';
    return (await database.rows(sql, [after, limit])).map(({ session_id }) => String(session_id));
  },

  async purgeChain(sessionId) {
    await database.transaction(async (session) => {
      for (const table of ['leases', 'chains', 'chunks', 'wraps'])
        await session.run(`DELETE FROM ${table} WHERE session_id = $1`, [sessionId]);
    });
  },

  async totals() {
    const [row] = await database.rows(
      `SELECT COALESCE(SUM(count), 0)::bigint AS chunks, COALESCE(SUM(stored_bytes), 0)::bigint AS stored,
         COALESCE(SUM(payload_bytes), 0)::bigint AS payload FROM chains`,
    );
    return {
      chunksCount: Number(row?.chunks),
      storedBytes: Number(row?.stored),
      payloadBytes: Number(row?.payload),
    };
  },
});

/** A chain has no holes: a place in the list is an index, and its length that of the chain. */
async function chunksFrom(session: Session, sessionId: string, limit: number, offset: number) {
  const chunks = await session.rows(
    `SELECT ${columns} FROM chunks WHERE session_id = $1 AND chunk_index >= $2 AND chunk_index < $3 ORDER BY chunk_index`,
    [sessionId, offset, offset + limit],
  );
  const [head] = await session.rows('SELECT count FROM chains WHERE session_id = $1', [sessionId]);
  return { chunks, total: Number(head?.count ?? 0) };
}

async function chunksWithin(session: Session, query: Parameters<MetadataStore['listChunks']>[0]) {
  const { where, values } = new Conditions()
    .add('session_id = ?', query.sessionId)
    .add('closed_us >= ?', query.fromUs)
    .add('opened_us <= ?', query.toUs);
  const chunks = await session.rows(
    `SELECT ${columns} FROM chunks ${where} ORDER BY chunk_index LIMIT $${values.length + 1} OFFSET $${values.length + 2}`,
    [...values, query.limit, query.offset],
  );
  const [counted] = await session.rows(`SELECT COUNT(*) AS total FROM chunks ${where}`, values);
  return { chunks, total: Number(counted?.total) };
}
