/**
 * A spool disk that fails as the file named by `CRASH_FAULT_FILE` says: `append ENOSPC`, `append EROFS`, `append EIO`,
 * `sync EIO`, `sync slow 400` (ms); nothing in the file: a healthy disk. Read anew at each operation.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDisk as createRealDisk, type SpoolDisk } from '@lucid-sessions/recorder';

function faultOf(operation: string): string[] {
  const path = process.env.CRASH_FAULT_FILE;
  if (path === undefined) throw new Error('set CRASH_FAULT_FILE to a file with the fault');
  const [at, ...fault] = readFileSync(path, 'utf8').trim().split(' ');
  return at === operation ? fault : [];
}

const failure = (code: string): Error => Object.assign(new Error(`injected ${code}`), { code });

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
