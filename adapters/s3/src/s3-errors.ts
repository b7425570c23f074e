/** What an object store's refusals mean: to be asked again, an answer in itself, or a person's matter. */
import { LucidError } from '@lucid-sessions/contract';

interface Thrown {
  name?: string;
  code?: string;
  $metadata?: { httpStatusCode?: number };
  $response?: { headers?: Record<string, string> };
}

const thrownOf = (thrown: unknown): Thrown => (thrown ?? {}) as Thrown;

export const statusOf = (thrown: unknown): number | undefined => thrownOf(thrown).$metadata?.httpStatusCode;

export const headersOf = (thrown: unknown): Record<string, string> => thrownOf(thrown).$response?.headers ?? {};

/** A 404 for the object; one for the bucket is a fault. */
export const isAbsent = (thrown: unknown): boolean =>
  statusOf(thrown) === 404 && thrownOf(thrown).name !== 'NoSuchBucket' && thrownOf(thrown).name !== 'NoSuchUpload';

export const isUploadGone = (thrown: unknown): boolean => thrownOf(thrown).name === 'NoSuchUpload';

/** `If-None-Match` or `If-Match` did not hold. */
export const isRefusedByCondition = (thrown: unknown): boolean => statusOf(thrown) === 412;

const onTheWay = new Set(['BadDigest', 'XAmzContentChecksumMismatch', 'XAmzContentSHA256Mismatch', 'InvalidDigest']);
const passing = new Set(['SlowDown', 'RequestTimeout', 'ConditionalRequestConflict', 'OperationAborted', 'Throttling']);

/** Whether asking again may help. A write that ends so may have taken effect. */
export function isPassing(thrown: unknown): boolean {
  const { name = '' } = thrownOf(thrown);
  if (name === 'CredentialsProviderError') return false;
  if (passing.has(name) || onTheWay.has(name)) return true;
  const status = statusOf(thrown);
  // No answer at all: cut, refused, timed out, or one that could not be read.
  if (status === undefined || status === 200) return !(thrown instanceof LucidError);
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 507);
}

const outOfRoom = new Set(['QuotaExceeded', 'QuotaExceededException', 'InsufficientStorage', 'XMinioStorageFull']);

/** What a person can do about it. Keys and endpoint stay out of the message. */
export function storageError(doing: string, thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  const { name, code } = thrownOf(thrown);
  const status = statusOf(thrown);
  const full = status === 507 || outOfRoom.has(name ?? '');
  const word = code ?? name ?? 'no answer';
  const answered =
    name === 'CredentialsProviderError'
      ? 'no credentials for the object store were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile that has them'
      : status === undefined
        ? `the object store gives no answer (${word})`
        : `the object store says ${word}`;
  return new LucidError('storage', `${doing} failed: ${full ? 'the bucket’s quota is used up' : answered}`, {
    status: full ? 507 : 500,
    details: { s3: word, ...(status === undefined ? {} : { status }) },
    cause: thrown,
  });
}
