/** A connection that answers soon or fails: nobody waits for Redis. */
import { Cluster, Redis } from 'ioredis';
import type { RedisAddress } from './redis-url.ts';

export interface ConnectOptions {
  /** Instead of the address's own. */
  password?: string | null;
  /** PEM of the authorities that may vouch for the servers; null: those Node knows. */
  ca?: string | null;
  /** For a worker that waits at the server for what comes: its calls take as long as that, and are made again after a break. */
  waits?: boolean;
}

const connectMsMax = 2000;
const answerMsMax = 250;
const reconnectMsMax = 2000;
/** A connection that says nothing for so long while it is asked is given up: its server may be gone without a word. */
const silenceMsMax = 15_000;

export function connectRedis(
  address: RedisAddress,
  { password = null, ca = null, waits = false }: ConnectOptions = {},
): Redis | Cluster {
  const { kind, nodes, masterName, user, database } = address;
  const tls: { tls?: { ca?: string } } = address.tls ? { tls: ca === null ? {} : { ca } } : {};
  const secret = password ?? address.password;
  const pause = (tries: number) => Math.min(reconnectMsMax, 50 * 2 ** Math.min(tries, 10));
  const options = {
    ...tls,
    ...(user === null ? {} : { username: user }),
    ...(secret === null ? {} : { password: secret }),
    connectTimeout: connectMsMax,
    socketTimeout: silenceMsMax,
    ...(waits
      ? { maxRetriesPerRequest: null }
      : { commandTimeout: answerMsMax, maxRetriesPerRequest: 0, enableOfflineQueue: false }),
  };
  const redis = connected();
  // It comes back by itself; each call tells that it could not be made.
  redis.on('error', () => {});
  return redis;

  function connected(): Redis | Cluster {
    if (kind === 'cluster')
      return new Cluster([...nodes], { redisOptions: options, enableOfflineQueue: waits, clusterRetryStrategy: pause });
    if (kind === 'sentinel')
      return new Redis({
        ...options,
        retryStrategy: pause,
        sentinels: [...nodes],
        name: masterName!,
        db: database,
        sentinelRetryStrategy: pause,
        ...(tls.tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: tls.tls }),
      });
    return new Redis({ ...options, ...nodes[0], db: database, retryStrategy: pause });
  }
}

/** Null where it keeps what it is given; else what an operator should change. */
export async function evictionProblem(redis: Redis | Cluster): Promise<string | null> {
  const policy = /^maxmemory_policy:(\S+)/m.exec(await redis.info('memory'))?.[1];
  if (policy === undefined || policy === 'noeviction') return null;
  return `Redis throws away what it is given when its memory is full (maxmemory-policy ${policy}): set noeviction`;
}
