/**
 * Objects below a prefix of one bucket. Writes are conditional and carry their SHA-256, which the store checks and which stays
 * with the object; reads compare it. What is asked by name is the truth; listings may be old and are only hints.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
} from '@aws-sdk/client-s3';
import { LucidError } from '@lucid-sessions/contract';
import { isAbsent, isRefusedByCondition, storageError } from './s3-errors.ts';
import { type S3Limits, s3Limits } from './s3-limits.ts';
import { putInParts } from './s3-parts.ts';
import { type S3Place, S3Sender, wasRepeated } from './s3-sender.ts';
import { abandonUploads, destroyBelow, destroyObject } from './s3-versions.ts';

export type S3Encryption = { kind: 'AES256' } | { kind: 'aws:kms'; keyId?: string };

export interface S3BucketOptions extends S3Place {
  encryption?: S3Encryption;
  /** Nobody, or only who may bypass it, deletes a locked object before its time. */
  lockMode?: 'COMPLIANCE' | 'GOVERNANCE';
  /** Larger objects are sent in parts. */
  partBytes?: number;
  limits?: Partial<S3Limits>;
}

export interface ObjectFacts {
  length: number;
  etag: string;
  /** Hex; null for an object that somebody else put there. */
  sha256: string | null;
}

export interface PutCondition {
  /** Only where there is no such object. */
  ifAbsent?: boolean;
  /** Only in place of the object with this ETag. */
  ifEtag?: string;
  /** Locks the object until then, where the bucket locks; ms since 1970. */
  lockUntilMs?: number;
}

/** `present`: what is there instead; null when it is gone again. */
export type PutResult = { written: true; etag: string } | { written: false; present: ObjectFacts | null };

export const sha256Name = 'lucid-sha256';
const objectBytesMax = 256 * 1024 * 1024;
/** An object that comes back wrong is read again: most spoil on the way. */
const readsMax = 3;
const listPage = 1000;
const mebibyte = 1024 * 1024;

/** Shared memory may change while it is hashed and sent, and WebCrypto refuses it. */
const unshared = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);

export async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<Buffer> {
  if (bytes.length < 65_536) return createHash('sha256').update(bytes).digest();
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes));
}

/** The signature's hash of the body is the one at hand. */
export function withBodyHash<C extends { middlewareStack: { add: (...args: never[]) => void } }>(
  command: C,
  sha256: Buffer,
): C {
  const set = (next: (args: never) => unknown) => (args: { request: { headers: Record<string, string> } }) => {
    args.request.headers['x-amz-content-sha256'] = sha256.toString('hex');
    return next(args as never);
  };
  command.middlewareStack.add(set as never, { step: 'build', name: 'lucidBodyHash' } as never);
  return command;
}

export class S3Bucket {
  readonly options: S3BucketOptions;
  readonly sender: S3Sender;
  readonly #partBytes: number;

  constructor(options: S3BucketOptions) {
    this.options = options;
    this.sender = new S3Sender(options, { ...s3Limits, ...options.limits });
    this.#partBytes = options.partBytes ?? 32 * mebibyte;
  }

  /**
   * Whether the bucket does what evidence needs: a second write of a name is refused, and what must be destroyed can be. Throws
   * `LucidError` in words for who set it up.
   */
  async check(): Promise<void> {
    const key = `tmp/probe-${randomBytes(12).toString('hex')}`;
    await guarded('trying the bucket', async () => {
      await this.put(key, Buffer.from('first'), { ifAbsent: true });
      const second = await this.put(key, Buffer.from('second'), { ifAbsent: true });
      const isEncrypted = await this.#isEncryptedAsAsked(key);
      await this.destroy(key);
      if (second.written)
        throw new LucidError(
          'storage',
          'the object store ignores If-None-Match: whatever is stored there could be written over',
        );
      if (!isEncrypted)
        throw new LucidError(
          'storage',
          'the object store does not say that it encrypts as it was asked to (…_ENCRYPTION)',
        );
    });
  }

