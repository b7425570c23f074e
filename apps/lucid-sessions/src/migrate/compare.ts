/** Whether what was moved is what there was: every row, record, leaf and file, read back from where it went. */
import { isDeepStrictEqual } from 'node:util';
import type { StoredSession } from '@lucid-sessions/storage';
import { type Installation, journalIds, pagesOf, storedEntries, storedSessions } from './installation.ts';
import { auditEvents, auditPage, sha256 } from './move.ts';

const differencesMax = 1000;

export class Comparison {
  readonly #from: Installation;
  readonly #to: Installation;
  readonly differences: string[] = [];

  constructor(from: Installation, to: Installation) {
    this.#from = from;
    this.#to = to;
  }

  #check(isSame: boolean, what: string): void {
    if (!isSame && this.differences.length < differencesMax) this.differences.push(what);
  }

  async #same<T>(what: string, ask: (installation: Installation) => Promise<T>): Promise<T> {
    const [from, to] = await Promise.all([ask(this.#from), ask(this.#to)]);
    this.#check(isDeepStrictEqual(from, to), what);
    return to;
  }

  /** Rows, records, keys and files of one session; each chunk's file is hashed. */
  async session({ session, routeTokenSha256 }: StoredSession): Promise<void> {
    const id = session.session_id;
    const of = (what: string) => `${what} of ${id}`;
    await this.#same(of('the document'), ({ metadata }) => metadata.getSession(id));
    if (routeTokenSha256 !== null)
      await this.#same(of('the route'), async ({ metadata }) => {
        return (await metadata.findByToken(routeTokenSha256))?.session_id;
      });
    const { count } = await this.#same(of('the head'), ({ metadata }) => metadata.getHead(id));
    await this.#same(of('the records'), ({ metadata }) => metadata.getRecords(id, null));
    await this.#same(of('the wrapped keys'), ({ metadata }) => metadata.getWraps(id));
    await this.#same(of('the totals'), ({ metadata }) => metadata.chainTotals(id));
    await this.#same(of('the leaves'), ({ chunks }) => chunks.readLeaves(id));
    await this.#same(of('the wrapped keys beside the chunks'), ({ chunks }) => chunks.getWraps(id));
    await this.#same(of('the records beside the chunks'), ({ chunks }) => chunks.readRecords(id));
    for (let index = 0; index < count; index += 1) await this.#chunk(id, index);
  }

  async #chunk(id: string, index: number): Promise<void> {
    const row = await this.#same(`the row of chunk ${index} of ${id}`, async ({ metadata }) => {
      const stored = await metadata.getChunk(id, index);
      return stored === null ? null : { ...stored, metadata: { ...stored.metadata, storagePath: '' } };
    });
    const file = await this.#to.chunks.readFile(id, index);
    this.#check(file !== null && sha256(file) === row?.metadata.fileSha256, `the file of chunk ${index} of ${id}`);
  }

  /** What is not of one session's recording: journals, jobs, secrets, audit. */
  async rest(): Promise<void> {
    await this.#same('the list of journals', journalIds);
    for (const id of await journalIds(this.#from)) {
      await this.#same(`the journal of ${id}`, async ({ journal }) => ({ ...(await journal.get(id)), version: 0 }));
      await this.#same(`the facts of ${id}`, ({ journal }) => journal.listFacts(id));
      await this.#same(`the receipts of ${id}`, ({ journal }) => journal.listReceipts(id));
      await this.#same(`the credential of ${id}`, ({ journal }) => journal.credentialOf(id));
    }
    for (const { sessionId, name } of await this.#same('the sealed secrets', ({ journal }) => journal.listSealed()))
      await this.#same(`a secret of ${sessionId}`, ({ journal }) => journal.getSealed(sessionId, name));
    await this.#same('the number of sessions by status', ({ metadata }) => metadata.countSessions());
    await this.#same('the totals', ({ metadata }) => metadata.totals());
    for await (const { kind, id } of storedEntries(this.#from))
      await this.#same(`the ${kind} ${id}`, async ({ metadata }) => ({
        ...(await metadata.getEntry(kind, id)),
        version: 1,
      }));
    await this.#jobs();
    await this.#audit();
  }

  async #jobs(): Promise<void> {
    const there = new Map<string, unknown>();
    for await (const job of jobsOf(this.#to)) there.set(job.jobId, job);
    for await (const job of jobsOf(this.#from)) {
      this.#check(isDeepStrictEqual(there.get(job.jobId), job), `the job ${job.jobId}`);
      there.delete(job.jobId);
    }
    this.#check(there.size === 0, 'jobs are there that were not');
  }

  async #audit(): Promise<void> {
    const events = auditEvents(this.#to);
    for await (const event of auditEvents(this.#from)) {
      const { value } = await events.next();
      this.#check(isDeepStrictEqual(value, event), `the audit event ${event.eventId}`);
    }
    this.#check((await events.next()).done === true, 'audit events are there that were not');
    for (let from = 0; ; from += auditPage) {
      const page = { from, limit: auditPage };
      const rows = await this.#from.metadata.listAuditRows(page);
      const same = isDeepStrictEqual(await this.#to.metadata.listAuditRows(page), rows);
      this.#check(same, `the audit rows from ${from} on`);
      if (rows.length < auditPage) return;
    }
  }
}

const jobsOf = ({ queue }: Installation) =>
  pagesOf(
    (after, limit) => queue.list(after, limit),
    ({ jobId }) => jobId,
  );

/** Ids that are there and were not. */
export async function strangers(from: Installation, to: Installation): Promise<string[]> {
  const found: string[] = [];
  for await (const { session } of storedSessions(to)) {
    if ((await from.metadata.getSession(session.session_id)) === null) found.push(session.session_id);
    if (found.length >= 10) break;
  }
  return found;
}
