/**
 * Chunks as files below CHUNK_STORAGE_PATH:
 *
 * ```
 * <prefix>/<session>/<index>.chunk   sealed chunk files, written once
 * <prefix>/<session>/leaves.bin      leaf and seal of chunk i at byte LEAF_RECORD_BYTES × i
 * <prefix>/<session>/wraps.json, records/…   what opens and proves them (fs-kept-files.ts)
 * <prefix>/<session>/side/<name>     sidecars, which can be made again
 * tmp/                               files on their way; a crash leaves them here
 * ```
 */
import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, link, open, opendir, readdir, rename, rm, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type KeyWrap, LucidError, sessionIdSchema } from '@lucid-sessions/contract';
import { LEAF_RECORD_BYTES } from '@lucid-sessions/evidence';
import type { ChunkStore } from '@lucid-sessions/storage';
import { type ChunkDisk, realDisk } from './fs-chunk-disk.ts';
import { DurableFileWriter } from './fs-direct-file.ts';
import {
  decodeWraps,
  destroyFile,
  encodeWraps,
  namesIn,
  newWrapsName,
  recordFileName,
  recordSequence,
  recordsFolder,
  replaceFile,
  wrapsName,
  wrapsPaths,
} from './fs-kept-files.ts';

const leavesName = 'leaves.bin';
const temporaryFolder = 'tmp';
const knownFoldersMax = 10_000;
const fileBytesMax = 128 * 1024 * 1024;

export interface FsChunkStoreOptions {
  /** CHUNK_STORAGE_PATH. */
  path: string;
  /** Off: always through the page cache. */
  direct?: boolean;
  /** Temporary files older than this belong to nobody any more. */
  temporaryAgeMs?: number;
  disk?: ChunkDisk;
}

const codeOf = (thrown: unknown) => (thrown as { code?: unknown } | null)?.code;

/** What a person can do about a failed write; the path stays out of the message. */
function storageError(doing: string, thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  const code = codeOf(thrown);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new LucidError('storage', `${doing} failed: ${full ? 'the disk is full; free or add space' : String(code)}`, {
    status: full ? 507 : 500,
    details: { errno: String(code) },
    cause: thrown,
  });
}

async function guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw storageError(doing, thrown);
  }
}

async function absentAsNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return null;
    throw thrown;
  }
}

async function syncFolder(disk: ChunkDisk, path: string): Promise<void> {
  // Windows can't open a directory; NTFS journals names by itself.
  if (process.platform === 'win32') return;
  const folder = await disk.open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function readAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, position + at);
    if (bytesRead === 0) throw Object.assign(new Error('file shorter than its size'), { code: 'EIO' });
    at += bytesRead;
  }
}

async function readWhole(path: string): Promise<Uint8Array | null> {
  return absentAsNull(async () => {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (!(size <= fileBytesMax)) throw Object.assign(new Error('file too large'), { code: 'EFBIG' });
      const bytes = new Uint8Array(size);
      await readAt(file, bytes, 0);
      return bytes;
    } finally {
      await file.close();
    }
  });
}

/**
 * Ids that differ in case only, and names Windows reserves, would share or lose a folder on some systems: they get a
 * suffix of their digest. Generated ids (UUIDs) stay as they are.
 */
export function folderName(sessionId: string): string {
  if (!sessionIdSchema.safeParse(sessionId).success)
    throw new LucidError('invalidRequest', 'a session id is 1–100 characters of A–Z a–z 0–9 _ -');
  const plain = !/[A-Z]/.test(sessionId) && !/^(?:con|prn|aux|nul|com\d|lpt\d|tmp)$/.test(sessionId);
  return plain ? sessionId : `${sessionId}.${createHash('sha256').update(sessionId).digest('hex').slice(0, 8)}`;
}

/** A session's folder below the store's root. */
export const sessionFolder = (sessionId: string): string =>
  join(sessionId.slice(0, 2).toLowerCase().padEnd(2, '_'), folderName(sessionId));

