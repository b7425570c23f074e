/**
 * A spool disk that fails as the file named by `CRASH_FAULT_FILE` says: `append ENOSPC`, `append EROFS`, `append EIO`,
 * `sync EIO`, `sync slow 400` (ms); nothing in the file: a healthy disk. Read anew at each operation.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createDisk as createRealDisk, type SpoolDisk } from '@lucid-sessions/recorder';
import { failure, faultOf } from './fault-file.ts';

export function createDisk(): SpoolDisk {
  const real = createRealDisk();
  const writing =
    <A extends unknown[], R>(run: (...args: A) => R) =>
    (...args: A): R => {
      const [code] = faultOf('append');
      if (code !== undefined) throw failure(code);
      return run(...args);
    };
  return {
    ...real,
    create: writing(real.create),
    append: writing(real.append),
    async sync(file) {
      const [code, slowMs] = faultOf('sync');
      if (code === 'slow') await sleep(Number(slowMs));
      else if (code !== undefined) throw failure(code);
      await real.sync(file);
    },
  };
}
