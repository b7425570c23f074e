/**
 * Chunks as objects below CHUNK_STORAGE_PATH (`s3://bucket/prefix`), by the names they have in a directory:
 *
 * ```
 * <prefix>/<session>/<index>.chunk     sealed chunk files, written once
 * <prefix>/<session>/leaves/…          leaf and seal of each chunk (s3-leaves.ts)
 * <prefix>/<session>/wraps.json        wrapped keys: never locked, destroyed with every version
 * <prefix>/<session>/records/…         signed records, written once
 * <prefix>/<session>/side/<name>       sidecars, which can be made again
 * tmp/                                 what a start tries the bucket with
 * ```
 */
import { type KeyWrap, LucidError, sessionIdSchema } from '@lucid-sessions/contract';
import { LEAF_RECORD_BYTES } from '@lucid-sessions/evidence';
import {
  chunkFileName,
  decodeWraps,
  encodeWraps,
  folderName,
  recordFileName,
  recordSequence,
  sessionFolder,
  sidecarName,
} from '@lucid-sessions/files';
import type { ChunkStore, PutFileOptions, RetainOptions } from '@lucid-sessions/storage';
import { guarded, S3Bucket, type S3BucketOptions } from './s3-bucket.ts';
import { S3Leaves } from './s3-leaves.ts';

const recordsAtOnce = 16;
/** Of a session whose last chunks no row tells of. */
const unknownChunks = 64;

export interface S3ChunkStoreOptions extends S3BucketOptions {
  /** What nobody finished for so long belongs to nobody any more. */
  temporaryAgeMs?: number;
}

const lockOf = ({ retainUntilUs }: RetainOptions) =>
  retainUntilUs === undefined ? {} : { lockUntilMs: Math.floor(retainUntilUs / 1000) };

export class S3ChunkStore implements ChunkStore {
  readonly isFar = true;
  readonly #bucket: S3Bucket;
  readonly #leaves: S3Leaves;
  readonly #temporaryAgeMs: number;

  constructor(options: S3ChunkStoreOptions) {
    this.#bucket = new S3Bucket(options);
    this.#leaves = new S3Leaves(this.#bucket, sessionFolder);
    this.#temporaryAgeMs = options.temporaryAgeMs ?? 3_600_000;
  }

  storagePath(sessionId: string, index: number): string {
    return `${sessionFolder(sessionId)}/${chunkFileName(index)}`;
  }

  /** As `S3Bucket.check`. */
  check(): Promise<void> {
    return this.#bucket.check();
  }

