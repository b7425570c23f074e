/** One way to open a SQLite database: WAL, a version, migrations in order, statements prepared once. */
import { chmodSync, closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { LucidError } from '@lucid-sessions/contract';

export type Row = Record<string, unknown>;

/** Statements, or what no statement can say. */
export type Migration = string | ((database: SqliteDatabase) => void);

const busyMs = 5000;
/** Lists have a statement for each set of filters. */
const statementsMax = 1000;
const cutLogMsMax = 600_000;
const cutLogEveryMs = 200;

/** Made here, before SQLite makes it with the mode of the process; it gives the log and its index the same. */
function ownerOnly(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
}

export class SqliteDatabase {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * `path` may be `:memory:`. Migration i takes the database from version i to i + 1. A database of a later version is
   * refused: an older program must not write into it.
   */
  constructor(path: string, migrations: readonly Migration[]) {
    try {
      if (path !== ':memory:') ownerOnly(path);
      this.#database = new DatabaseSync(path, { timeout: busyMs });
    } catch (thrown) {
      throw openError(thrown);
    }
    try {
      // 64 MiB at most: what lists walk over is read once. FULL: a commit is on the disk when it answers, in WAL mode as well.
      this.#database.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -65536;',
      );
      this.#migrate(migrations);
    } catch (thrown) {
      this.#database.close();
      throw openError(thrown);
    }
  }

  #migrate(migrations: readonly Migration[]): void {
    this.transaction(() => {
      const version = Number(this.#database.prepare('PRAGMA user_version').get()?.user_version ?? 0);
      if (version > migrations.length)
        throw new LucidError(
          'storage',
          `the database has version ${version}, this program knows ${migrations.length}: use the newer program`,
        );
      for (const migration of migrations.slice(version)) {
        if (typeof migration === 'string') this.exec(migration);
        else migration(this);
      }
      this.#database.exec(`PRAGMA user_version = ${migrations.length}`);
    });
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      if (this.#statements.size === statementsMax) this.#statements.delete(this.#statements.keys().next().value!);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values);
  }
  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }
  /** Row by row; nothing else is asked by the same words meanwhile. */
  each(sql: string, ...values: SQLInputValue[]): IterableIterator<Row> {
    return this.#statement(sql).iterate(...values);
  }
  /** Number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  /** All or nothing. IMMEDIATE: another process can't slip in between reading and writing. */
  transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (thrown) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw thrown;
    }
  }

  /**
   * Writes the write-ahead log back and cuts it, so that nothing in it outlives its row. A reader in another process (a backup)
   * holds the log: it is asked again, without keeping other calls waiting meanwhile.
   */
  async cutLog(): Promise<void> {
    const untilMs = performance.now() + cutLogMsMax;
    while (!(await guardedSql(() => this.#tryCutLog()))) {
      if (performance.now() > untilMs)
        throw new LucidError('unavailable', 'the database is being copied; what was erased is gone when that is done');
      await delay(cutLogEveryMs);
    }
  }

  #tryCutLog(): boolean {
    this.#database.exec('PRAGMA busy_timeout = 0');
    try {
      return this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy === 0;
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${busyMs}`);
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }
}

const sqliteFull = 13;

/** SQLite's primary result codes, for who has to mend a database that does not open. */
const openProblems: Record<number, string> = {
  5: 'another program has locked it',
  8: 'it is read-only',
  10: 'the disk does not read or write it',
  11: 'it is damaged: restore it from a backup',
  13: 'the disk is full',
  14: 'the file can not be opened',
  26: 'it is no SQLite database, or damaged: restore it from a backup',
};

function openError(thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  const { errcode, code } = thrown as { errcode?: unknown; code?: unknown };
  const known = typeof errcode === 'number' ? openProblems[errcode & 0xff] : undefined;
  return new LucidError('storage', known ?? `the database can't be opened (${String(code ?? errcode)})`, {
    cause: thrown,
  });
}

/** SQLite's own errors in terms of the closed table. */
export async function guardedSql<T>(work: () => T): Promise<T> {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof LucidError) throw thrown;
    const errcode = (thrown as { errcode?: unknown } | null)?.errcode;
    const full = typeof errcode === 'number' && (errcode & 0xff) === sqliteFull;
    throw new LucidError('storage', full ? 'the disk of the database is full' : 'the database refused the call', {
      status: full ? 507 : 500,
      details: typeof errcode === 'number' ? { sqlite_errcode: errcode } : {},
      cause: thrown,
    });
  }
}

export const bytesOf = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array(0));
export const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);
