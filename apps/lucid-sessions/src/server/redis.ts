/** Redis, where there is one: what it holds is a help to several processes, and nothing is lost with it. */
import { readFileSync } from 'node:fs';
import { MemoryRateLimiter, type RateLimiter } from '@lucid-sessions/api';
import { accessProblem, type Environment, EnvironmentError, readText } from '@lucid-sessions/kit';
import type { JobWaker } from '@lucid-sessions/pipeline';
import {
  connectRedis,
  evictionProblem,
  parseRedisUrl,
  type RedisAddress,
  RedisJobWaker,
  RedisRateLimiter,
} from '@lucid-sessions/redis';

interface RedisSettings {
  address: RedisAddress;
  password: string | null;
  ca: string | null;
}

const secretCharsMax = 1024;

/** Null: there is none. Throws EnvironmentError. */
export function readRedis(environment: Environment): RedisSettings | null {
  const url = readText(environment, 'REDIS_URL', '');
  if (url === '') return null;
  const password = fileOf('REDIS_PASSWORD_FILE', readText(environment, 'REDIS_PASSWORD_FILE', ''));
  const ca = fileOf('REDIS_CA', readText(environment, 'REDIS_CA', ''));
  try {
    const secret = password?.slice(0, secretCharsMax).replace(/\r?\n[\s\S]*$/, '') ?? null;
    return { address: parseRedisUrl(url), password: secret, ca };
  } catch (error) {
    // Its cause is left out: nothing of the address may be seen.
    throw new EnvironmentError('REDIS_URL', error instanceof Error ? error.message : 'can not be read');
  }
}

function fileOf(variable: string, path: string): string | null {
  if (path === '') return null;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new EnvironmentError(
      variable,
      `names ${path}, which can't be read: ${accessProblem(error) ?? 'it is no file'}`,
    );
  }
}

export interface OpenRedis {
  rateLimiter: RateLimiter;
  /** `installation`: what all its pipelines call it. */
  jobWaker(installation: string): JobWaker;
  dispose(): void;
}

/** Waits for nobody: who is not there yet is asked again. */
export function openRedis({ address, password, ca }: RedisSettings, say: (line: string) => void): OpenRedis {
  const redis = connectRedis(address, { password, ca });
  redis.once('ready', () => {
    const telling = evictionProblem(redis).then((problem) => problem === null || say(`redis: ${problem}`));
    telling.catch(() =>
      say('redis: it does not say whether it keeps what it is given; set maxmemory-policy noeviction'),
    );
  });
  return {
    rateLimiter: new RedisRateLimiter({ redis, local: new MemoryRateLimiter(), say }),
    jobWaker(installation) {
      const waiting = connectRedis(address, { password, ca, waits: true });
      return new RedisJobWaker({ redis, waiting, installation, say });
    },
    dispose: () => redis.disconnect(),
  };
}
