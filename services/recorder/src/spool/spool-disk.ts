/** The few things the spool asks of a disk. Tests put a faulty one in its place; nothing else of the recorder touches files of frames. */
import * as fs from 'node:fs';
import { join } from 'node:path';

export interface SpoolDisk {
  makeDirectory(path: string): void;
  /** Names in a directory, sorted. */
  list(path: string): string[];
  /** A file that must not exist yet, open for appending. */
  create(path: string): number;
  openForReading(path: string): number;
  /** Writes all parts at the end of the file, or throws. */
  append(file: number, parts: Uint8Array[]): void;
  /** Bytes read into `into`; 0 at the end. */
  read(file: number, into: Uint8Array, position: number): number;
  sizeBytes(file: number): number;
  truncate(file: number, lengthBytes: number): void;
  sync(file: number): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  close(file: number): void;
  remove(path: string): void;
  /** The same in the background: freeing a large file's blocks may wait for the journal. */
  removeLater(path: string): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(path: string): void;
  rename(from: string, to: string): void;
  /** Of the file system a path is on. */
  space(path: string): { freeBytes: number; totalBytes: number };
}

function appendAll(file: number, parts: Uint8Array[]): void {
  let bytesLeft = parts.reduce((sum, part) => sum + part.length, 0);
  let pending = parts;
  while (bytesLeft > 0) {
    let written = fs.writevSync(file, pending);
    if (written <= 0) throw Object.assign(new Error('the disk took no bytes'), { code: 'EIO' });
    bytesLeft -= written;
    // A short write is legal (a nearly full disk, a signal): write what is left.
    pending = pending.flatMap((part) => {
      const taken = Math.min(written, part.length);
      written -= taken;
      return taken === part.length ? [] : [part.subarray(taken)];
    });
  }
}

const settle = (start: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));

async function syncDirectory(path: string): Promise<void> {
  const file = fs.openSync(path, 'r');
  try {
    await settle((done) => fs.fsync(file, done));
  } finally {
    fs.closeSync(file);
  }
}

/** The real disk. Directories are 0700 and files 0600: a spool is nobody else's business even though it is encrypted. */
export function createDisk(): SpoolDisk {
  return {
    makeDirectory: (path) => void fs.mkdirSync(path, { recursive: true, mode: 0o700 }),
    list: (path) => fs.readdirSync(path).sort(),
    create: (path) => fs.openSync(path, 'ax', 0o600),
    openForReading: (path) => fs.openSync(path, 'r'),
    append: appendAll,
    read: (file, into, position) => fs.readSync(file, into, 0, into.length, position),
    sizeBytes: (file) => fs.fstatSync(file).size,
    truncate: (file, lengthBytes) => fs.ftruncateSync(file, lengthBytes),
    sync: (file) => settle((done) => fs.fdatasync(file, done)),
    syncDirectory,
    close: (file) => fs.closeSync(file),
    remove: (path) => fs.rmSync(path, { force: true }),
    removeLater: (path) => settle((done) => fs.unlink(path, done)),
    removeDirectory: (path) => fs.rmdirSync(path),
    rename: (from, to) => fs.renameSync(from, to),
    space(path) {
      const { bavail, blocks, bsize } = fs.statfsSync(path);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    },
  };
}

/** The path of one segment file; the index is in its name so that a torn header can't hide which chunk it was to be. */
export const segmentPath = (directory: string, index: number): string =>
  join(directory, `${String(index).padStart(10, '0')}.seg`);

/** The index in a segment's file name, or null for any other file. */
export function segmentIndex(name: string): number | null {
  const match = /^(\d{10})\.seg$/.exec(name);
  return match?.[1] === undefined ? null : Number(match[1]);
}
