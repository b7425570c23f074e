import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, rename, rm, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ownFileMode, ownFolderMode } from './own-file.ts';

/** Makes a rename or a new name durable. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Puts `bytes` into a file beside `path`, which `name` then gives its name; one that got none is removed. Random, not by process
 * number: in a container that is the same after a crash, and what the crash left would be in the way at every start.
 */
async function throughTemporary(
  path: string,
  bytes: Uint8Array,
  mode: number,
  name: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(temporary, 'wx', mode);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await name(temporary);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/**
 * Temp → fsync → rename → fsync directory. After a crash the file holds either what it held before or `bytes`, never a
 * part; a left temporary is never read.
 */
export async function writeFileDurably(path: string, bytes: Uint8Array, mode = ownFileMode): Promise<void> {
  await throughTemporary(path, bytes, mode, (temporary) => rename(temporary, path));
  await syncDirectory(dirname(path));
}

/** The same for a file that must not be there yet. False, and nothing is changed, when another was faster. */
export async function createFileDurably(path: string, bytes: Uint8Array, mode = ownFileMode): Promise<boolean> {
  try {
    await throughTemporary(path, bytes, mode, async (temporary) => {
      await link(temporary, path);
      await unlink(temporary);
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  await syncDirectory(dirname(path));
  return true;
}

/** Makes a directory and its parents, each durable in its own parent. */
export async function makeDirectoryDurably(path: string, mode = ownFolderMode): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode });
  if (first === undefined) return;
  for (let at = path; at.length >= first.length; at = dirname(at)) await syncDirectory(dirname(at));
}

/** The file, or null when there is none. */
export async function readFileOrNull(path: string): Promise<Uint8Array | null> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
