import { link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pid } from 'node:process';
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

let temporaries = 0;

async function writeTemporary(path: string, bytes: Uint8Array, mode: number): Promise<string> {
  temporaries += 1;
  const temporary = `${path}.${pid}-${temporaries}.tmp`;
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
}

/**
 * Temp → fsync → rename → fsync directory. After a crash the file holds either what it held before or `bytes`, never a
 * part; a left temporary is never read.
 */
export async function writeFileDurably(path: string, bytes: Uint8Array, mode = ownFileMode): Promise<void> {
  await rename(await writeTemporary(path, bytes, mode), path);
  await syncDirectory(dirname(path));
}

/** The same for a file that must not be there yet. False, and nothing is changed, when another was faster. */
export async function createFileDurably(path: string, bytes: Uint8Array, mode = ownFileMode): Promise<boolean> {
  const temporary = await writeTemporary(path, bytes, mode);
  try {
    await link(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(temporary);
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
