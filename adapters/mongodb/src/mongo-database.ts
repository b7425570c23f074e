/**
 * One connection pool for all stores of a process. What must hold of a write is set here once: it answers when a majority of the
 * members has it in their journals, and is read back from the primary as the majority has it. Each decision of the stores is one
 * conditional update of one document; no transaction over several is used anywhere.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isLucidError } from '@lucid-sessions/contract';
import { type Collection, type Db, type Document, MongoClient, type MongoClientOptions } from 'mongodb';
import { addressFailure, guardedMongo } from './mongo-errors.ts';
import { prepareSchema } from './mongo-schema.ts';

export interface MongoDatabaseOptions {
  /** Connections at most; `maxPoolSize` of the URL goes first. */
  poolSize?: number;
  /** In place of one in the URL, which names the user. */
  password?: string;
  /** File of the authorities that the server's certificate is checked by; it turns TLS on. */
  caFile?: string;
  /** How long a server that is away is waited for. */
  waitMs?: number;
}

const defaultDatabase = 'lucid_sessions';
const poolSizeDefault = 20;

/** Throws `storage` for what is no address of MongoDB, or has options it does not know. Asks nobody. */
export function checkMongoUrl(url: string): void {
  clientOf(url, {});
}

/** Bounds that an operator may set in the URL. */
const limits = {
  serverSelectionTimeoutMS: 5000,
  connectTimeoutMS: 5000,
  waitQueueTimeoutMS: 5000,
  socketTimeoutMS: 30_000,
  maxIdleTimeMS: 300_000,
} as const;
const majorityTimeoutMs = 10_000;
/** Between two tries at the start. */
const againMs = 500;

/** Options that say how sure a write is can't be weakened by the URL. */
function clientOptions(
  url: string,
  { poolSize = poolSizeDefault, password, caFile }: MongoDatabaseOptions,
): MongoClientOptions {
  const said = new Set([...new URLSearchParams(url.split('?')[1] ?? '').keys()].map((name) => name.toLowerCase()));
  const bounds = Object.entries({ ...limits, maxPoolSize: poolSize }).filter(([name]) => !said.has(name.toLowerCase()));
  return {
    ...Object.fromEntries(bounds),
    ...(password === undefined ? {} : { auth: { username: userOf(url), password } }),
    ...(caFile === undefined ? {} : { tls: true, tlsCAFile: caFile }),
    appName: 'lucid-sessions',
    readPreference: 'primary',
    readConcern: { level: 'majority' },
    writeConcern: { w: 'majority', journal: true, wtimeoutMS: majorityTimeoutMs },
    retryReads: true,
    retryWrites: true,
  };
}

const userOf = (url: string): string => decodeURIComponent(/^[^/]*\/\/([^:@/]*)[^/]*@/.exec(url)?.[1] ?? '');

/** The URL's own name of a database, else ours. Hosts and passwords have no slash: it is encoded there. */
const databaseName = (url: string): string => /^mongodb(?:\+srv)?:\/\/[^/]*\/([^?]+)/.exec(url)?.[1] ?? defaultDatabase;

function clientOf(url: string, options: MongoDatabaseOptions): MongoClient {
  try {
    return new MongoClient(url, clientOptions(url, options));
  } catch (thrown) {
    throw addressFailure(thrown);
  }
}

export class MongoDatabase {
  readonly #client: MongoClient;
  readonly #database: Db;
  #users = 0;

  private constructor(client: MongoClient, database: Db) {
    this.#client = client;
    this.#database = database;
  }

  /**
   * Connects, migrates and checks the indexes. Throws LucidError without anything of the URL in it: `unavailable` when no primary
   * answers, `storage` when the database refuses us or is of a later version.
   */
  static async open(url: string, options: MongoDatabaseOptions = {}): Promise<MongoDatabase> {
    const untilMs = performance.now() + (options.waitMs ?? 0);
    for (;;)
      try {
        return await MongoDatabase.#open(url, options);
      } catch (thrown) {
        if (!isLucidError(thrown, 'unavailable') || performance.now() + againMs > untilMs) throw thrown;
        await delay(againMs);
      }
  }

  static async #open(url: string, options: MongoDatabaseOptions): Promise<MongoDatabase> {
    const client = clientOf(url, options);
    return guardedMongo(async () => {
      try {
        await client.connect();
        const database = client.db(decodeURIComponent(databaseName(url)));
        await prepareSchema(database);
        return new MongoDatabase(client, database);
      } catch (thrown) {
        await client.close().catch(() => {});
        throw thrown;
      }
    });
  }

  collection<T extends Document>(name: string): Collection<T> {
    return this.#database.collection<T>(name);
  }

  /** Throws when no primary answers. */
  async ping(): Promise<void> {
    await guardedMongo(() => this.#database.command({ ping: 1 }));
  }

  /** A store that uses it; the last one that lets go closes the pool. */
  use(): this {
    this.#users += 1;
    return this;
  }

  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await this.close();
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  /** Everything, for who made it: tests and benches. */
  async drop(): Promise<void> {
    await guardedMongo(() => this.#database.dropDatabase());
  }
}
