/**
 * Moves what is stored, from port to port. Every step may be cut off and done again: what is there already is left alone, and a
 * session's own document comes last, so that nobody sees one whose chunks are not all there.
 */
import { createHash } from 'node:crypto';
import { auditEventOf, LucidError, type SessionDocument } from '@lucid-sessions/contract';
import {
  type AuditEntry,
  type ChunkRow,
  retainedFrom,
  type StoredSession,
  sealedLeafBytes,
} from '@lucid-sessions/storage';
import { type Installation, journalIds, pagesOf, storedEntries, storedSessions } from './installation.ts';

export interface Moved {
  sessions: number;
  chunks: number;
  copiedBytes: number;
  jobs: number;
  auditEvents: number;
}

export const auditPage = 1000;
/** A span each half minute: ten years. */
const spansMax = 12_000_000;

export class Move {
  readonly #from: Installation;
  readonly #to: Installation;
  readonly #progress: (line: string, count?: number) => void;
  /** Chunks lie where they lay: only rows are moved. */
  readonly #keepsChunks: boolean;
  readonly moved: Moved = { sessions: 0, chunks: 0, copiedBytes: 0, jobs: 0, auditEvents: 0 };

  constructor(
    from: Installation,
    to: Installation,
    options: { keepsChunks: boolean; progress: (line: string, count?: number) => void },
  ) {
    this.#from = from;
    this.#to = to;
    this.#keepsChunks = options.keepsChunks;
    this.#progress = options.progress;
  }

