/** `MetadataStore` in MongoDB. */
import type { Entry, EntryKind, KeyWrap, RecordKind, SessionDocument, SessionQuery } from '@lucid-sessions/contract';
import type { AuditEntry, AuditQuery, ChainHead, ChunkRow, EntryQuery, MetadataStore } from '@lucid-sessions/storage';
import { type ChainDoc, MongoChains } from './mongo-chains.ts';
import type { ChunkDoc } from './mongo-chunk-rows.ts';
import type { MongoDatabase } from './mongo-database.ts';
import { type EntryDoc, MongoEntries } from './mongo-entries.ts';
import { type AuditDoc, MongoAudit, MongoRecords, MongoWraps, type RecordDoc, type WrapsDoc } from './mongo-records.ts';
import { MongoSessions, type SessionDoc } from './mongo-sessions.ts';

export class MongoMetadataStore implements MetadataStore {
  readonly #database: MongoDatabase;
  readonly #sessions: MongoSessions;
  readonly #chains: MongoChains;
  readonly #records: MongoRecords;
  readonly #wraps: MongoWraps;
  readonly #audit: MongoAudit;
  readonly #entries: MongoEntries;

  constructor(database: MongoDatabase) {
    this.#database = database.use();
    this.#sessions = new MongoSessions(database.collection<SessionDoc>('sessions'));
    this.#chains = new MongoChains(database.collection<ChainDoc>('chains'), database.collection<ChunkDoc>('chunks'));
    this.#records = new MongoRecords(database.collection<RecordDoc>('records'));
    this.#wraps = new MongoWraps(database.collection<WrapsDoc>('wraps'));
    this.#audit = new MongoAudit(database.collection<AuditDoc>('audit'));
    this.#entries = new MongoEntries(database.collection<EntryDoc>('entries'));
  }

  insertSession(session: SessionDocument, routeTokenSha256: string | null) {
    return this.#sessions.insert(session, routeTokenSha256);
  }
  getSession(sessionId: string) {
    return this.#sessions.get(sessionId);
  }
  setRouteToken(sessionId: string, tokenSha256: string | null) {
    return this.#sessions.setRouteToken(sessionId, tokenSha256);
  }
  findByToken(tokenSha256: string) {
    return this.#sessions.findByToken(tokenSha256);
  }
  findByCookie(cookie: string) {
    return this.#sessions.findByCookie(cookie);
  }
  listSessions(query: SessionQuery) {
    return this.#sessions.list(query);
  }
  listStored(after: string, limit: number) {
    return this.#sessions.listStored(after, limit);
  }
  countSessions() {
    return this.#sessions.count();
  }
  replaceSession(session: SessionDocument, expectedVersion: number) {
    return this.#sessions.replace(session, expectedVersion);
  }

  acquireLease(sessionId: string, owner: string, nowUs: number, expiresUs: number) {
    return this.#chains.acquireLease(sessionId, owner, nowUs, expiresUs);
  }
  releaseLease(sessionId: string, owner: string) {
    return this.#chains.releaseLease(sessionId, owner);
  }
  getLease(sessionId: string) {
    return this.#chains.getLease(sessionId);
  }
  getHead(sessionId: string) {
    return this.#chains.getHead(sessionId);
  }
  appendChunk(row: ChunkRow, expected: ChainHead, epoch: number | null) {
    return this.#chains.appendChunk(row, expected, epoch);
  }
  completeChunk(row: ChunkRow) {
    return this.#chains.completeChunk(row);
  }
  getChunk(sessionId: string, index: number) {
    return this.#chains.getChunk(sessionId, index);
  }
  listChunks(query: Parameters<MetadataStore['listChunks']>[0]) {
    return this.#chains.listChunks(query);
  }
  chainTotals(sessionId: string) {
    return this.#chains.chainTotals(sessionId);
  }
  listChains(after: string, limit: number) {
    return this.#chains.listChains(after, limit);
  }
  /** Wraps first: a purge that is cut off is asked for again. */
  async purgeChain(sessionId: string) {
    await this.#wraps.put(sessionId, []);
    await this.#chains.purge(sessionId);
  }
  totals() {
    return this.#chains.totals();
  }

  putRecord(sessionId: string, kind: RecordKind, record: Uint8Array, place?: number) {
    return this.#records.put(sessionId, kind, record, place);
  }
  getRecords(sessionId: string, kind: RecordKind | null) {
    return this.#records.get(sessionId, kind);
  }
  recordsCount(sessionId: string) {
    return this.#records.count(sessionId);
  }
  putWraps(sessionId: string, wraps: KeyWrap[]) {
    return this.#wraps.put(sessionId, wraps);
  }
  getWraps(sessionId: string) {
    return this.#wraps.get(sessionId);
  }
  putAudit(entries: readonly AuditEntry[]) {
    return this.#audit.put(entries);
  }
  knownAudit(eventIds: readonly string[]) {
    return this.#audit.known(eventIds);
  }
  auditHead() {
    return this.#audit.head();
  }
  listAuditRows(page: { from: number; limit: number }) {
    return this.#audit.rows(page);
  }
  countUnchained() {
    return this.#audit.countUnchained();
  }
  listAudit(query: AuditQuery) {
    return this.#audit.list(query);
  }

  getEntry(kind: EntryKind, id: string) {
    return this.#entries.get(kind, id);
  }
  putEntry(entry: Entry) {
    return this.#entries.put(entry);
  }
  listEntries(query: EntryQuery, nowUs: number) {
    return this.#entries.list(query, nowUs);
  }
  removeEntry(kind: EntryKind, id: string, version?: number) {
    return this.#entries.remove(kind, id, version);
  }
  sweepEntries(nowUs: number) {
    return this.#entries.sweep(nowUs);
  }

  ping() {
    return this.#database.ping();
  }
  dispose() {
    return this.#database.release();
  }
}
