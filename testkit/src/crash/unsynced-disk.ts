/**
 * A spool disk that loses in a kill what a power cut would lose: appended bytes stay in this process's memory until the
 * file is synced. The file itself is made at once, as a journaling file system may or may not do; without its bytes it is
 * torn. Killing the process leaves on the real disk exactly what was durable.
 */
import { createDisk as createRealDisk, type SpoolDisk } from '@lucid-sessions/recorder';

interface Pending {
  parts: Uint8Array[];
  bytes: number;
}

export function createDisk(): SpoolDisk {
  const real = createRealDisk();
  const pending = new Map<number, Pending>();
  const paths = new Map<string, number>();
  const flush = (file: number): void => {
    const waiting = pending.get(file);
    if (waiting === undefined || waiting.bytes === 0) return;
    pending.set(file, { parts: [], bytes: 0 });
    real.append(file, waiting.parts);
  };
  return {
    ...real,
    create(path) {
      const file = real.create(path);
      pending.set(file, { parts: [], bytes: 0 });
      paths.set(path, file);
      return file;
    },
    // Reading is this process's own view of the file: as if from the page cache.
    openForReading(path) {
      const file = paths.get(path);
      if (file !== undefined) flush(file);
      return real.openForReading(path);
    },
    append(file, parts) {
      const waiting = pending.get(file) ?? { parts: [], bytes: 0 };
      for (const part of parts) {
        // `slice` of a Buffer is no copy, and its memory is given back when this returns.
        waiting.parts.push(new Uint8Array(part));
        waiting.bytes += part.length;
      }
      pending.set(file, waiting);
    },
    truncate(file, lengthBytes) {
      flush(file);
      real.truncate(file, lengthBytes);
    },
    async sync(file) {
      flush(file);
      await real.sync(file);
    },
    close(file) {
      flush(file);
      pending.delete(file);
      for (const [path, open] of paths) if (open === file) paths.delete(path);
      real.close(file);
    },
  };
}
