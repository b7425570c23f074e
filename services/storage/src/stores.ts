/**
 * What storage keeps things in. Two ports, implemented in adapters and each held to its suite in `test/suites`:
 * rows (sessions, chain, leases, records, audit) and files (chunks, leaves, sidecars). All calls answer when durable.
 */
import type {
  AuditEvent,
  AuditRow,
  ChunkMetadata,
  Entry,
  EntryKind,
  HexHash,
  KeyWrap,
  RecordKind,
  SessionDocument,
  SessionQuery,
  SessionStatus,
} from '@lucid-sessions/contract';

export interface ChainHead {
  count: number;
  leafHash: HexHash | null;
  storedBytes: number;
}

export interface Lease {
  owner: string;
  epoch: number;
  expiresUs: number;
}

/** A chunk's row: what the caller said about it, and its leaf and seal, so rows and leaves.bin can restore each other. */
export interface ChunkRow {
  metadata: ChunkMetadata;
  /** 224 bytes. */
  sealedLeaf: Uint8Array;
  /** Made again from the leaf: its counts are not known until the caller sends the chunk again, or somebody opens it. */
  rebuilt: boolean;
}

export interface ChainTotals {
  chunksCount: number;
  storedBytes: number;
  payloadBytes: number;
  /** Null where that of one chunk is not known. */
  framesCount: number | null;
  updatesCount: number | null;
  lineUs: number;
}

export interface AuditQuery {
  eventType?: string;
  userId?: string;
  resourceId?: string;
  fromUs?: number;
  toUs?: number;
  limit: number;
  offset: number;
}

export interface EntryQuery {
  kind: EntryKind;
  owner?: string;
  after: string;
  limit: number;
}

/** `row`: its place in the chain and its text there; null for one from before there was a chain. */
export interface AuditEntry {
  event: AuditEvent;
  row: Pick<AuditRow, 'sequence' | 'text'> | null;
}

export interface StoredSession {
  session: SessionDocument;
  routeTokenSha256: HexHash | null;
}

export interface MetadataStore {
  /** False when the id (or the token) is taken. */
  insertSession(session: SessionDocument, routeTokenSha256: HexHash | null): Promise<boolean>;
  getSession(sessionId: string): Promise<SessionDocument | null>;
  /** False when there is no such session. */
  setRouteToken(sessionId: string, tokenSha256: HexHash | null): Promise<boolean>;
  findByToken(tokenSha256: HexHash): Promise<SessionDocument | null>;
  /** By session id, or else the newest armed (`starting`), or else newest `created` session with that RDP user name. */
  findByCookie(cookie: string): Promise<SessionDocument | null>;
  listSessions(query: SessionQuery): Promise<{ sessions: SessionDocument[]; total: number }>;
  /** Every session, also deleted ones, by id, after `after`: what moving an installation takes. */
  listStored(after: string, limit: number): Promise<StoredSession[]>;
  countSessions(): Promise<Partial<Record<SessionStatus, number>>>;
  /** Stores `session` when the stored version is `expectedVersion`; `session.version` is the new one. */
  replaceSession(session: SessionDocument, expectedVersion: number): Promise<boolean>;

  /** Takes or extends. Another owner's lease is taken only after it expired; `epoch` grows with each change of owner. */
  acquireLease(
    sessionId: string,
    owner: string,
    nowUs: number,
    expiresUs: number,
  ): Promise<{ acquired: boolean; lease: Lease }>;
  /** Keeps the epoch, so it never repeats. */
  releaseLease(sessionId: string, owner: string): Promise<void>;
  getLease(sessionId: string): Promise<Lease | null>;

  getHead(sessionId: string): Promise<ChainHead>;
  /** In one transaction: head equal to `expected` and lease epoch equal → row in, head forward. `epoch` null: recovery. */
  appendChunk(row: ChunkRow, expected: ChainHead, epoch: number | null): Promise<boolean>;
  /** Replaces a rebuilt row by one of the same leaf that knows more. */
  completeChunk(row: ChunkRow): Promise<void>;
  getChunk(sessionId: string, index: number): Promise<ChunkRow | null>;
  listChunks(query: {
    sessionId: string;
    limit: number;
    offset: number;
    fromUs?: number;
    toUs?: number;
  }): Promise<{ chunks: ChunkMetadata[]; total: number }>;
  chainTotals(sessionId: string): Promise<ChainTotals>;
  /** Ids of sessions with at least one chunk, ascending, after `after`. */
  listChains(after: string, limit: number): Promise<string[]>;
  /** Removes chunk rows, head, lease and wraps. */
  purgeChain(sessionId: string): Promise<void>;

  /** The same bytes of the same kind again answer the first sequence. Throws `conflict` unless `place` records of the kind are there. */
  putRecord(sessionId: string, kind: RecordKind, record: Uint8Array, place?: number): Promise<number>;
  getRecords(
    sessionId: string,
    kind: RecordKind | null,
  ): Promise<{ kind: RecordKind; sequence: number; record: Uint8Array }[]>;
  recordsCount(sessionId: string): Promise<number>;
  putWraps(sessionId: string, wraps: KeyWrap[]): Promise<void>;
  getWraps(sessionId: string): Promise<KeyWrap[]>;

  /**
   * In their order. False where an id or a place in the chain is taken: then none of them was stored, or a beginning of them.
   * Two writers of one place: one of them has it.
   */
  putAudit(entries: readonly AuditEntry[]): Promise<boolean>;
  /** Those of the ids that are there. */
  knownAudit(eventIds: readonly string[]): Promise<string[]>;
  /** The last row of the chain. */
  auditHead(): Promise<Pick<AuditRow, 'sequence' | 'text'> | null>;
  /** In the order of the chain. */
  listAuditRows(page: { from: number; limit: number }): Promise<AuditRow[]>;
  /** Entries that are in no chain. */
  countUnchained(): Promise<number>;
  listAudit(query: AuditQuery): Promise<{ events: AuditEvent[]; total: number }>;

