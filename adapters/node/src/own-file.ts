/**
 * Everything this product writes is for the user it runs as, and for nobody else: recordings, what opens them, what was taken out of
 * them. Whatever the umask, no file or folder is made with a bit for group or others.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';

export const ownFileMode = 0o600;
export const ownFolderMode = 0o700;

/** With the folders above it; those that are there stay as they are. */
export async function makeOwnFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: ownFolderMode });
}

/** A new file; one that is there is an error (EEXIST). */
export async function writeOwnFile(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path, content, { flag: 'wx', mode: ownFileMode });
}

/** The same, as a stream. */
export function ownFileStream(path: string): WriteStream {
  return createWriteStream(path, { flags: 'wx', mode: ownFileMode });
}
