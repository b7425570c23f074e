/** Metadata in one SQLite file. Documents are JSON beside the columns they are found by. */
import {
  type AuditEvent,
  type AuditRow,
  auditEventOf,
  type ChunkMetadata,
  type Entry,
  type EntryKind,
  type KeyWrap,
  LucidError,
  mstscNameLength,
  type RecordKind,
  type SessionDocument,
  type SessionQuery,
  type SessionStatus,
} from '@lucid-sessions/contract';
import type {
  AuditEntry,
  AuditQuery,
  ChainHead,
  ChainTotals,
  ChunkRow,
  EntryQuery,
  Lease,
  MetadataStore,
  StoredSession,
} from '@lucid-sessions/storage';
import { Conditions } from './sqlite-conditions.ts';
import { bytesOf, guardedSql, type Migration, type Row, SqliteDatabase, textOrNull } from './sqlite-database.ts';
import { entryTable, SqliteEntries } from './sqlite-entries.ts';
import { GroupCommit } from './sqlite-group-commit.ts';
import { SqliteSessionList, sessionListTables } from './sqlite-session-list.ts';
import { pageOfSessions } from './sqlite-session-page.ts';

const routable = "'starting', 'created', 'recording', 'paused'";

/** What a client may call a session, each by the index in which its beginning is: its user with and without the domain. */
const names = {
  sessions_by_user: 'cookie',
  sessions_by_bare_user: `substr(cookie, instr(cookie, '\\') + 1)`,
  sessions_by_domain_user: `lower(json_extract(document, '$.rdp_config.domain')) || '\\' || cookie`,
};
const beginning = (name: string) => `substr(${name}, 1, ${mstscNameLength})`;
const isNamed = `cookie IS NOT NULL AND status IN (${routable})`;

const countedBy = ['status', 'project', 'environment'];
/** One row more or less for a session as `row` (NEW or OLD) says it. */
const countSession = (row: string, change: number) => {
  const values = countedBy.map((column) => `${row}.${column}`);
  return `INSERT INTO session_counts (key, ${countedBy.join(', ')}, count)
     VALUES (${values.map((value) => `quote(${value})`).join(` || ' ' || `)}, ${values.join(', ')}, ${change})
     ON CONFLICT (key) DO UPDATE SET count = count + excluded.count;`;
};

