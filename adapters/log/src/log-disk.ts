import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeDirectoryDurably, readFileOrNull, writeFileDurably } from '@lucid-sessions/node';

/** The files of a log. `write` is atomic and durable when it resolves. */
export interface LogDisk {
  read(path: string): Promise<Uint8Array | null>;
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** Removes a directory that is no longer needed; need not be durable. */
  removeTree(path: string): Promise<void>;
}

export async function fsLogDisk(directory: string): Promise<LogDisk> {
  await makeDirectoryDurably(directory);
  return {
    read: (path) => readFileOrNull(join(directory, path)),
    async write(path, bytes) {
      const target = join(directory, path);
      await makeDirectoryDurably(dirname(target));
      await writeFileDurably(target, bytes);
    },
    removeTree: (path) => rm(join(directory, path), { recursive: true, force: true }),
  };
}
