/**
 * Taking objects away for good. A bucket may keep versions, and an object is gone when the last of them is: the newest is found by
 * asking for the object by name, the older ones by listing them. Neither is believed alone.
 */
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
} from '@aws-sdk/client-s3';
import { LucidError } from '@lucid-sessions/contract';
import type { S3Bucket } from './s3-bucket.ts';
import { headersOf, isAbsent, isUploadGone, statusOf } from './s3-errors.ts';

interface Version {
  /** Whole, with the bucket's prefix. */
  key: string;
  /** Undefined in a bucket without versions. */
  versionId: string | undefined;
  bytes: number;
  etag: string;
}

const roundsMax = 1000;
const page = 1000;
const namesAtOnce = 16;

/** Versions and delete markers below a prefix, as listed now. A store without versions lists the objects. */
async function* versionsBelow(bucket: S3Bucket, prefix: string): AsyncIterable<Version> {
  let markers: { KeyMarker?: string; VersionIdMarker?: string } = {};
  for (;;) {
    const { answer } = await bucket.sender.send((abortSignal) =>
      bucket.sender.client.send(
        new ListObjectVersionsCommand({
          Bucket: bucket.options.bucket,
          Prefix: bucket.options.prefix + prefix,
          MaxKeys: page,
          ...markers,
        }),
        { abortSignal },
      ),
    );
    for (const { Key: key = '', VersionId: versionId, Size: bytes = 0, ETag: etag = '' } of answer.Versions ?? [])
      yield { key, versionId, bytes, etag };
    for (const { Key: key = '', VersionId: versionId } of answer.DeleteMarkers ?? [])
      yield { key, versionId, bytes: 0, etag: '' };
    if (answer.IsTruncated !== true || answer.NextKeyMarker === undefined) return;
    markers = {
      KeyMarker: answer.NextKeyMarker,
      ...(answer.NextVersionIdMarker === undefined ? {} : { VersionIdMarker: answer.NextVersionIdMarker }),
    };
  }
}

async function* listed(bucket: S3Bucket, prefix: string): AsyncIterable<Version> {
  try {
    yield* versionsBelow(bucket, prefix);
  } catch (thrown) {
    if (statusOf(thrown) !== 501) throw thrown;
    for await (const { key, bytes } of bucket.list(prefix))
      yield { key: bucket.options.prefix + key, versionId: undefined, bytes, etag: '' };
  }
}

/** The newest version by the object's name, be it a delete marker; null when there is none. */
async function newest(bucket: S3Bucket, key: string): Promise<Version | null> {
  const named = bucket.named(key);
  const whole = named.Key;
  try {
    const { answer } = await bucket.sender.send((abortSignal) =>
      bucket.sender.client.send(new HeadObjectCommand(named), { abortSignal }),
    );
    return { key: whole, versionId: answer.VersionId, bytes: answer.ContentLength ?? 0, etag: answer.ETag ?? '' };
  } catch (thrown) {
    if (!isAbsent(thrown)) throw thrown;
    const headers = headersOf(thrown);
    const versionId = headers['x-amz-version-id'];
    return headers['x-amz-delete-marker'] === 'true' && versionId !== undefined
      ? { key: whole, versionId, bytes: 0, etag: '' }
      : null;
  }
}

const lockedError = (count: number): LucidError =>
  new LucidError(
    'storage',
    `${count === 1 ? 'an object is' : `${count} objects are`} locked in the object store: they go when their retention, or the legal hold, is over`,
    { status: 500, details: { locked: count } },
  );

async function deleteVersion(bucket: S3Bucket, { key, versionId }: Version): Promise<void> {
  const version = versionId === undefined ? {} : { VersionId: versionId };
  try {
    await bucket.sender.send((abortSignal) =>
      bucket.sender.client.send(new DeleteObjectCommand({ Bucket: bucket.options.bucket, Key: key, ...version }), {
        abortSignal,
      }),
    );
  } catch (thrown) {
    if (isAbsent(thrown)) return;
    if (statusOf(thrown) === 403) throw lockedError(1);
    throw thrown;
  }
}

