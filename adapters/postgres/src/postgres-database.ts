/** One PostgreSQL database and a bounded pool of connections to it: what is lost is asked again, what is refused is told. */
import { setTimeout as delay } from 'node:timers/promises';
import { LucidError } from '@lucid-sessions/contract';
import pg from 'pg';
import { fateOf, startProblemOf, storeError } from './postgres-errors.ts';
import { type PostgresAddress, tlsOf } from './postgres-url.ts';

export type Row = Record<string, unknown>;
export type Value = string | number | boolean | Uint8Array | null | readonly string[];

export interface PostgresOptions {
  address: PostgresAddress;
  /** PEM of the authorities that may vouch for the server; null: those Node knows. */
  ca?: string | null;
  /** Asked for at each new connection; else the address's own. */
  password?: () => Promise<string>;
  connectionsMax?: number;
  /** How long a call that finds no server is tried again. */
  retryMsMax?: number;
}

const connectMsMax = 5000;
const waitMsMax = 15_000;
const statementMsMax = 10_000;
/** The server cuts a statement off before the driver does; the driver does where the network says nothing. */
const answerMsMax = statementMsMax + 2000;
const lockMsMax = 5000;
/** Tables are made, and indexes of many rows. */
const prepareMsMax = 600_000;
const idleMs = 30_000;
const callsMax = 10_000;
const namesMax = 300;
const pauseMsMax = 1000;
const oid = { bytea: 17, int8: 20 } as const;

function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new LucidError('storage', 'the database holds a number that is too large');
  return value;
}

const types: pg.CustomTypesConfig = {
  getTypeParser: ((id: number, format?: 'text' | 'binary') => {
    if (id === oid.int8) return safeInteger;
    const parse = pg.types.getTypeParser(id, format as 'text') as (text: string) => unknown;
    return id === oid.bytea ? (text: string) => new Uint8Array(parse(text) as Uint8Array) : parse;
  }) as pg.CustomTypesConfig['getTypeParser'],
};

/** Text can't hold U+0000 there. What is no value of a column is refused, not written as JSON. */
function columnValue(value: unknown): unknown {
  if (typeof value === 'string') return value.includes('\0') ? value.replaceAll('\0', '\ufffd') : value;
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw unstorable();
  if (value === null || ['number', 'boolean'].includes(typeof value)) return value;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (Array.isArray(value)) return value.map(columnValue);
  throw unstorable();
}

const unstorable = () => new LucidError('storage', 'the database refused the call: a value is none of a column');

type HostClient = pg.ClientBase & { readonly at: number };

/** A connection is made to one host; where it fails, the next one is made to the next. */
const hostClient = (address: PostgresAddress, ca: string | null, now: () => number, next: (failed: number) => void) =>
  class extends pg.Client {
    readonly at: number;
    constructor(config: pg.ClientConfig) {
      const at = now();
      const { host, port } = address.hosts[at]!;
      // The pool hides the password from whoever goes through its options.
      const connectionTimeoutMillis = connectMsMax;
      super({
        ...config,
        password: config.password,
        host,
        port,
        ssl: tlsOf(address, host, ca),
        connectionTimeoutMillis,
      });
      this.at = at;
      const connect = this.connect.bind(this) as unknown as (done: Connected) => void;
      const connectOrNext = (done: Connected) =>
        connect((error) => {
          if (error) next(at);
          done(error);
        });
      Object.assign(this, { connect: connectOrNext });
    }
  };

type Connected = (error?: Error | null) => void;

/** Statements over one connection. */
export interface Session {
  rows(sql: string, values?: readonly Value[]): Promise<Row[]>;
  /** Number of rows changed. */
  run(sql: string, values?: readonly Value[]): Promise<number>;
}

/** `again`: an earlier try was lost on the way and may have been done. */
export type Work<T> = (session: Session, again: boolean) => Promise<T>;

export class PostgresDatabase implements Session {
  readonly #address: PostgresAddress;
  readonly #pool: pg.Pool;
  readonly #names = new Map<string, string>();
  readonly #retryMsMax: number;
  #host = 0;
  #calls = 0;
  #users = 0;

