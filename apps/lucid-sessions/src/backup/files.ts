/** Files of a backup: 0600 in directories of 0700, durable under their names only when they are whole. */
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { type FileHandle, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectoryDurably, syncDirectory } from '@lucid-sessions/node';

const pieceBytes = 1024 * 1024;
const partial = /\.[0-9a-f]{8}\.partial$/;

export interface FileFacts {
  bytes: number;
  sha256: string;
}

const isAbsent = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException).code === 'ENOENT';

/** Null for what is not there. */
export async function absentAsNull<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (thrown) {
    if (isAbsent(thrown)) return null;
    throw thrown;
  }
}

export const exists = async (path: string): Promise<boolean> => (await absentAsNull(() => stat(path))) !== null;

async function pour(from: FileHandle, to: FileHandle | null, hash: Hash, bytesMax: number): Promise<number> {
  const piece = new Uint8Array(pieceBytes);
  let bytes = 0;
  while (bytes < bytesMax) {
    const { bytesRead } = await from.read(piece, 0, Math.min(pieceBytes, bytesMax - bytes), bytes);
    if (bytesRead === 0) break;
    hash.update(piece.subarray(0, bytesRead));
    for (let at = 0; to !== null && at < bytesRead; )
      at += (await to.write(piece, at, bytesRead - at, bytes + at)).bytesWritten;
    bytes += bytesRead;
  }
  return bytes;
}

/** Null when there is no such file. */
export async function hashFile(path: string): Promise<FileFacts | null> {
  const from = await absentAsNull(() => open(path, 'r'));
  if (from === null) return null;
  try {
    const hash = createHash('sha256');
    const bytes = await pour(from, null, hash, Number.POSITIVE_INFINITY);
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    await from.close();
  }
}

/**
 * Copies what the file holds now, never by a link: a copy must not share a bad sector. The target's directory is the caller's to
 * make durable. Null, and nothing is left, when the source is not there (any more).
 */
export async function copyFile(source: string, target: string): Promise<FileFacts | null> {
  const from = await absentAsNull(() => open(source, 'r'));
  if (from === null) return null;
  try {
    const { size } = await from.stat();
    const hash = createHash('sha256');
    const bytes = await writeWhole(target, (to) => pour(from, to, hash, size));
    return { bytes, sha256: hash.digest('hex') };
  } finally {
    await from.close();
  }
}

/** Nobody meets half a file under `target`. */
export async function writeWhole<T>(target: string, write: (to: FileHandle) => Promise<T>): Promise<T> {
  const temporary = `${target}.${randomBytes(4).toString('hex')}.partial`;
  let named = false;
  try {
    const to = await open(temporary, 'wx', 0o600);
    let result: T;
    try {
      result = await write(to);
      await to.datasync();
    } finally {
      await to.close();
    }
    await rename(temporary, target);
    named = true;
    return result;
  } finally {
    if (!named) await rm(temporary, { force: true });
  }
}

export interface WalkedFile {
  /** Below the directory, with `/`. */
  name: string;
  path: string;
}

/** Plain files below a directory; none where it is not there. Links and devices are nobody's data here. */
export async function* filesIn(directory: string, below = ''): AsyncGenerator<WalkedFile> {
  const entries = await absentAsNull(() => opendir(join(directory, below)));
  if (entries === null) return;
  for await (const entry of entries) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) yield* filesIn(directory, name);
    else if (entry.isFile()) yield { name, path: join(directory, name) };
  }
}

/** Copies a small tree. Files that go away meanwhile are left out. Answers how many bytes that were. */
export async function copyTree(
  source: string,
  target: string,
  wanted: (name: string) => boolean = () => true,
): Promise<number> {
  let bytes = 0;
  const folders = new Set<string>();
  for await (const { name, path } of filesIn(source)) {
    if (!wanted(name)) continue;
    const to = join(target, name);
    await makeDirectoryDurably(dirname(to));
    bytes += (await copyFile(path, to))?.bytes ?? 0;
    folders.add(dirname(to));
  }
  for (const folder of folders) await syncDirectory(folder);
  return bytes;
}

/** What a run that was cut off left half written. */
export async function removePartials(directory: string): Promise<void> {
  for await (const { name, path } of filesIn(directory)) if (partial.test(name)) await rm(path, { force: true });
}

/** Makes its caller give way to everything else on this machine. */
export { setPriority as standBack } from 'node:os';
