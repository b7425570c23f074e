export { S3Bucket, type S3BucketOptions, type S3Encryption } from './s3-bucket.ts';
export { S3ChunkStore, type S3ChunkStoreOptions } from './s3-chunk-store.ts';
export { type S3Limits, s3Limits } from './s3-limits.ts';
export { S3LogHeadStore, s3LogDisk } from './s3-log.ts';
export type { S3Place } from './s3-sender.ts';