  constructor({ address, ca = null, password, connectionsMax = 10, retryMsMax = 10_000 }: PostgresOptions) {
    this.#address = address;
    this.#retryMsMax = retryMsMax;
    this.#pool = new pg.Pool({
      Client: hostClient(
        address,
        ca,
        () => this.#host,
        (failed) => this.#nextHost(failed),
      ) as never,
      user: address.user,
      database: address.database,
      password: password ?? (async () => address.password ?? ''),
      max: connectionsMax,
      // Of the pool: how long a call waits for a connection that others have.
      connectionTimeoutMillis: waitMsMax,
      idleTimeoutMillis: idleMs,
      keepAlive: true,
      application_name: 'lucid-sessions',
      types,
      onConnect: (client) => this.#greet(client as HostClient),
    });
    // Idle connections that break are replaced when they are needed.
    this.#pool.on('error', () => {});
  }

  #nextHost(failed: number): void {
    if (this.#host === failed) this.#host = (failed + 1) % this.#address.hosts.length;
  }

  async #greet(client: HostClient): Promise<void> {
    const { schema } = this.#address;
    const answers = (await client.query(
      `SET statement_timeout = ${statementMsMax}; SET lock_timeout = ${lockMsMax};
       SET idle_in_transaction_session_timeout = ${statementMsMax}; SET client_min_messages = error; SET jit = off; SET work_mem = '16MB';
       ${schema === null ? '' : `SET search_path = "${schema}";`}
       SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
       SELECT current_setting('transaction_read_only') AS read_only`,
    )) as unknown as pg.QueryResult<Row>[];
    if (answers.at(-1)?.rows[0]?.read_only !== 'on') return;
    this.#nextHost(client.at);
    throw Object.assign(new Error('a standby'), { code: '25006' });
  }

  #session(client: pg.ClientBase, msMax: number): Session {
    const query = (text: string, values: readonly Value[]) => {
      const name = this.#nameOf(text);
      const prepared = {
        ...(name !== undefined && { name }),
        text,
        values: values.map(columnValue),
        query_timeout: msMax,
      };
      return client.query<Row>(prepared);
    };
    return {
      rows: async (sql, values = []) => (await query(sql, values)).rows,
      run: async (sql, values = []) => (await query(sql, values)).rowCount ?? 0,
    };
  }

  /** Prepared once a connection; undefined: lists have a statement for each set of filters, and no more of them are kept. */
  #nameOf(sql: string): string | undefined {
    if (this.#names.size >= namesMax && !this.#names.has(sql)) return undefined;
    const name = this.#names.get(sql) ?? `l${this.#names.size}`;
    this.#names.set(sql, name);
    return name;
  }

  rows(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    return this.work((session) => session.rows(sql, values));
  }
  run(sql: string, values: readonly Value[] = []): Promise<number> {
    return this.work((session) => session.run(sql, values));
  }

  /** Tries again what was lost or rolled back, until it is done or `retryMsMax` is over. */
  async work<T>(work: Work<T>): Promise<T> {
    if (this.#calls >= callsMax)
      throw new LucidError('unavailable', 'too many calls wait for the database; ask again later');
    this.#calls += 1;
    const untilMs = performance.now() + this.#retryMsMax;
    try {
      let again = false;
      for (let pauseMs = 20; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
        try {
          return await this.#once(work, again);
        } catch (thrown) {
          const fate = fateOf(thrown);
          if (fate === 'lost') again = true;
          if (fate === 'refused' || fate === 'slow' || performance.now() + pauseMs > untilMs) throw storeError(thrown);
        }
        await delay(pauseMs * (0.5 + Math.random()));
      }
    } finally {
      this.#calls -= 1;
    }
  }

  async #once<T>(work: Work<T>, again: boolean, msMax = answerMsMax): Promise<T> {
    const client = await this.#pool.connect();
    // While it is lent nobody else listens; the statement under way tells what became of it.
    const ignore = () => {};
    client.on('error', ignore);
    let broken = false;
    try {
      return await work(this.#session(client, msMax), again);
    } catch (thrown) {
      broken = msMax === prepareMsMax || (!(thrown instanceof LucidError) && fateOf(thrown) !== 'refused');
      throw thrown;
    } finally {
      client.off('error', ignore);
      client.release(broken);
    }
  }

  /** All or nothing. `snapshot`: all of it reads one state and writes nothing. */
  transaction<T>(work: Work<T>, kind: 'write' | 'snapshot' = 'write'): Promise<T> {
    return this.work(async (session, again) => {
      await session.run(kind === 'write' ? 'BEGIN' : 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      try {
        const result = await work(session, again);
        await session.run('COMMIT');
        return result;
      } catch (thrown) {
        // Else the connection is given up, and with it what it began.
        if (thrown instanceof LucidError || fateOf(thrown) === 'refused') await session.run('ROLLBACK');
        throw thrown;
      }
    });
  }

  /** At the start: one transaction that may take its time, as soon as there is a server. What it throws says why not, for a person. */
  async prepare<T>(work: (session: Session) => Promise<T>, waitMs: number): Promise<T> {
    const untilMs = performance.now() + waitMs;
    for (;;) {
      try {
        return await this.#once(
          async (session) => {
            await session.run('BEGIN');
            await session.run(`SET LOCAL statement_timeout = ${prepareMsMax}`);
            await session.run(`SET LOCAL lock_timeout = ${prepareMsMax}`);
            const result = await work(session);
            await session.run('COMMIT');
            return result;
          },
          false,
          prepareMsMax,
        );
      } catch (thrown) {
        const fate = fateOf(thrown);
        if (fate === 'refused' || performance.now() > untilMs)
          throw new LucidError('storage', startProblemOf(thrown), { cause: storeError(thrown).cause ?? thrown });
      }
      await delay(pauseMsMax / 2);
    }
  }

  /** Each store that stands on it; the last one that goes closes it. */
  share(): void {
    this.#users += 1;
  }
  async dispose(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await this.close();
  }
  async close(): Promise<void> {
    await this.#pool.end();
  }
}