export function chunkFileName(index: number): string {
  if (!(Number.isSafeInteger(index) && index >= 0))
    throw new LucidError('invalidRequest', 'a chunk index is a whole number from 0');
  return `${index}.chunk`;
}

/** The name itself, where it is one. */
export function sidecarName(name: string): string {
  if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(name) || name.includes('..'))
    throw new LucidError('invalidRequest', 'a sidecar name is 1–100 characters of a–z 0–9 . _ -');
  return name;
}

const noHardLinks = new Set<unknown>(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Names a finished temporary file. False when the name is taken. */
async function publish(temporary: string, path: string, replace: boolean): Promise<boolean> {
  if (replace) {
    await rename(temporary, path);
    return true;
  }
  try {
    // Unlike rename, link never replaces: write-once holds between processes too.
    await link(temporary, path);
    await unlink(temporary);
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return false;
    if (!noHardLinks.has(codeOf(thrown))) throw thrown;
  }
  if ((await absentAsNull(() => stat(path))) !== null) return false;
  await rename(temporary, path);
  return true;
}

export class FsChunkStore implements ChunkStore {
  readonly #root: string;
  readonly #writer: DurableFileWriter;
  readonly #temporaryAgeMs: number;
  readonly #disk: ChunkDisk;
  readonly #knownFolders = new Set<string>();

  constructor(options: FsChunkStoreOptions) {
    this.#root = resolve(options.path);
    this.#disk = options.disk ?? realDisk;
    this.#writer = new DurableFileWriter({ direct: options.direct ?? true, disk: this.#disk });
    this.#temporaryAgeMs = options.temporaryAgeMs ?? 600_000;
  }

  #folder(sessionId: string): string {
    return join(this.#root, sessionFolder(sessionId));
  }

  storagePath(sessionId: string, index: number): string {
    return join(this.#folder(sessionId), chunkFileName(index))
      .slice(this.#root.length + 1)
      .replaceAll('\\', '/');
  }

  /** Makes a folder and makes its name durable, from the root down: also one that was made by somebody who could not. */
  async #makeFolder(path: string): Promise<void> {
    if (this.#knownFolders.has(path)) return;
    if (path.length > this.#root.length) await this.#makeFolder(dirname(path));
    const made = await this.#disk.makeFolder(path);
    if (made !== undefined || path.length > this.#root.length) await syncFolder(this.#disk, dirname(path));
    if (this.#knownFolders.size >= knownFoldersMax) this.#knownFolders.clear();
    this.#knownFolders.add(path);
  }

  async #write(folder: string, name: string, bytes: Uint8Array, replace: boolean): Promise<boolean> {
    await this.#makeFolder(join(this.#root, temporaryFolder));
    await this.#makeFolder(folder);
    const temporary = join(this.#root, temporaryFolder, randomBytes(16).toString('hex'));
    let published = false;
    try {
      await this.#writer.write(temporary, bytes);
      published = await publish(temporary, join(folder, name), replace);
    } finally {
      if (!published) await rm(temporary, { force: true });
    }
    if (published) await syncFolder(this.#disk, folder);
    return published;
  }

  async putFile(sessionId: string, index: number, file: Uint8Array, options: { replace?: boolean } = {}) {
    const storagePath = this.storagePath(sessionId, index);
    const written = await guarded('writing a chunk', () =>
      this.#write(this.#folder(sessionId), chunkFileName(index), file, options.replace ?? false),
    );
    return { written, storagePath };
  }

  async readFile(sessionId: string, index: number): Promise<Uint8Array | null> {
    const path = join(this.#folder(sessionId), chunkFileName(index));
    return guarded('reading a chunk', () => readWhole(path));
  }

  async fileBytes(sessionId: string, index: number): Promise<number | null> {
    const path = join(this.#folder(sessionId), chunkFileName(index));
    return guarded('looking at a chunk', async () => (await absentAsNull(() => stat(path)))?.size ?? null);
  }

  async listFiles(sessionId: string): Promise<number[]> {
    const names = await guarded('looking at chunks', () => namesIn(this.#folder(sessionId)));
    return names
      .flatMap((name) => (/^\d+\.chunk$/.test(name) ? [Number.parseInt(name, 10)] : []))
      .sort((a, b) => a - b);
  }

  async removeFile(sessionId: string, index: number): Promise<void> {
    const path = join(this.#folder(sessionId), chunkFileName(index));
    await guarded('removing a chunk', () => rm(path, { force: true }));
  }

  async putLeaf(sessionId: string, index: number, sealedLeaf: Uint8Array): Promise<void> {
    chunkFileName(index);
    if (sealedLeaf.length !== LEAF_RECORD_BYTES)
      throw new LucidError('invalidRequest', `leaf and seal have ${LEAF_RECORD_BYTES} bytes`);
    const folder = this.#folder(sessionId);
    await guarded('writing a leaf', async () => {
      await this.#makeFolder(folder);
      const path = join(folder, leavesName);
      const present = await absentAsNull(() => this.#disk.open(path, 'r+'));
      const file = present ?? (await this.#disk.open(path, 'wx+', 0o600));
      try {
        if ((await file.stat()).size < index * LEAF_RECORD_BYTES)
          throw new LucidError('storage', 'leaves before this one are missing; restart storage to restore them');
        await file.write(sealedLeaf, 0, LEAF_RECORD_BYTES, index * LEAF_RECORD_BYTES);
        await file.datasync();
      } finally {
        await file.close();
      }
      // Whoever made the file may have died, or failed, before its name was durable.
      if (present === null || index === 0) await syncFolder(this.#disk, folder);
    });
  }

  async readLeaves(sessionId: string): Promise<Uint8Array> {
    const path = join(this.#folder(sessionId), leavesName);
    const bytes = await guarded('reading leaves', () => readWhole(path));
    return bytes === null ? new Uint8Array(0) : bytes.subarray(0, bytes.length - (bytes.length % LEAF_RECORD_BYTES));
  }

  async leavesTail(sessionId: string): Promise<{ count: number; last: Uint8Array | null }> {
    const path = join(this.#folder(sessionId), leavesName);
    return guarded('reading leaves', async () => {
      const file = await absentAsNull(() => open(path, 'r'));
      if (file === null) return { count: 0, last: null };
      try {
        const count = Math.floor((await file.stat()).size / LEAF_RECORD_BYTES);
        if (count === 0) return { count, last: null };
        const last = new Uint8Array(LEAF_RECORD_BYTES);
        await readAt(file, last, (count - 1) * LEAF_RECORD_BYTES);
        return { count, last };
      } finally {
        await file.close();
      }
    });
  }

  #sidecarFolder(sessionId: string, name: string): string {
    sidecarName(name);
    return join(this.#folder(sessionId), 'side');
  }

  async putSidecar(sessionId: string, name: string, bytes: Uint8Array): Promise<void> {
    const folder = this.#sidecarFolder(sessionId, name);
    await guarded('writing a sidecar', () => this.#write(folder, name, bytes, true));
  }

  async getSidecar(sessionId: string, name: string): Promise<Uint8Array | null> {
    const path = join(this.#sidecarFolder(sessionId, name), name);
    return guarded('reading a sidecar', () => readWhole(path));
  }

  async putWraps(sessionId: string, wraps: readonly KeyWrap[]): Promise<void> {
    const folder = this.#folder(sessionId);
    await guarded('writing wrapped keys', () =>
      wraps.length === 0 ? this.#destroyWraps(folder) : this.#replaceWraps(folder, encodeWraps(wraps)),
    );
  }

  async #replaceWraps(folder: string, bytes: Uint8Array): Promise<void> {
    await this.#makeFolder(folder);
    const fresh = join(folder, newWrapsName);
    await destroyFile(this.#disk, fresh);
    await this.#writer.write(fresh, bytes);
    await replaceFile(this.#disk, fresh, join(folder, wrapsName));
    await syncFolder(this.#disk, folder);
  }

  async #destroyWraps(folder: string): Promise<void> {
    let destroyed = false;
    for (const path of wrapsPaths(folder)) destroyed = (await destroyFile(this.#disk, path)) || destroyed;
    if (destroyed) await syncFolder(this.#disk, folder);
  }

  async getWraps(sessionId: string): Promise<KeyWrap[]> {
    const path = join(this.#folder(sessionId), wrapsName);
    const bytes = await guarded('reading wrapped keys', () => readWhole(path));
    return bytes === null ? [] : decodeWraps(bytes);
  }

  async putRecord(sessionId: string, sequence: number, record: Uint8Array): Promise<void> {
    const folder = join(this.#folder(sessionId), recordsFolder);
    await guarded('writing a record', () => this.#write(folder, recordFileName(sequence, record), record, false));
  }

  async readRecords(sessionId: string): Promise<{ sequence: number; record: Uint8Array }[]> {
    const folder = join(this.#folder(sessionId), recordsFolder);
    return guarded('reading records', async () => {
      const records: { sequence: number; record: Uint8Array }[] = [];
      for (const name of (await namesIn(folder)).sort()) {
        const sequence = recordSequence(name);
        const record = sequence === null ? null : await readWhole(join(folder, name));
        if (sequence !== null && record !== null) records.push({ sequence, record });
      }
      return records.sort((a, b) => a.sequence - b.sequence);
    });
  }

  async recordsCount(sessionId: string): Promise<number> {
    const names = await guarded('looking at records', () => namesIn(join(this.#folder(sessionId), recordsFolder)));
    return names.filter((name) => recordSequence(name) !== null).length;
  }

  async *listSessions(): AsyncIterable<string> {
    const prefixes = (await absentAsNull(() => readdir(this.#root, { withFileTypes: true }))) ?? [];
    for (const prefix of prefixes) {
      if (!prefix.isDirectory() || prefix.name.length !== 2) continue;
      for await (const entry of await opendir(join(this.#root, prefix.name))) {
        const sessionId = entry.name.split('.')[0]!;
        const ours = entry.isDirectory() && sessionIdSchema.safeParse(sessionId).success;
        if (ours && folderName(sessionId) === entry.name) yield sessionId;
      }
    }
  }

  async recover(): Promise<{ temporariesRemoved: number }> {
    return guarded('clearing temporary files', async () => {
      const folder = join(this.#root, temporaryFolder);
      let temporariesRemoved = 0;
      for (const name of (await absentAsNull(() => readdir(folder))) ?? []) {
        const facts = await absentAsNull(() => stat(join(folder, name)));
        if (facts === null || Date.now() - facts.mtimeMs < this.#temporaryAgeMs) continue;
        await rm(join(folder, name), { force: true });
        temporariesRemoved += 1;
      }
      return { temporariesRemoved };
    });
  }

  /** Files of a disk have no lock. */
  async hold(): Promise<null> {
    return null;
  }

  async purgeSession(sessionId: string): Promise<number> {
    const folder = this.#folder(sessionId);
    return guarded('removing a session', async () => {
      let bytesFreed = 0;
      await this.#destroyWraps(folder);
      for (const inner of [join(folder, 'side'), join(folder, recordsFolder), folder])
        for (const name of (await absentAsNull(() => readdir(inner))) ?? [])
          bytesFreed += (await absentAsNull(async () => fileSize(join(inner, name)))) ?? 0;
      for (const path of this.#knownFolders) if (path.startsWith(folder)) this.#knownFolders.delete(path);
      await rm(folder, { recursive: true, force: true });
      if ((await absentAsNull(() => stat(dirname(folder)))) !== null) await syncFolder(this.#disk, dirname(folder));
      return bytesFreed;
    });
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return guarded('looking at the disk', async () => {
      await this.#makeFolder(this.#root);
      const { bavail, blocks, bsize } = await statfs(this.#root);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    });
  }

  async dispose(): Promise<void> {}
}

async function fileSize(path: string): Promise<number> {
  const facts = await stat(path);
  return facts.isFile() ? facts.size : 0;
}
