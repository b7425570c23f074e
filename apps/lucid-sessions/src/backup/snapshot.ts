/** Copies of the installation's databases as they all were at one moment, while others go on writing. */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { backup, DatabaseSync } from 'node:sqlite';
import { exists } from './files.ts';

const lockMs = 30_000;
const pagesAtOnce = 512;

export interface Copied {
  source: string;
  target: string;
}

export class Snapshot {
  readonly #readers: { reader: DatabaseSync; target: string }[];
  readonly cutMs: number;

  private constructor(readers: { reader: DatabaseSync; target: string }[], cutMs: number) {
    this.#readers = readers;
    this.cutMs = cutMs;
  }

  /**
   * Every writer waits for the few milliseconds in which all databases are held at once: what one of them says of another is
   * true of the copies, as after a crash. Databases that are not there are left out.
   */
  static async cut(databases: readonly Copied[]): Promise<Snapshot> {
    const opened: { lock: DatabaseSync; reader: DatabaseSync; target: string }[] = [];
    try {
      for (const { source, target } of databases)
        if (await exists(source)) {
          const lock = new DatabaseSync(source, { timeout: lockMs });
          opened.push({ lock, reader: new DatabaseSync(source, { timeout: lockMs }), target });
        }
      for (const { lock } of opened) lock.exec('BEGIN IMMEDIATE');
      const cutMs = Date.now();
      for (const { reader } of opened) {
        reader.exec('PRAGMA query_only = ON; BEGIN');
        // A read transaction begins with the first read.
        reader.prepare('SELECT COUNT(*) FROM sqlite_schema').get();
      }
      return new Snapshot(
        opened.map(({ reader, target }) => ({ reader, target })),
        cutMs,
      );
    } catch (thrown) {
      for (const { reader } of opened) reader.close();
      throw thrown;
    } finally {
      for (const { lock } of opened) lock.close();
    }
  }

  async copy(): Promise<void> {
    for (const { reader, target } of this.#readers) {
      closeSync(openSync(target, 'wx', 0o600));
      await backup(reader, target, { rate: pagesAtOnce });
      // One file, not three: the copy is written by nobody.
      const copy = new DatabaseSync(target);
      copy.exec('PRAGMA journal_mode = DELETE');
      copy.close();
      chmodSync(target, 0o600);
      const file = await open(target, 'r');
      await file.sync().finally(() => file.close());
    }
  }

  close(): void {
    for (const { reader } of this.#readers) reader.close();
  }
}

const hasChain = (database: DatabaseSync, schema: string): boolean =>
  database
    .prepare(`PRAGMA ${schema}.table_info(audit)`)
    .all()
    .some(({ name }) => name === 'sequence');

/** Rows of the audit chain that came since the copy was made: a log that was copied behind it may hold heads that name them. */
export async function copyLaterAudit(source: string, target: string): Promise<void> {
  const copy = new DatabaseSync(target, { timeout: lockMs });
  try {
    copy.prepare('ATTACH ? AS live').run(source);
    if (!hasChain(copy, 'main') || !hasChain(copy, 'live')) return;
    const columns = 'event_id, timestamp_us, event_type, user_id, resource_id, document, sequence';
    copy.exec(
      `INSERT INTO main.audit (${columns}) SELECT ${columns} FROM live.audit
         WHERE sequence > (SELECT COALESCE(MAX(sequence), -1) FROM main.audit) ORDER BY sequence`,
    );
  } finally {
    copy.close();
  }
  const file = await open(target, 'r');
  await file.sync().finally(() => file.close());
}