  /** As it is stored, ended or not. */
  getEntry(kind: EntryKind, id: string): Promise<Entry | null>;
  /** Compare-and-swap: stores when the version there is `entry.version - 1`, 0 where there is none. */
  putEntry(entry: Entry): Promise<boolean>;
  /** By id, after `after`; those that end behind `nowUs`, or never. */
  listEntries(query: EntryQuery, nowUs: number): Promise<Entry[]>;
  /** With `version` only that one. */
  removeEntry(kind: EntryKind, id: string, version?: number): Promise<boolean>;
  /** Removes those that have ended, and answers how many. */
  sweepEntries(nowUs: number): Promise<number>;

  totals(): Promise<{ chunksCount: number; storedBytes: number; payloadBytes: number }>;
  /** Throws when the store can't be read. */
  ping(): Promise<void>;
  dispose(): Promise<void>;
}

export interface RetainOptions {
  /** Nobody deletes it before, in a store that can promise that; µs since 1970. */
  retainUntilUs?: number;
}

export interface PutFileOptions extends RetainOptions {
  replace?: boolean;
  /** Replaces this version only: `version` of an earlier answer. Throws where another has come meanwhile. */
  version?: string;
}

export interface ChunkStore {
  /** Every question to it is a journey: nobody asks it for each session there is before the first chunk is taken. */
  readonly isFar?: boolean;
  /**
   * Write-once: answers when the whole file is durable under its name. `written: false` leaves a file that is already
   * there alone, unless `replace` (a file no leaf names: left by a crash between file and leaf). `version`: which one is there,
   * in a store several processes write to.
   */
  putFile(
    sessionId: string,
    index: number,
    file: Uint8Array,
    options?: PutFileOptions,
  ): Promise<{ written: boolean; storagePath: string; version?: string }>;
  readFile(sessionId: string, index: number): Promise<Uint8Array | null>;
  /** Size of the file, null when it is missing. */
  fileBytes(sessionId: string, index: number): Promise<number | null>;
  /** Indexes of the chunk files there are, ascending. Of a store far away it may be old: whether a file is there, `fileBytes` says. */
  listFiles(sessionId: string): Promise<number[]>;
  /** `version`: of an earlier answer; another one stays. */
  removeFile(sessionId: string, index: number, version?: string): Promise<void>;
  storagePath(sessionId: string, index: number): string;

  /** Leaf and seal (224 bytes) at position `index`; what lay there after a torn write is overwritten. */
  putLeaf(sessionId: string, index: number, sealedLeaf: Uint8Array, options?: RetainOptions): Promise<void>;
  /** All whole leaves and seals in order; a torn tail is left out. */
  readLeaves(sessionId: string): Promise<Uint8Array>;
  /** Count of whole leaves and the last of them. */
  leavesTail(sessionId: string): Promise<{ count: number; last: Uint8Array | null }>;

  /** Replaces atomically. */
  putSidecar(sessionId: string, name: string, bytes: Uint8Array): Promise<void>;
  getSidecar(sessionId: string, name: string): Promise<Uint8Array | null>;

  /**
   * The session's wrapped keys beside its chunks: with them chunks and keys alone are enough, whatever becomes of the rows.
   * Replaced as a whole; an empty list destroys every copy, also half-written ones, and needs no room for it. Calls of one
   * session come one after the other.
   */
  putWraps(sessionId: string, wraps: readonly KeyWrap[]): Promise<void>;
  getWraps(sessionId: string): Promise<KeyWrap[]>;
  /** A signed record beside the chunks, written once. */
  putRecord(sessionId: string, sequence: number, record: Uint8Array, options?: RetainOptions): Promise<void>;
  /** In the order of their sequences. */
  readRecords(sessionId: string): Promise<{ sequence: number; record: Uint8Array }[]>;
  recordsCount(sessionId: string): Promise<number>;

  /** Sessions that have files. Of a store far away it may be old. */
  listSessions(): AsyncIterable<string>;
  /** Removes what a crash left half done (temporary files). Before the first put. */
  recover(): Promise<{ temporariesRemoved: number }>;
  /** Wrapped keys first. `chunksCount`: as rows tell, so that no listing has to be believed. */
  purgeSession(sessionId: string, known?: { chunksCount?: number }): Promise<number>;
  /** Locks what is stored of the session, wrapped keys and sidecars apart, or lets it go: of how many files; null: it has no such locks. */
  hold(sessionId: string, isHeld: boolean): Promise<number | null>;
  /** Null where room has no end that could be seen coming, as in an object store. */
  space(): Promise<{ freeBytes: number; totalBytes: number } | null>;
  dispose(): Promise<void>;
}

export interface DiskSpace {
  freeBytes: number;
  totalBytes: number;
  /** Room is kept back beside what is free. */
  isReserveHeld: boolean;
}

/** Room kept back on the disks that are written to, given up so that looking and deleting work when they are full. */
export interface SpaceReserve {
  disks(): Promise<DiskSpace[]>;
  /** Where nearly nothing is left, before something is begun that must not be cut off. */
  ensure(): Promise<void>;
  /** True when there is room now that was not there before. */
  release(): Promise<boolean>;
  /** Keeps room back again where there is enough of it. */
  restore(): Promise<void>;
}