/** `keep`: the version with this ETag stays; where another is the newest, somebody else's word holds, and nothing is done. */
export async function destroyObject(bucket: S3Bucket, key: string, keep?: { etag: string }): Promise<void> {
  for (let round = 0; round < roundsMax; round++) {
    const top = await newest(bucket, key);
    if (keep !== undefined && top?.etag !== keep.etag) return;
    const found = new Map<string, Version>();
    if (top !== null && keep === undefined) found.set(top.versionId ?? '', top);
    for await (const version of listed(bucket, key)) {
      // A bucket without versions lists its objects as version `null`, of which their heads may not speak.
      const isKept = keep !== undefined && (version.versionId ?? 'null') === (top?.versionId ?? 'null');
      if (version.key === bucket.named(key).Key && !isKept) found.set(version.versionId ?? '', version);
    }
    if (found.size === 0) return;
    for (const version of found.values()) await deleteVersion(bucket, version);
  }
  throw new LucidError('storage', 'an object in the object store comes back however often it is destroyed');
}

/** Answers how many are locked. */
async function deleteMany(bucket: S3Bucket, versions: readonly Version[]): Promise<number> {
  const { answer } = await bucket.sender.send((abortSignal) =>
    bucket.sender.client.send(
      new DeleteObjectsCommand({
        Bucket: bucket.options.bucket,
        Delete: {
          Quiet: true,
          Objects: versions.map(({ key, versionId }) => ({
            Key: key,
            ...(versionId === undefined ? {} : { VersionId: versionId }),
          })),
        },
      }),
      { abortSignal },
    ),
  );
  const errors = (answer.Errors ?? []).filter(({ Code: code }) => code !== 'NoSuchKey' && code !== 'NoSuchVersion');
  const other = errors.find(({ Code: code }) => code !== 'AccessDenied' && code !== 'InvalidRequest');
  if (other !== undefined)
    throw new LucidError('storage', `the object store does not delete: ${other.Code ?? 'no reason given'}`);
  return errors.length;
}

export async function destroyBelow(bucket: S3Bucket, prefix: string, named: readonly string[]): Promise<number> {
  const taken = new Map<string, Version>();
  const take = (version: Version) => taken.set(`${version.key}\n${version.versionId ?? ''}`, version);
  for (let round = 0; round < roundsMax; round++) {
    const before = taken.size;
    let batch: Version[] = [];
    let locked = 0;
    for await (const version of listed(bucket, prefix)) {
      take(version);
      if (batch.push(version) < page) continue;
      locked += await deleteMany(bucket, batch);
      batch = [];
    }
    if (batch.length > 0) locked += await deleteMany(bucket, batch);
    if (locked > 0) throw lockedError(locked);
    // Nothing new: what is listed still is listed late.
    if (taken.size === before) break;
  }
  const listedKeys = new Set([...taken.values()].map(({ key }) => key));
  const unlisted = named.filter((key) => !listedKeys.has(bucket.named(key).Key));
  // What an old listing does not tell is found by its name.
  const destroyUnlisted = async (key: string): Promise<void> => {
    for (let round = 0; round < roundsMax; round++) {
      const version = await newest(bucket, key);
      if (version === null) return;
      await deleteVersion(bucket, version);
      take(version);
    }
  };
  for (let at = 0; at < unlisted.length; at += namesAtOnce)
    await Promise.all(unlisted.slice(at, at + namesAtOnce).map(destroyUnlisted));
  return [...taken.values()].reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Uploads in parts that nobody finished. Answers how many. */
export async function abandonUploads(bucket: S3Bucket, olderThanMs: number): Promise<number> {
  const { sender, options } = bucket;
  let count = 0;
  const { answer } = await sender.send((abortSignal) =>
    sender.client.send(new ListMultipartUploadsCommand({ Bucket: options.bucket, Prefix: options.prefix }), {
      abortSignal,
    }),
  );
  for (const { Key, UploadId, Initiated } of answer.Uploads ?? []) {
    if (Initiated !== undefined && Date.now() - Initiated.getTime() < olderThanMs) continue;
    await sender
      .send((abortSignal) =>
        sender.client.send(new AbortMultipartUploadCommand({ Bucket: options.bucket, Key, UploadId }), { abortSignal }),
      )
      .catch((thrown: unknown) => {
        if (!isUploadGone(thrown) && !isAbsent(thrown)) throw thrown;
      });
    count += 1;
  }
  return count;
}