const migrations: readonly Migration[] = [
  `CREATE TABLE sessions (
     session_id TEXT PRIMARY KEY, version INTEGER NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL,
     project TEXT, environment TEXT, search TEXT NOT NULL, cookie TEXT, route_token TEXT UNIQUE, document TEXT NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX sessions_by_time ON sessions (created_at DESC, session_id);
   CREATE INDEX sessions_by_status ON sessions (status, created_at DESC);
   CREATE INDEX sessions_by_cookie ON sessions (cookie, status) WHERE cookie IS NOT NULL;
   CREATE TABLE leases (
     session_id TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch INTEGER NOT NULL, expires_us INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE TABLE chains (
     session_id TEXT PRIMARY KEY, count INTEGER NOT NULL, leaf_hash TEXT, stored_bytes INTEGER NOT NULL,
     payload_bytes INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE TABLE chunks (
     session_id TEXT NOT NULL, chunk_index INTEGER NOT NULL, chunk_id TEXT NOT NULL, leaf_hash TEXT NOT NULL,
     file_sha256 TEXT NOT NULL, file_bytes INTEGER NOT NULL, payload_bytes INTEGER NOT NULL, compression TEXT NOT NULL,
     stored_at_us INTEGER NOT NULL, opened_us INTEGER NOT NULL, closed_us INTEGER NOT NULL, frames_count INTEGER NOT NULL,
     updates_count INTEGER NOT NULL, flags INTEGER NOT NULL, storage_path TEXT NOT NULL, key_id TEXT NOT NULL,
     sealed_leaf BLOB NOT NULL, rebuilt INTEGER NOT NULL, PRIMARY KEY (session_id, chunk_index)
   ) WITHOUT ROWID;
   CREATE TABLE records (
     session_id TEXT NOT NULL, sequence INTEGER NOT NULL, kind TEXT NOT NULL, record BLOB NOT NULL,
     PRIMARY KEY (session_id, sequence)
   ) WITHOUT ROWID;
   CREATE TABLE wraps (
     session_id TEXT NOT NULL, position INTEGER NOT NULL, scheme TEXT NOT NULL, recipient TEXT NOT NULL,
     key_id TEXT NOT NULL, wrapped BLOB NOT NULL, PRIMARY KEY (session_id, position)
   ) WITHOUT ROWID;
   CREATE TABLE audit (
     event_id TEXT PRIMARY KEY, timestamp_us INTEGER NOT NULL, event_type TEXT NOT NULL, user_id TEXT, resource_id TEXT,
     document TEXT NOT NULL
   ) WITHOUT ROWID;
   CREATE INDEX audit_by_time ON audit (timestamp_us DESC, event_id);
   CREATE INDEX audit_by_resource ON audit (resource_id, timestamp_us DESC);
   CREATE INDEX audit_by_user ON audit (user_id, timestamp_us DESC);`,
  // Lists and their counts are read from an index alone.
  `DROP INDEX sessions_by_time;
   CREATE INDEX sessions_by_time ON sessions (created_at DESC, session_id, status) WHERE status <> 'deleted';
   CREATE INDEX sessions_by_words ON sessions (created_at DESC, session_id, status, project, environment, search);
   CREATE INDEX sessions_by_project ON sessions (project, created_at DESC, session_id, environment, status);
   CREATE INDEX sessions_by_environment ON sessions (environment, created_at DESC, session_id, status);`,
  `DROP INDEX sessions_by_cookie;
   ${Object.entries(names)
     .map(
       ([index, name]) => `CREATE INDEX ${index} ON sessions (${beginning(name)}, status, ${name}) WHERE ${isNamed};`,
     )
     .join('\n')}`,
  entryTable,
  // Lists say how many there are: counted as they change, a page of a long list costs no more than one of a short.
  `CREATE TABLE session_counts (
     key TEXT PRIMARY KEY, status TEXT NOT NULL, project TEXT, environment TEXT, count INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE TRIGGER sessions_counted AFTER INSERT ON sessions BEGIN ${countSession('NEW', 1)} END;
   CREATE TRIGGER sessions_uncounted AFTER DELETE ON sessions BEGIN ${countSession('OLD', -1)} END;
   CREATE TRIGGER sessions_recounted AFTER UPDATE OF ${countedBy.join(', ')} ON sessions
     WHEN ${countedBy.map((column) => `OLD.${column} IS NOT NEW.${column}`).join(' OR ')}
     BEGIN ${countSession('OLD', -1)} ${countSession('NEW', 1)} END;
   INSERT INTO session_counts (key, ${countedBy.join(', ')}, count)
     SELECT ${countedBy.map((column) => `quote(${column})`).join(` || ' ' || `)}, ${countedBy.join(', ')}, COUNT(*)
     FROM sessions GROUP BY ${countedBy.join(', ')};`,
  `CREATE INDEX sessions_held ON sessions (created_at DESC, session_id, status, project, environment, search) WHERE json_extract(document, '$.holds') IS NOT NULL;`,
  // Rows of the chain; those from before there was one have no place in it.
  `ALTER TABLE audit ADD COLUMN sequence INTEGER;
   CREATE UNIQUE INDEX audit_by_sequence ON audit (sequence) WHERE sequence IS NOT NULL;`,
  (database) => {
    database.exec(sessionListTables);
    const list = new SqliteSessionList(database);
    for (const row of database.each('SELECT document FROM sessions ORDER BY created_at')) list.add(documentOf(row)!);
  },
  // Sessions are found by what scopes are made of.
  (database) => {
    const list = new SqliteSessionList(database);
    for (const row of database.each('SELECT document FROM sessions')) list.addMissingWords(documentOf(row)!);
  },
  // A search that most sessions fit, or of fewer than three characters, reads all words and nothing else.
  `CREATE INDEX list_of_words ON session_list (search) WHERE status <> 'deleted';`,
];

const documentOf = (row: Row | undefined): SessionDocument | null =>
  row === undefined ? null : (JSON.parse(String(row.document)) as SessionDocument);

/** The columns a session is found by, in the order of the statements below. */
const sessionColumns = (session: SessionDocument) =>
  [
    session.version,
    session.status,
    session.created_at,
    session.metadata.project ?? null,
    session.metadata.environment ?? null,
    session.rdp_config.username?.toLowerCase() ?? null,
    JSON.stringify(session),
  ] as const;

