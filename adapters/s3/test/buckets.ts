/** Buckets of tests' own on the server they share. */
import { randomBytes } from 'node:crypto';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { type S3BucketOptions, S3ChunkStore, type S3ChunkStoreOptions } from '@lucid-sessions/s3';
import type { S3ServerAddress } from '@lucid-sessions/testkit';

export const region = 'us-east-1';

/** Credentials come from the environment, as in production. */
export function useCredentials({ accessKeyId, secretAccessKey }: S3ServerAddress): void {
  process.env.AWS_ACCESS_KEY_ID = accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = secretAccessKey;
}

export const clientOf = (endpoint: string) => new S3Client({ endpoint, region, forcePathStyle: true });

type BucketKind = 'plain' | 'versioned' | 'locking';
const buckets = new Map<string, Promise<string>>();

async function makeBucket(endpoint: string, kind: BucketKind): Promise<string> {
  const client = clientOf(endpoint);
  const bucket = `test-${kind}-${randomBytes(6).toString('hex')}`;
  await client.send(new CreateBucketCommand({ Bucket: bucket, ObjectLockEnabledForBucket: kind === 'locking' }));
  if (kind === 'versioned')
    await client.send(
      new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
    );
  client.destroy();
  return bucket;
}

/** Nobody else's prefix of the one bucket of that kind: servers reserve room for each bucket. */
export async function newPlace(endpoint: string, kind: BucketKind = 'plain'): Promise<S3BucketOptions> {
  const bucket = buckets.get(endpoint + kind) ?? makeBucket(endpoint, kind);
  buckets.set(endpoint + kind, bucket);
  const prefix = `recordings/${randomBytes(6).toString('hex')}/`;
  return { endpoint, region, bucket: await bucket, isPathStyle: true, prefix };
}

/** Backs off in the time a test has. */
export const quickLimits = { backOffMs: { first: 1, most: 20 }, tryMsMax: 30_000, giveUpMs: 60_000 };

export const storeIn = (place: S3BucketOptions, options: Partial<S3ChunkStoreOptions> = {}): S3ChunkStore =>
  new S3ChunkStore({ ...place, limits: quickLimits, ...options });
