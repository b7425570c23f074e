/** Where the log lies: a directory with one writer, or a bucket that every pipeline may add to. */

import type { KeyDirectory } from '@lucid-sessions/keys';
import { type Environment, EnvironmentError, isBucket, readLogPath } from '@lucid-sessions/kit';
import { EmbeddedLog, logFileReader, logReader } from '@lucid-sessions/log';
import type { S3Bucket } from '@lucid-sessions/s3';
import { bucketOptions, logPlace } from './chunk-stores.ts';
import type { DataDirectory } from './environment.ts';
import { opened } from './store-scheme.ts';

export interface OpenLog {
  log: EmbeddedLog;
  close(): Promise<void>;
}

export type LogFileReader = (path: string) => Promise<Uint8Array | null>;

export const isLogInBucket = (environment: Environment): boolean => isBucket(readLogPath(environment) ?? '');

async function bucketOf(environment: Environment): Promise<S3Bucket> {
  const options = bucketOptions(environment, logPlace(readLogPath(environment) ?? ''));
  const { S3Bucket } = await import('@lucid-sessions/s3');
  return new S3Bucket(options!);
}

/** `origin`: what the log is called; one in a bucket keeps the name it began with. */
export async function openLog(
  environment: Environment,
  keys: KeyDirectory,
  directory: DataDirectory,
  origin: string,
): Promise<OpenLog> {
  const signer = await keys.logSigner(origin);
  if (!isLogInBucket(environment)) {
    const log = await opened('LUCID_DATA_DIR', directory.log, () =>
      EmbeddedLog.open({ directory: directory.log, signer }),
    );
    return { log, close: () => log.close() };
  }
  const { S3LogHeadStore, s3LogDisk } = await import('@lucid-sessions/s3');
  const bucket = await bucketOf(environment);
  try {
    return await opened('LUCID_LOG_PATH', readLogPath(environment)!, async () => {
      await bucket.check();
      const disk = s3LogDisk(bucket);
      const checkpoint = await disk.read('checkpoint');
      const known = checkpoint === null ? origin : Buffer.from(checkpoint).toString().split('\n')[0];
      if (known !== origin)
        throw new EnvironmentError(
          'LUCID_LOG_ORIGIN',
          `must be ${known}, which this log has been called from its first entry`,
        );
      const log = await EmbeddedLog.open({ directory: '', signer, disk, heads: new S3LogHeadStore(bucket) });
      return {
        log,
        async close() {
          await log.close();
          bucket.dispose();
        },
      };
    });
  } catch (thrown) {
    bucket.dispose();
    throw thrown;
  }
}

/** Public files of the log, for whoever serves them. */
export async function logFiles(
  environment: Environment,
  directory: DataDirectory,
): Promise<{ read: LogFileReader; close(): Promise<void> }> {
  if (!isLogInBucket(environment)) return { read: logFileReader(directory.log), close: async () => {} };
  const { s3LogDisk } = await import('@lucid-sessions/s3');
  const bucket = await bucketOf(environment);
  return { read: logReader(s3LogDisk(bucket).read), close: async () => bucket.dispose() };
}