/** Armed sessions go first, then those under way. */
const turns = [`status = 'starting'`, `status IN ('recording', 'paused')`, `status = 'created'`];

/** Who knows how long a payload is has opened it. */
const isCounted = (row: Row): boolean => row.rebuilt !== 1 || Number(row.payload_bytes) > 0;

function metadataOf(row: Row): ChunkMetadata {
  return {
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
    updatesCount: row.rebuilt === 1 ? null : Number(row.updates_count),
    flags: Number(row.flags),
    storagePath: String(row.storage_path),
    keyId: String(row.key_id),
  };
}

interface Append {
  readonly row: ChunkRow;
  readonly expected: ChainHead;
  readonly epoch: number | null;
}

export class SqliteMetadataStore implements MetadataStore {
  readonly #database: SqliteDatabase;
  readonly #appends: GroupCommit<Append, boolean>;
  readonly #entries: SqliteEntries;
  readonly #list: SqliteSessionList;

  /** `path`: a file, or `:memory:`. */
  constructor(path: string) {
    this.#database = new SqliteDatabase(path, migrations);
    this.#entries = new SqliteEntries(this.#database);
    this.#list = new SqliteSessionList(this.#database);
    this.#appends = new GroupCommit(this.#database, (append) => this.#append(append));
  }