  async putFile(sessionId: string, index: number, file: Uint8Array, options: PutFileOptions = {}) {
    const storagePath = this.storagePath(sessionId, index);
    return guarded('writing a chunk', async () => {
      const lock = lockOf(options);
      const put = await this.#bucket.put(storagePath, file, {
        ...lock,
        ...(options.version === undefined ? { ifAbsent: true } : { ifEtag: options.version }),
      });
      if (put.written) return { written: true, storagePath, version: put.etag };
      const { present } = put;
      if (present === null) throw new LucidError('storage', 'somebody else removes the same chunk');
      const answer = { written: false, storagePath, version: present.etag };
      if (options.replace !== true) return answer;
      if (await this.#bucket.isSame(storagePath, present, file)) return { ...answer, written: true };
      // Another one than the caller has decided about.
      if (options.version !== undefined) throw new LucidError('storage', 'somebody else writes the same chunk');
      const { written } = await this.#bucket.put(storagePath, file, { ...lock, ifEtag: present.etag });
      if (!written) throw new LucidError('storage', 'somebody else writes the same chunk');
      return { written, storagePath };
    });
  }

  async readFile(sessionId: string, index: number): Promise<Uint8Array | null> {
    const path = this.storagePath(sessionId, index);
    // A spoiled chunk is handed out: its leaf judges it.
    return guarded('reading a chunk', async () => (await this.#bucket.get(path))?.bytes ?? null);
  }

  async fileBytes(sessionId: string, index: number): Promise<number | null> {
    const path = this.storagePath(sessionId, index);
    return guarded('looking at a chunk', async () => (await this.#bucket.facts(path))?.length ?? null);
  }

  async #namesIn(folder: string): Promise<string[]> {
    const names: string[] = [];
    for await (const { key, isFolder } of this.#bucket.list(`${folder}/`, { folders: true }))
      if (!isFolder) names.push(key.slice(folder.length + 1));
    return names;
  }

  async listFiles(sessionId: string): Promise<number[]> {
    const folder = sessionFolder(sessionId);
    const names = await guarded('looking at chunks', () => this.#namesIn(folder));
    return names
      .flatMap((name) => (/^\d+\.chunk$/.test(name) ? [Number.parseInt(name, 10)] : []))
      .sort((a, b) => a - b);
  }

  async removeFile(sessionId: string, index: number, version?: string): Promise<void> {
    const path = this.storagePath(sessionId, index);
    await guarded('removing a chunk', () => this.#bucket.remove(path, version));
  }

  async putLeaf(sessionId: string, index: number, sealedLeaf: Uint8Array, options: RetainOptions = {}): Promise<void> {
    chunkFileName(index);
    if (sealedLeaf.length !== LEAF_RECORD_BYTES)
      throw new LucidError('invalidRequest', `leaf and seal have ${LEAF_RECORD_BYTES} bytes`);
    await guarded('writing a leaf', () => this.#leaves.put(sessionId, index, sealedLeaf, lockOf(options)));
  }

  readLeaves(sessionId: string): Promise<Uint8Array> {
    return guarded('reading leaves', async () => this.#leaves.readAll(sessionId));
  }

  leavesTail(sessionId: string): Promise<{ count: number; last: Uint8Array | null }> {
    return guarded('reading leaves', async () => this.#leaves.tail(sessionId));
  }

  async putSidecar(sessionId: string, name: string, bytes: Uint8Array): Promise<void> {
    const key = `${sessionFolder(sessionId)}/side/${sidecarName(name)}`;
    await guarded('writing a sidecar', () => this.#bucket.put(key, bytes));
  }

  async getSidecar(sessionId: string, name: string): Promise<Uint8Array | null> {
    const key = `${sessionFolder(sessionId)}/side/${sidecarName(name)}`;
    return guarded('reading a sidecar', () => this.#bucket.getWhole(key, 'a sidecar'));
  }

  #wraps(sessionId: string): string {
    return `${sessionFolder(sessionId)}/wraps.json`;
  }

  async putWraps(sessionId: string, wraps: readonly KeyWrap[]): Promise<void> {
    const key = this.#wraps(sessionId);
    await guarded('writing wrapped keys', async () => {
      if (wraps.length === 0) return this.#bucket.destroy(key);
      const put = await this.#bucket.put(key, encodeWraps(wraps));
      // Older versions are wrapped to keys that may have been rotated because they were lost.
      if (put.written) await this.#bucket.destroy(key, { etag: put.etag });
    });
  }

  async getWraps(sessionId: string): Promise<KeyWrap[]> {
    const key = this.#wraps(sessionId);
    const bytes = await guarded('reading wrapped keys', () => this.#bucket.getWhole(key, 'the wrapped keys'));
    return bytes === null ? [] : decodeWraps(bytes);
  }

  async putRecord(sessionId: string, sequence: number, record: Uint8Array, options: RetainOptions = {}): Promise<void> {
    const key = `${sessionFolder(sessionId)}/records/${recordFileName(sequence, record)}`;
    await guarded('writing a record', () => this.#bucket.put(key, record, { ...lockOf(options), ifAbsent: true }));
  }

  async #recordNames(sessionId: string): Promise<string[]> {
    const names = await this.#namesIn(`${sessionFolder(sessionId)}/records`);
    return names.filter((name) => recordSequence(name) !== null).sort();
  }

  async readRecords(sessionId: string): Promise<{ sequence: number; record: Uint8Array }[]> {
    const folder = `${sessionFolder(sessionId)}/records`;
    return guarded('reading records', async () => {
      const names = await this.#recordNames(sessionId);
      const records: { sequence: number; record: Uint8Array }[] = [];
      for (let at = 0; at < names.length; at += recordsAtOnce)
        await Promise.all(
          names.slice(at, at + recordsAtOnce).map(async (name, beside) => {
            const record = await this.#bucket.getWhole(`${folder}/${name}`, 'a record');
            if (record !== null) records[at + beside] = { sequence: recordSequence(name)!, record };
          }),
        );
      // Holes are records that were listed and are gone.
      return records.filter(() => true).sort((a, b) => a.sequence - b.sequence);
    });
  }

  async recordsCount(sessionId: string): Promise<number> {
    return guarded('looking at records', async () => (await this.#recordNames(sessionId)).length);
  }

  async *listSessions(): AsyncIterable<string> {
    for await (const { key: prefix } of this.#bucket.list('', { folders: true })) {
      if (!/^[^/]{2}\/$/.test(prefix)) continue;
      for await (const { key, isFolder } of this.#bucket.list(prefix, { folders: true })) {
        const name = key.slice(prefix.length).replace(/\/$/, '');
        const sessionId = name.split('.')[0]!;
        const isOurs = isFolder && sessionIdSchema.safeParse(sessionId).success && folderName(sessionId) === name;
        // Some stores list folders that nothing is in any more.
        if (isOurs && (await this.#bucket.hasAny(key))) yield sessionId;
      }
    }
  }

  async recover(): Promise<{ temporariesRemoved: number }> {
    return guarded('clearing temporary objects', async () => {
      let temporariesRemoved = await this.#bucket.abandonUploads(this.#temporaryAgeMs);
      for await (const { key, modifiedMs } of this.#bucket.list('tmp/')) {
        if (Date.now() - modifiedMs < this.#temporaryAgeMs) continue;
        await this.#bucket.destroy(key);
        temporariesRemoved += 1;
      }
      return { temporariesRemoved };
    });
  }

  async purgeSession(sessionId: string, known: { chunksCount?: number } = {}): Promise<number> {
    const folder = sessionFolder(sessionId);
    const count = known.chunksCount ?? 0;
    return guarded('removing a session', async () => {
      await this.#bucket.destroy(this.#wraps(sessionId));
      this.#leaves.forget(sessionId);
      const files = Array.from({ length: count + unknownChunks }, (_, index) => `${folder}/${chunkFileName(index)}`);
      return this.#bucket.destroyBelow(`${folder}/`, [...files, ...this.#leaves.names(sessionId, count + 1)]);
    });
  }

  /** Chunks, leaves and records can't be deleted then, whatever their retention, until the hold is taken off again. */
  async hold(sessionId: string, isHeld: boolean): Promise<number | null> {
    if (this.#bucket.options.lockMode === undefined) return null;
    const folder = sessionFolder(sessionId);
    return guarded('holding a session', async () => {
      let held = 0;
      for await (const { key } of this.#bucket.list(`${folder}/`)) {
        const name = key.slice(folder.length + 1);
        if (name === 'wraps.json' || name.startsWith('side/') || name.startsWith('leaves/merged-')) continue;
        await this.#bucket.hold(key, isHeld);
        held += 1;
      }
      return held;
    });
  }

  /** A bucket has no end that could be seen coming. */
  async space(): Promise<null> {
    return null;
  }

  async dispose(): Promise<void> {
    this.#bucket.dispose();
  }
}