  async run(): Promise<Moved> {
    for await (const stored of storedSessions(this.#from)) {
      await this.#session(stored);
      this.moved.sessions += 1;
      this.#progress(`moving sessions: ${this.moved.sessions}`, this.moved.sessions);
    }
    await this.#journals();
    for await (const job of pagesOf(
      (after, limit) => this.#from.queue.list(after, limit),
      ({ jobId }) => jobId,
    )) {
      await this.#to.queue.put(job);
      this.moved.jobs += 1;
    }
    await this.#entries();
    await this.#audit();
    return this.moved;
  }

  async #session({ session, routeTokenSha256 }: StoredSession): Promise<void> {
    const id = session.session_id;
    const [from, to] = [this.#from.metadata, this.#to.metadata];
    const { count } = await from.getHead(id);
    if (!this.#keepsChunks) await this.#files(session, count);
    await this.#rows(id, count);
    for (const { kind, sequence, record } of await from.getRecords(id, null)) {
      if ((await to.putRecord(id, kind, record)) !== sequence)
        throw new LucidError('storage', `records of the session ${id} are there that are not its own`);
    }
    const wraps = await from.getWraps(id);
    if (wraps.length > 0) await to.putWraps(id, wraps);
    await to.insertSession(session, routeTokenSha256);
  }

  async #rows(id: string, count: number): Promise<void> {
    const [from, to] = [this.#from.metadata, this.#to.metadata];
    for (let head = await to.getHead(id); head.count < count; head = await to.getHead(id)) {
      const row = await from.getChunk(id, head.count);
      if (row === null) throw new LucidError('storage', `the row of chunk ${head.count} of ${id} is missing`);
      const storagePath = this.#to.chunks.storagePath(id, head.count);
      const moved: ChunkRow = { ...row, metadata: { ...row.metadata, storagePath } };
      if (!(await to.appendChunk(moved, head, null)))
        throw new LucidError('storage', `chunk ${head.count} of ${id} does not follow what is there`);
    }
  }

  /** Files before leaves, as they were stored, and what lies beside them. Sidecars are made again when somebody looks. */
  async #files(session: SessionDocument, count: number): Promise<void> {
    const id = session.session_id;
    const [from, to] = [this.#from.chunks, this.#to.chunks];
    const retained = retainedFrom(session, Date.parse(session.stopped_at ?? session.created_at) * 1000);
    for (let index = 0; index < count; index += 1) {
      const row = await this.#from.metadata.getChunk(id, index);
      if (row !== null && (await to.fileBytes(id, index)) === row.metadata.fileBytes) continue;
      const file = await from.readFile(id, index);
      // It is missing there, too: verification says so on both sides.
      if (file === null) continue;
      if (row !== null && sha256(file) !== row.metadata.fileSha256)
        throw new LucidError('storage', `chunk ${index} of ${id} is not what its leaf says: run lucid-sessions check`);
      await to.putFile(id, index, file, { replace: true, ...retained });
      this.moved.chunks += 1;
      this.moved.copiedBytes += file.length;
      this.#progress(`copying chunks: ${this.moved.chunks}`, this.moved.chunks);
    }
    const leaves = await from.readLeaves(id);
    for (let index = (await to.leavesTail(id)).count; index < leaves.length / sealedLeafBytes; index += 1)
      await to.putLeaf(id, index, leaves.slice(index * sealedLeafBytes, (index + 1) * sealedLeafBytes), retained);
    for (const { sequence, record } of await from.readRecords(id)) await to.putRecord(id, sequence, record, retained);
    const wraps = await from.getWraps(id);
    if (wraps.length > 0) await to.putWraps(id, wraps);
  }

  async #journals(): Promise<void> {
    const [from, to] = [this.#from.journal, this.#to.journal];
    const ids = new Set(await journalIds(this.#from));
    for await (const { session } of storedSessions(this.#from)) ids.add(session.session_id);
    for (const id of ids) {
      for (const fact of await from.listFacts(id)) await to.appendFact(id, fact);
      for (const receipt of await from.listReceipts(id)) await to.putReceipt(id, receipt);
      const credential = await from.credentialOf(id);
      if (credential !== null) await to.putCredential(credential);
      const journal = await from.get(id);
      if (journal !== null && (await to.get(id)) === null) await to.put({ ...journal, version: 0 });
    }
    for (const spanUs of await from.progressSpans(0, Number.MAX_SAFE_INTEGER, spansMax)) {
      const row = await from.getProgress(spanUs);
      if (row !== null) await to.putProgress(row);
    }
    for (const { sessionId, name } of await from.listSealed()) {
      const sealed = await from.getSealed(sessionId, name);
      if (sealed !== null) await to.putSealed(sessionId, name, sealed);
    }
  }

  async #entries(): Promise<void> {
    for await (const entry of storedEntries(this.#from)) {
      const { metadata } = this.#to;
      const there = await metadata.getEntry(entry.kind, entry.id);
      if (there !== null) continue;
      if (!(await metadata.putEntry({ ...entry, version: 1 })))
        throw new LucidError('storage', `the ${entry.kind} ${entry.id} is there that was not`);
    }
  }

  async #audit(): Promise<void> {
    // First those of before the chain: whoever goes on with it finds it behind them.
    for await (const event of auditEvents(this.#from))
      if (event.sequence === undefined) await this.#putAudit([{ event, row: null }]);
    for (let from = ((await this.#to.metadata.auditHead())?.sequence ?? -1) + 1; ; ) {
      const rows = await this.#from.metadata.listAuditRows({ from, limit: auditPage });
      if (rows.length === 0) return;
      await this.#putAudit(rows.map(({ sequence, text }) => ({ event: auditEventOf(text), row: { sequence, text } })));
      from = rows.at(-1)!.sequence + 1;
    }
  }

  /** As it is, its place in the chain too. */
  async #putAudit(entries: readonly AuditEntry[]): Promise<void> {
    const { metadata } = this.#to;
    const known = await metadata.knownAudit(entries.map(({ event }) => event.eventId));
    const fresh = entries.filter(({ event }) => !known.includes(event.eventId));
    if (fresh.length > 0 && !(await metadata.putAudit(fresh)))
      throw new LucidError(
        'storage',
        'the new store holds other audit entries in these places: it is not an empty one',
      );
    this.moved.auditEvents += entries.length;
    this.#progress(`moving audit events: ${this.moved.auditEvents}`, this.moved.auditEvents);
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Newest first. Pages go on from the time of their last event; only events of that very time are passed over again. */
export async function* auditEvents({ metadata }: Pick<Installation, 'metadata'>) {
  let toUs: number | undefined;
  let offset = 0;
  for (;;) {
    const { events } = await metadata.listAudit({ limit: auditPage, offset, ...(toUs === undefined ? {} : { toUs }) });
    yield* events;
    if (events.length < auditPage) return;
    const lastUs = events.at(-1)!.timestampUs;
    const sameTime = events.filter(({ timestampUs }) => timestampUs === lastUs).length;
    offset = lastUs === toUs ? offset + sameTime : sameTime;
    toUs = lastUs;
  }
}