  async insertSession(session: SessionDocument, routeTokenSha256: string | null): Promise<boolean> {
    return guardedSql(() =>
      this.#database.transaction(() => {
        const inserted = this.#database.run(
          `INSERT INTO sessions (version, status, created_at, project, environment, cookie, document, session_id, route_token)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          ...sessionColumns(session),
          session.session_id,
          routeTokenSha256,
        );
        if (inserted === 1) this.#list.add(session);
        return inserted === 1;
      }),
    );
  }

  async getSession(sessionId: string): Promise<SessionDocument | null> {
    return guardedSql(() =>
      documentOf(this.#database.get('SELECT document FROM sessions WHERE session_id = ?', sessionId)),
    );
  }

  async setRouteToken(sessionId: string, tokenSha256: string | null): Promise<boolean> {
    return guardedSql(
      () =>
        this.#database.run('UPDATE sessions SET route_token = ? WHERE session_id = ?', tokenSha256, sessionId) === 1,
    );
  }

  async findByToken(tokenSha256: string): Promise<SessionDocument | null> {
    return guardedSql(() =>
      documentOf(this.#database.get('SELECT document FROM sessions WHERE route_token = ?', tokenSha256)),
    );
  }

  /**
   * By id, or by user name: of the sessions that could be meant, exactly one must fit. What is the id of one and the name of
   * another leads to neither: it would give a session to whoever has the name. An id of a session that is over names it last.
   */
  async findByCookie(cookie: string): Promise<SessionDocument | null> {
    return guardedSql(() => {
      const documentById = (id: string) =>
        documentOf(this.#database.get('SELECT document FROM sessions WHERE session_id = ?', id));
      const byId = documentById(cookie);
      const [named, other] = this.#namedBy(cookie, byId?.session_id);
      if (named === undefined) return byId;
      if (other !== undefined || (byId !== null && routable.includes(`'${byId.status}'`))) return null;
      return documentById(named);
    });
  }

  /** Ids of those whose turn it is; a name that is whole goes before one that was cut. Of many with one name only some. */
  #namedBy(cookie: string, exceptId: string | undefined): string[] {
    const sought = cookie.toLowerCase();
    const comparisons = [...sought].length === mstscNameLength ? ['=', '<>'] : ['='];
    for (const turn of turns)
      for (const comparison of comparisons) {
        const selects = Object.entries(names).map(
          ([index, name]) => `SELECT session_id FROM sessions INDEXED BY ${index}
             WHERE ${isNamed} AND ${turn} AND ${beginning(name)} = ${beginning('?')} AND ${name} ${comparison} ?`,
        );
        // Three sessions, each by all its names.
        const rows = this.#database.all(
          `${selects.join(' UNION ALL ')} LIMIT 9`,
          ...selects.flatMap(() => [sought, sought]),
        );
        const ids = [...new Set(rows.map((row) => String(row.session_id)))].filter((id) => id !== exceptId);
        if (ids.length > 0) return ids;
      }
    return [];
  }

  async listSessions(query: SessionQuery): Promise<{ sessions: SessionDocument[]; total: number }> {
    return guardedSql(() => {
      const { documents, total } = pageOfSessions(this.#database, query);
      return { sessions: documents.map((document) => JSON.parse(document) as SessionDocument), total };
    });
  }

  async listStored(after: string, limit: number): Promise<StoredSession[]> {
    return guardedSql(() =>
      this.#database
        .all(
          'SELECT document, route_token FROM sessions WHERE session_id > ? ORDER BY session_id LIMIT ?',
          after,
          limit,
        )
        .map((row) => ({ session: documentOf(row)!, routeTokenSha256: textOrNull(row.route_token) })),
    );
  }

  async countSessions(): Promise<Partial<Record<SessionStatus, number>>> {
    return guardedSql(() =>
      Object.fromEntries(
        this.#database
          .all('SELECT status, SUM(count) AS count FROM session_counts GROUP BY status HAVING SUM(count) > 0')
          .map((row) => [String(row.status), Number(row.count)]),
      ),
    );
  }

  async replaceSession(session: SessionDocument, expectedVersion: number): Promise<boolean> {
    const { session_id: sessionId } = session;
    return guardedSql(() =>
      this.#database.transaction(() => {
        const sql = 'SELECT document FROM sessions WHERE session_id = ? AND version = ?';
        const before = documentOf(this.#database.get(sql, sessionId, expectedVersion));
        if (before === null) return false;
        this.#database.run(
          `UPDATE sessions SET version = ?, status = ?, created_at = ?, project = ?, environment = ?, cookie = ?, document = ?
             WHERE session_id = ?`,
          ...sessionColumns(session),
          sessionId,
        );
        this.#list.change(before, session);
        return true;
      }),
    );
  }

  #lease(sessionId: string): Lease | null {
    const row = this.#database.get('SELECT owner, epoch, expires_us FROM leases WHERE session_id = ?', sessionId);
    if (row === undefined) return null;
    return { owner: String(row.owner), epoch: Number(row.epoch), expiresUs: Number(row.expires_us) };
  }

  async acquireLease(sessionId: string, owner: string, nowUs: number, expiresUs: number) {
    return guardedSql(() =>
      this.#database.transaction(() => {
        const held = this.#lease(sessionId);
        if (held !== null && held.owner !== owner && held.expiresUs > nowUs) return { acquired: false, lease: held };
        const epoch = held === null ? 1 : held.owner === owner ? held.epoch : held.epoch + 1;
        this.#database.run(
          `INSERT INTO leases (session_id, owner, epoch, expires_us) VALUES (?, ?, ?, ?)
           ON CONFLICT (session_id) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch,
             expires_us = excluded.expires_us`,
          sessionId,
          owner,
          epoch,
          expiresUs,
        );
        return { acquired: true, lease: { owner, epoch, expiresUs } };
      }),
    );
  }

  async releaseLease(sessionId: string, owner: string): Promise<void> {
    await guardedSql(() =>
      this.#database.run('UPDATE leases SET expires_us = 0 WHERE session_id = ? AND owner = ?', sessionId, owner),
    );
  }

  async getLease(sessionId: string): Promise<Lease | null> {
    return guardedSql(() => this.#lease(sessionId));
  }

  #head(sessionId: string): ChainHead {
    const row = this.#database.get('SELECT count, leaf_hash, stored_bytes FROM chains WHERE session_id = ?', sessionId);
    if (row === undefined) return { count: 0, leafHash: null, storedBytes: 0 };
    return { count: Number(row.count), leafHash: textOrNull(row.leaf_hash), storedBytes: Number(row.stored_bytes) };
  }

  async getHead(sessionId: string): Promise<ChainHead> {
    return guardedSql(() => this.#head(sessionId));
  }

  #writeChunk({ metadata, sealedLeaf, rebuilt }: ChunkRow): void {
    this.#database.run(
      `INSERT OR REPLACE INTO chunks (session_id, chunk_index, chunk_id, leaf_hash, file_sha256, file_bytes,
         payload_bytes, compression, stored_at_us, opened_us, closed_us, frames_count, updates_count, flags, storage_path,
         key_id, sealed_leaf, rebuilt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
      rebuilt ? 1 : 0,
    );
  }

  appendChunk(row: ChunkRow, expected: ChainHead, epoch: number | null): Promise<boolean> {
    return this.#appends.add({ row, expected, epoch });
  }

  #append({ row, expected, epoch }: Append): boolean {
    const { sessionId, index, leafHash, fileBytes, payloadBytes } = row.metadata;
    const head = this.#head(sessionId);
    if (head.count !== expected.count || head.leafHash !== expected.leafHash || head.count !== index) return false;
    if (epoch !== null && this.#lease(sessionId)?.epoch !== epoch) return false;
    this.#writeChunk(row);
    this.#database.run(
      `INSERT INTO chains (session_id, count, leaf_hash, stored_bytes, payload_bytes) VALUES (?, 1, ?, ?, ?)
       ON CONFLICT (session_id) DO UPDATE SET count = count + 1, leaf_hash = excluded.leaf_hash,
         stored_bytes = stored_bytes + excluded.stored_bytes, payload_bytes = payload_bytes + excluded.payload_bytes`,
      sessionId,
      leafHash,
      fileBytes,
      payloadBytes,
    );
    return true;
  }

