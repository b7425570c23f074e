/** Where chunks lie, by the scheme of the variable that says it: a directory, or a bucket (`s3://bucket/prefix`). */
import { resolve } from 'node:path';
import { isLucidError } from '@lucid-sessions/contract';
import { type ChunkDisk, FsChunkStore } from '@lucid-sessions/files';
import {
  type Environment,
  EnvironmentError,
  isBucket,
  readBoolean,
  readInteger,
  readText,
  readUrl,
} from '@lucid-sessions/kit';
import type { S3ChunkStoreOptions, S3Encryption } from '@lucid-sessions/s3';
import { s3Limits } from '@lucid-sessions/s3/limits';
import type { ChunkStore } from '@lucid-sessions/storage';

/** A store's place: the variable that names it, what it says, and how the variables of its bucket begin. */
export interface ChunkPlace {
  variable: string;
  path: string;
  settings: 'LUCID_S3' | 'LUCID_COPY_S3';
}

export const chunkPlace = (path: string): ChunkPlace => ({
  variable: 'CHUNK_STORAGE_PATH',
  path,
  settings: 'LUCID_S3',
});

export const copyPlace = (path: string): ChunkPlace => ({
  variable: 'CHUNK_COPY_PATH',
  path,
  settings: 'LUCID_COPY_S3',
});

export const logPlace = (path: string): ChunkPlace => ({ variable: 'LUCID_LOG_PATH', path, settings: 'LUCID_S3' });

const mebibyte = 1024 * 1024;
const lockModes = { off: undefined, governance: 'GOVERNANCE', compliance: 'COMPLIANCE' } as const;

function encryptionOf(variable: string, text: string): S3Encryption | undefined {
  if (text === 'bucket') return undefined;
  if (text === 'AES256') return { kind: 'AES256' };
  const [, keyId] = /^aws:kms(?::(.{1,2048}))?$/.exec(text) ?? [];
  if (text === 'aws:kms') return { kind: 'aws:kms' };
  if (keyId !== undefined) return { kind: 'aws:kms', keyId };
  throw new EnvironmentError(variable, `must be bucket, AES256, aws:kms or aws:kms:KEY, not "${text}"`);
}

/** Null for a directory. Throws `EnvironmentError`. */
export function bucketOptions(
  environment: Environment,
  { variable, path, settings }: ChunkPlace,
): S3ChunkStoreOptions | null {
  if (!isBucket(path)) return null;
  const [, bucket, folders = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(path) ?? [];
  const prefix = folders.replace(/\/$/, '');
  if (bucket === undefined || !/^(?:[\w!.*'()-]+(?:\/[\w!.*'()-]+)*)?$/.test(prefix) || prefix.length > 500)
    throw new EnvironmentError(variable, `must be a directory or s3://bucket/prefix, not "${path}"`);
  const isElsewhere = readText(environment, `${settings}_ENDPOINT`, '') !== '';
  const endpoint = isElsewhere ? { endpoint: readUrl(environment, `${settings}_ENDPOINT`, '') } : {};
  const region = readText(
    environment,
    `${settings}_REGION`,
    isElsewhere ? (environment.AWS_REGION ?? 'us-east-1') : '',
  );
  const profile = readText(environment, `${settings}_PROFILE`, '');
  const encryption = encryptionOf(`${settings}_ENCRYPTION`, readText(environment, `${settings}_ENCRYPTION`, 'bucket'));
  const lock = readText(environment, `${settings}_OBJECT_LOCK`, 'off');
  if (!(lock in lockModes))
    throw new EnvironmentError(`${settings}_OBJECT_LOCK`, `must be off, governance or compliance, not "${lock}"`);
  const lockMode = lockModes[lock as keyof typeof lockModes];
  const whole = (name: string, min: number, max: number, fallback: number) =>
    readInteger(environment, `${settings}_${name}`, { min, max, fallback });
  return {
    bucket,
    prefix: prefix === '' ? '' : `${prefix}/`,
    ...endpoint,
    ...(region === '' ? {} : { region }),
    ...(profile === '' ? {} : { profile }),
    isPathStyle: readBoolean(environment, `${settings}_PATH_STYLE`, isElsewhere),
    ...(encryption === undefined ? {} : { encryption }),
    ...(lockMode === undefined ? {} : { lockMode }),
    // Parts of fewer than 5 MiB are refused.
    partBytes: whole('PART_MB', 5, 128, 32) * mebibyte,
    limits: {
      requestsMax: whole('REQUESTS_MAX', 1, 1000, s3Limits.requestsMax),
      tryMsMax: whole('TIMEOUT_MS', 100, 300_000, s3Limits.tryMsMax),
    },
  };
}

/** A bucket is tried first: whether it keeps what is written once, and lets go of keys. */
export async function openChunkStore(
  environment: Environment,
  place: ChunkPlace,
  disk?: ChunkDisk,
): Promise<ChunkStore> {
  const options = bucketOptions(environment, place);
  if (options === null) return new FsChunkStore({ path: resolve(place.path), ...(disk === undefined ? {} : { disk }) });
  // The SDK is a fifth of a second's loading.
  const { S3ChunkStore } = await import('@lucid-sessions/s3');
  const store = new S3ChunkStore(options);
  try {
    await store.check();
    return store;
  } catch (error) {
    await store.dispose();
    const why = isLucidError(error, 'storage') ? error.message : String(error);
    throw new EnvironmentError(place.variable, `names ${place.path}, which can't be used: ${why}`, { cause: error });
  }
}