  async #isEncryptedAsAsked(key: string): Promise<boolean> {
    const { encryption } = this.options;
    if (encryption === undefined) return true;
    const { answer } = await this.sender.send((abortSignal) =>
      this.sender.client.send(new HeadObjectCommand(this.named(key)), { abortSignal }),
    );
    return answer.ServerSideEncryption === encryption.kind;
  }

  /** Of every command that names an object. */
  named(key: string) {
    return { Bucket: this.options.bucket, Key: this.options.prefix + key };
  }

  /** Of every command that makes an object. */
  made(sha256: Buffer, { lockUntilMs }: PutCondition) {
    const { encryption, lockMode } = this.options;
    const isLocked = lockMode !== undefined && lockUntilMs !== undefined && lockUntilMs > Date.now();
    return {
      Metadata: { [sha256Name]: sha256.toString('hex') },
      ContentType: 'application/octet-stream',
      ...(encryption === undefined ? {} : { ServerSideEncryption: encryption.kind }),
      ...(encryption?.kind === 'aws:kms' && encryption.keyId !== undefined ? { SSEKMSKeyId: encryption.keyId } : {}),
      ...(isLocked ? { ObjectLockMode: lockMode, ObjectLockRetainUntilDate: new Date(lockUntilMs) } : {}),
    };
  }

  /** Answers when the whole object is durable. A put whose answer was lost finds its own object, and says that it is written. */
  async put(key: string, given: Uint8Array, condition: PutCondition = {}): Promise<PutResult> {
    const bytes = unshared(given);
    const sha256 = await sha256Of(bytes);
    try {
      if (bytes.length > this.#partBytes)
        return { written: true, etag: await putInParts(this, key, bytes, sha256, condition, this.#partBytes) };
      const { answer } = await this.sender.send((abortSignal) => {
        const command = new PutObjectCommand({
          ...this.named(key),
          ...this.made(sha256, condition),
          ...conditionOf(condition),
          Body: bytes,
          ContentLength: bytes.length,
          ChecksumSHA256: sha256.toString('base64'),
        });
        return this.sender.client.send(withBodyHash(command, sha256), { abortSignal });
      }, bytes.length);
      return { written: true, etag: answer.ETag ?? '' };
    } catch (thrown) {
      // 404: there is nothing for If-Match to match.
      if (!isRefusedByCondition(thrown) && !(condition.ifEtag !== undefined && isAbsent(thrown))) throw thrown;
      const present = await this.facts(key);
      const isOurs = wasRepeated(thrown) && present !== null && (await this.isSame(key, present, bytes, sha256));
      return isOurs ? { written: true, etag: present.etag } : { written: false, present };
    }
  }

  /** Whether the object that is there is `bytes`. */
  async isSame(key: string, present: ObjectFacts, bytes: Uint8Array, sha256?: Buffer): Promise<boolean> {
    if (present.length !== bytes.length) return false;
    const ours = (sha256 ?? (await sha256Of(unshared(bytes)))).toString('hex');
    if (present.sha256 !== null) return present.sha256 === ours;
    const there = await this.get(key);
    return there !== null && (await sha256Of(there.bytes)).toString('hex') === ours;
  }

  /** Null when there is no such object. */
  async facts(key: string): Promise<ObjectFacts | null> {
    try {
      const { answer } = await this.sender.send((abortSignal) =>
        this.sender.client.send(new HeadObjectCommand(this.named(key)), { abortSignal }),
      );
      return factsOf(answer);
    } catch (thrown) {
      if (isAbsent(thrown)) return null;
      throw thrown;
    }
  }

  /**
   * Null when there is no such object. One that isn't what was put, however often it is read, is `isSpoiled`.
   */
  async get(key: string): Promise<(ObjectFacts & { bytes: Uint8Array<ArrayBuffer>; isSpoiled: boolean }) | null> {
    for (let reads = 1; ; reads++) {
      const read = await this.#read(key);
      if (read === null) return null;
      const { bytes, facts } = read;
      const isSpoiled = facts.sha256 !== null && (await sha256Of(bytes)).toString('hex') !== facts.sha256;
      if (!isSpoiled || reads === readsMax) return { ...facts, bytes, isSpoiled };
    }
  }

  /** What must not come back wrong. */
  async getWhole(key: string, what: string): Promise<Uint8Array<ArrayBuffer> | null> {
    const read = await this.get(key);
    if (read?.isSpoiled === true)
      throw new LucidError('storage', `${what} in the object store is not what was put there`);
    return read?.bytes ?? null;
  }

  async #read(key: string): Promise<{ bytes: Uint8Array<ArrayBuffer>; facts: ObjectFacts } | null> {
    try {
      const { answer } = await this.sender.send(async (abortSignal) => {
        const answered = await this.sender.client.send(new GetObjectCommand(this.named(key)), { abortSignal });
        const facts = factsOf(answered);
        return { bytes: await bodyOf(answered.Body as Readable, facts.length, abortSignal), facts };
      }, mebibyte * 16);
      return answer;
    } catch (thrown) {
      if (isAbsent(thrown)) return null;
      throw thrown;
    }
  }

  /** Hides it where the bucket keeps versions. With an ETag only that object goes. */
  async remove(key: string, etag?: string): Promise<void> {
    // Not every store knows conditional deletes.
    if (etag !== undefined && (await this.facts(key))?.etag !== etag) return;
    const condition = etag === undefined ? {} : { IfMatch: etag };
    try {
      await this.sender.send((abortSignal) =>
        this.sender.client.send(new DeleteObjectCommand({ ...this.named(key), ...condition }), { abortSignal }),
      );
    } catch (thrown) {
      if (!isAbsent(thrown) && !isRefusedByCondition(thrown)) throw thrown;
    }
  }

  /** Every version of one object, until asking for it by name finds nothing. */
  destroy(key: string, keep?: { etag: string }): Promise<void> {
    return destroyObject(this, key, keep);
  }

  /** Every version of everything below a prefix, and of `named`, whatever the listing says. Answers the bytes that were there. */
  destroyBelow(prefix: string, named: readonly string[]): Promise<number> {
    return destroyBelow(this, prefix, named);
  }

  abandonUploads(olderThanMs: number): Promise<number> {
    return abandonUploads(this, olderThanMs);
  }

  /** Keys below a prefix and, with `folders`, the folders right below it, as listed now: a hint. Without the bucket's prefix. */
  async *list(prefix: string, options: { folders?: boolean } = {}): AsyncIterable<ListedObject> {
    for (let token: string | undefined; ; ) {
      const { answer } = await this.sender.send((abortSignal) =>
        this.sender.client.send(
          new ListObjectsV2Command({
            Bucket: this.options.bucket,
            Prefix: this.options.prefix + prefix,
            MaxKeys: listPage,
            ...(options.folders === true ? { Delimiter: '/' } : {}),
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
          { abortSignal },
        ),
      );
      const skip = this.options.prefix.length;
      for (const { Key: key = '', Size: bytes = 0, LastModified: at } of answer.Contents ?? [])
        yield { key: key.slice(skip), bytes, isFolder: false, modifiedMs: at?.getTime() ?? 0 };
      for (const { Prefix: folder = '' } of answer.CommonPrefixes ?? [])
        yield { key: folder.slice(skip), bytes: 0, isFolder: true, modifiedMs: 0 };
      token = answer.IsTruncated === true ? answer.NextContinuationToken : undefined;
      if (token === undefined) return;
    }
  }

  /** Whether something is listed below a prefix. */
  async hasAny(prefix: string): Promise<boolean> {
    const { answer } = await this.sender.send((abortSignal) =>
      this.sender.client.send(
        new ListObjectsV2Command({
          Bucket: this.options.bucket,
          Prefix: this.options.prefix + prefix,
          MaxKeys: 1,
        }),
        { abortSignal },
      ),
    );
    return (answer.Contents ?? []).length > 0;
  }

  /** Locks an object until the hold is taken off again, whatever its retention. */
  async hold(key: string, isHeld: boolean): Promise<void> {
    await this.sender.send((abortSignal) =>
      this.sender.client.send(
        new PutObjectLegalHoldCommand({
          ...this.named(key),
          LegalHold: { Status: isHeld ? 'ON' : 'OFF' },
          ChecksumAlgorithm: 'SHA256',
        }),
        { abortSignal },
      ),
    );
  }

  dispose(): void {
    this.sender.dispose();
  }
}

export interface ListedObject {
  key: string;
  bytes: number;
  isFolder: boolean;
  modifiedMs: number;
}

export const conditionOf = ({ ifAbsent, ifEtag }: PutCondition) => ({
  ...(ifAbsent === true ? { IfNoneMatch: '*' } : {}),
  ...(ifEtag === undefined ? {} : { IfMatch: ifEtag }),
});

function factsOf(answer: Pick<HeadObjectCommandOutput, 'ContentLength' | 'ETag' | 'Metadata'>): ObjectFacts {
  const sha256 = answer.Metadata?.[sha256Name];
  return {
    length: answer.ContentLength ?? 0,
    etag: answer.ETag ?? '',
    sha256: sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null,
  };
}

/** The whole body. One that is cut, or longer than said, is a fault of the way. */
async function bodyOf(body: Readable, length: number, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  if (!(length <= objectBytesMax)) {
    body.destroy();
    throw new LucidError('storage', `an object of ${length} bytes is none of ours`);
  }
  const end = () => body.destroy(new Error('no answer in time'));
  signal.addEventListener('abort', end, { once: true });
  try {
    const bytes = new Uint8Array(length);
    let at = 0;
    for await (const part of body as AsyncIterable<Uint8Array>) {
      if (at + part.length > length) throw new Error('more bytes than said');
      bytes.set(part, at);
      at += part.length;
    }
    if (at !== length) throw new Error('fewer bytes than said');
    return bytes;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** With what was being done. */
export async function guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw storageError(doing, thrown);
  }
}