  async completeChunk(row: ChunkRow): Promise<void> {
    const { sessionId, payloadBytes } = row.metadata;
    await guardedSql(() =>
      this.#database.transaction(() => {
        const { index, leafHash } = row.metadata;
        const rebuilt = this.#database.get(
          'SELECT leaf_hash, payload_bytes FROM chunks WHERE session_id = ? AND chunk_index = ? AND rebuilt = 1',
          sessionId,
          index,
        );
        if (rebuilt?.leaf_hash !== leafHash) return;
        this.#writeChunk(row);
        this.#database.run(
          'UPDATE chains SET payload_bytes = payload_bytes + ? WHERE session_id = ?',
          payloadBytes - Number(rebuilt.payload_bytes),
          sessionId,
        );
      }),
    );
  }

  async getChunk(sessionId: string, index: number): Promise<ChunkRow | null> {
    return guardedSql(() => {
      const row = this.#database.get('SELECT * FROM chunks WHERE session_id = ? AND chunk_index = ?', sessionId, index);
      if (row === undefined) return null;
      return { metadata: metadataOf(row), sealedLeaf: bytesOf(row.sealed_leaf), rebuilt: row.rebuilt === 1 };
    });
  }

  async listChunks(query: { sessionId: string; limit: number; offset: number; fromUs?: number; toUs?: number }) {
    const conditions = new Conditions()
      .add('session_id = ?', query.sessionId)
      .add('closed_us >= ?', query.fromUs)
      .add('opened_us <= ?', query.toUs);
    return guardedSql(() => ({
      chunks: this.#database
        .all(
          `SELECT * FROM chunks ${conditions.where} ORDER BY chunk_index LIMIT ? OFFSET ?`,
          ...conditions.values,
          query.limit,
          query.offset,
        )
        .map(metadataOf),
      total: Number(
        this.#database.get(`SELECT COUNT(*) AS total FROM chunks ${conditions.where}`, ...conditions.values)?.total,
      ),
    }));
  }

  async chainTotals(sessionId: string): Promise<ChainTotals> {
    return guardedSql(() => {
      const row = this.#database.get(
        `SELECT COUNT(*) AS chunks, COALESCE(SUM(file_bytes), 0) AS stored, COALESCE(SUM(payload_bytes), 0) AS payload,
           COALESCE(SUM(frames_count), 0) AS frames, COALESCE(SUM(updates_count), 0) AS updates,
           COALESCE(SUM(rebuilt), 0) AS rebuilt, COUNT(CASE WHEN rebuilt = 1 AND payload_bytes = 0 THEN 1 END) AS uncounted,
           COALESCE(SUM(MAX(0, stored_at_us - closed_us)), 0) AS line FROM chunks WHERE session_id = ?`,
        sessionId,
      );
      return {
        chunksCount: Number(row?.chunks),
        storedBytes: Number(row?.stored),
        payloadBytes: Number(row?.payload),
        framesCount: Number(row?.uncounted) > 0 ? null : Number(row?.frames),
        updatesCount: Number(row?.rebuilt) > 0 ? null : Number(row?.updates),
        lineUs: Number(row?.line),
      };
    });
  }

  async listChains(after: string, limit: number): Promise<string[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT session_id FROM chains WHERE session_id > ? ORDER BY session_id LIMIT ?', after, limit)
        .map((row) => String(row.session_id)),
    );
  }

  async purgeChain(sessionId: string): Promise<void> {
    await guardedSql(() =>
      this.#database.transaction(() => {
        for (const table of ['chunks', 'chains', 'leases', 'wraps'])
          this.#database.run(`DELETE FROM ${table} WHERE session_id = ?`, sessionId);
      }),
    );
  }

  async putRecord(sessionId: string, kind: RecordKind, record: Uint8Array, place?: number): Promise<number> {
    return guardedSql(() =>
      this.#database.transaction(() => {
        const same = this.#database.get(
          'SELECT sequence FROM records WHERE session_id = ? AND kind = ? AND record = ?',
          sessionId,
          kind,
          record,
        );
        if (same !== undefined) return Number(same.sequence);
        if (place !== undefined) this.#checkPlace(sessionId, kind, place);
        const next = Number(
          this.#database.get(
            'SELECT COALESCE(MAX(sequence), 0) + 1 AS next FROM records WHERE session_id = ?',
            sessionId,
          )?.next,
        );
        this.#database.run(
          'INSERT INTO records (session_id, sequence, kind, record) VALUES (?, ?, ?, ?)',
          sessionId,
          next,
          kind,
          record,
        );
        return next;
      }),
    );
  }

  #checkPlace(sessionId: string, kind: RecordKind, place: number): void {
    const row = this.#database.get(
      'SELECT COUNT(*) AS count FROM records WHERE session_id = ? AND kind = ?',
      sessionId,
      kind,
    );
    if (Number(row?.count) !== place)
      throw new LucidError('conflict', `another ${kind} record took this place; read them again`);
  }

  async getRecords(sessionId: string, kind: RecordKind | null) {
    const conditions = new Conditions().add('session_id = ?', sessionId).add('kind = ?', kind ?? undefined);
    return guardedSql(() =>
      this.#database
        .all(`SELECT kind, sequence, record FROM records ${conditions.where} ORDER BY sequence`, ...conditions.values)
        .map((row) => ({
          kind: String(row.kind) as RecordKind,
          sequence: Number(row.sequence),
          record: bytesOf(row.record),
        })),
    );
  }

  async recordsCount(sessionId: string): Promise<number> {
    return guardedSql(() =>
      Number(this.#database.get('SELECT COUNT(*) AS count FROM records WHERE session_id = ?', sessionId)?.count),
    );
  }

  async putWraps(sessionId: string, wraps: KeyWrap[]): Promise<void> {
    await guardedSql(() => {
      this.#database.transaction(() => {
        this.#database.run('DELETE FROM wraps WHERE session_id = ?', sessionId);
        wraps.forEach((wrap, position) => {
          this.#database.run(
            'INSERT INTO wraps (session_id, position, scheme, recipient, key_id, wrapped) VALUES (?, ?, ?, ?, ?, ?)',
            sessionId,
            position,
            wrap.scheme,
            wrap.recipient,
            wrap.keyId,
            wrap.wrapped,
          );
        });
      });
    });
    // Shredding means gone: secure_delete zeroes freed pages, and the write-ahead log holds old pages until it is written back and cut.
    if (wraps.length === 0) await this.#database.cutLog();
  }

  async getWraps(sessionId: string): Promise<KeyWrap[]> {
    return guardedSql(() =>
      this.#database.all('SELECT * FROM wraps WHERE session_id = ? ORDER BY position', sessionId).map((row) => ({
        scheme: String(row.scheme),
        recipient: String(row.recipient),
        keyId: String(row.key_id),
        wrapped: bytesOf(row.wrapped),
      })),
    );
  }

  async putAudit(entries: readonly AuditEntry[]): Promise<boolean> {
    return guardedSql(() =>
      this.#database.transaction(() => {
        for (const { event, row } of entries) {
          const taken = this.#database.get(
            'SELECT 1 FROM audit WHERE event_id = ? OR sequence = ?',
            event.eventId,
            row?.sequence ?? null,
          );
          if (taken !== undefined) return false;
        }
        for (const { event, row } of entries)
          this.#database.run(
            `INSERT INTO audit (event_id, timestamp_us, event_type, user_id, resource_id, document, sequence)
               VALUES (?, ?, ?, ?, ?, ?, ?)`,
            event.eventId,
            event.timestampUs,
            event.eventType,
            event.userId,
            event.resourceId,
            row?.text ?? JSON.stringify(event),
            row?.sequence ?? null,
          );
        return true;
      }),
    );
  }

  async knownAudit(eventIds: readonly string[]): Promise<string[]> {
    return guardedSql(() =>
      eventIds.filter((id) => this.#database.get('SELECT 1 FROM audit WHERE event_id = ?', id) !== undefined),
    );
  }

  async auditHead(): Promise<Pick<AuditRow, 'sequence' | 'text'> | null> {
    return guardedSql(() => {
      const row = this.#database.get(
        'SELECT sequence, document FROM audit WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1',
      );
      return row === undefined ? null : { sequence: Number(row.sequence), text: String(row.document) };
    });
  }

  async listAuditRows({ from, limit }: { from: number; limit: number }): Promise<AuditRow[]> {
    return guardedSql(() =>
      this.#database
        .all('SELECT * FROM audit WHERE sequence >= ? ORDER BY sequence LIMIT ?', from, limit)
        .map((row) => ({
          sequence: Number(row.sequence),
          text: String(row.document),
          eventId: String(row.event_id),
          timestampUs: Number(row.timestamp_us),
          eventType: String(row.event_type),
          userId: textOrNull(row.user_id),
          resourceId: textOrNull(row.resource_id),
        })),
    );
  }

  async countUnchained(): Promise<number> {
    return guardedSql(() =>
      Number(this.#database.get('SELECT COUNT(*) AS count FROM audit WHERE sequence IS NULL')?.count),
    );
  }

  async listAudit(query: AuditQuery): Promise<{ events: AuditEvent[]; total: number }> {
    const conditions = new Conditions()
      .add('event_type = ?', query.eventType)
      .add('user_id = ?', query.userId)
      .add('resource_id = ?', query.resourceId)
      .add('timestamp_us >= ?', query.fromUs)
      .add('timestamp_us <= ?', query.toUs);
    return guardedSql(() => ({
      events: this.#database
        .all(
          `SELECT document FROM audit ${conditions.where} ORDER BY timestamp_us DESC, event_id LIMIT ? OFFSET ?`,
          ...conditions.values,
          query.limit,
          query.offset,
        )
        .map((row) => auditEventOf(String(row.document))),
      total: Number(
        this.#database.get(`SELECT COUNT(*) AS total FROM audit ${conditions.where}`, ...conditions.values)?.total,
      ),
    }));
  }

  getEntry(kind: EntryKind, id: string): Promise<Entry | null> {
    return this.#entries.get(kind, id);
  }
  putEntry(entry: Entry): Promise<boolean> {
    return this.#entries.put(entry);
  }
  listEntries(query: EntryQuery, nowUs: number): Promise<Entry[]> {
    return this.#entries.list(query, nowUs);
  }
  removeEntry(kind: EntryKind, id: string, version?: number): Promise<boolean> {
    return this.#entries.remove(kind, id, version);
  }
  sweepEntries(nowUs: number): Promise<number> {
    return this.#entries.sweep(nowUs);
  }

  async totals(): Promise<{ chunksCount: number; storedBytes: number; payloadBytes: number }> {
    return guardedSql(() => {
      const row = this.#database.get(
        `SELECT COALESCE(SUM(count), 0) AS chunks, COALESCE(SUM(stored_bytes), 0) AS stored,
           COALESCE(SUM(payload_bytes), 0) AS payload FROM chains`,
      );
      return {
        chunksCount: Number(row?.chunks),
        storedBytes: Number(row?.stored),
        payloadBytes: Number(row?.payload),
      };
    });
  }

  async ping(): Promise<void> {
    await guardedSql(() => this.#database.get('SELECT 1'));
  }

  async dispose(): Promise<void> {
    await this.#appends.flush();
    this.#database.close();
  }
}
