/** What the chunk store asks of a disk when it writes. Tests put a faulty one in its place. */
import { type FileHandle, mkdir, open } from 'node:fs/promises';

export interface ChunkDisk {
  open(path: string, flags: string | number, mode?: number): Promise<FileHandle>;
  /** With the folders above it; the topmost one that was made. */
  makeFolder(path: string): Promise<string | undefined>;
}

export const realDisk: ChunkDisk = {
  open,
  makeFolder: (path) => mkdir(path, { recursive: true, mode: 0o700 }),
};
