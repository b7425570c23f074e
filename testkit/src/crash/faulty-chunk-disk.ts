/**
 * A disk under the chunk store that fails as the fault file says: `write ENOSPC` or `write EIO` while bytes are written,
 * `open EROFS` when anything is opened for writing, `sync EIO` when anything is to be made durable.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { type ChunkDisk, realDisk } from '@lucid-sessions/files';
import { failure, faultOf } from './fault-file.ts';

const failIf = (operation: string): void => {
  const [code] = faultOf(operation);
  if (code !== undefined) throw failure(code);
};

const operations: Record<string, string> = { write: 'write', sync: 'sync', datasync: 'sync' };

function faulty(file: FileHandle): FileHandle {
  return new Proxy(file, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      const operation = operations[String(name)];
      return async (...args: unknown[]): Promise<unknown> => {
        if (operation !== undefined) failIf(operation);
        return (value as (...args: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

const writes = (flags: string | number): boolean =>
  typeof flags === 'number' ? (flags & (constants.O_WRONLY | constants.O_RDWR)) !== 0 : flags !== 'r';

export function createDisk(): ChunkDisk {
  return {
    async open(path, flags, mode) {
      if (writes(flags)) failIf('open');
      return faulty(await realDisk.open(path, flags, mode));
    },
    async makeFolder(path) {
      failIf('open');
      return realDisk.makeFolder(path);
    },
  };
}
