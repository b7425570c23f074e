/**
 * Room kept back on the disks an installation writes to: one file of ballast on each. A full disk takes no audit entry, so
 * nobody could look at a recording or delete one; then the ballast goes, and what was refused is tried again.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { type FileHandle, open, rm, stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LucidError, spaceBounds } from '@lucid-sessions/contract';
import type { DiskSpace, SpaceReserve } from '@lucid-sessions/storage';

const blockBytes = 1024 * 1024;

interface Disk {
  directory: string;
  path: string;
  isHeld: boolean;
}

export interface FileReserveOptions {
  /** Those on one file system share a file, in the first of them. */
  directories: readonly string[];
  /** Of the file; processes that share a directory have one each. */
  fileName: string;
  /** What an operator should see. */
  say: (line: string) => void;
}

async function spaceOf(directory: string): Promise<{ freeBytes: number; totalBytes: number }> {
  const { bavail, blocks, bsize } = await statfs(directory);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** Bytes that take room: a file with holes, as some copies make, is no ballast. */
async function allocatedBytes(path: string): Promise<number> {
  const facts = await stat(path).catch(() => null);
  return facts === null ? 0 : Math.min(facts.size, facts.blocks * 512);
}

async function fillFile(path: string, bytes: number): Promise<void> {
  // What can be compressed or shared away keeps no room.
  const block = randomBytes(blockBytes);
  let file: FileHandle | null = null;
  try {
    file = await open(path, 'w', 0o600);
    for (let at = 0; at < bytes; at += blockBytes) {
      block.writeUInt32BE(at / blockBytes);
      await file.write(block, 0, Math.min(blockBytes, bytes - at), at);
    }
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file?.close();
  }
}

export class FileReserve implements SpaceReserve {
  readonly #disks: Disk[];
  readonly #say: (line: string) => void;
  /** One after the other: releasing and filling. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(disks: Disk[], say: (line: string) => void) {
    this.#disks = disks;
    this.#say = say;
  }

  static async open({ directories, fileName, say }: FileReserveOptions): Promise<FileReserve> {
    const disks = new Map<number, Disk>();
    for (const directory of directories.map((path) => resolve(path))) {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const { dev } = await stat(directory);
      if (!disks.has(dev)) disks.set(dev, { directory, path: join(directory, fileName), isHeld: false });
    }
    const reserve = new FileReserve([...disks.values()], say);
    await reserve.restore();
    return reserve;
  }

  async disks(): Promise<DiskSpace[]> {
    return Promise.all(
      this.#disks.map(async ({ directory, isHeld }) => ({ ...(await spaceOf(directory)), isReserveHeld: isHeld })),
    );
  }

  /** Where nearly nothing is left, before something is begun that must not be cut off. */
  async ensure(): Promise<void> {
    for (const disk of this.#disks) {
      const { freeBytes, totalBytes } = await spaceOf(disk.directory);
      if (disk.isHeld && freeBytes < spaceBounds(totalBytes).reserveBytes / 2) await this.#release([disk]);
    }
  }

  /** True when there is room that was not there before. */
  release(): Promise<boolean> {
    return this.#release(this.#disks);
  }

  #release(disks: readonly Disk[]): Promise<boolean> {
    return this.#inTurn(async () => {
      let released = false;
      for (const disk of disks.filter(({ isHeld }) => isHeld)) {
        const { freeBytes, totalBytes } = await spaceOf(disk.directory);
        // It was another disk that is full, or another call has made room.
        if (freeBytes > spaceBounds(totalBytes).reserveBytes) continue;
        await rm(disk.path, { force: true });
        disk.isHeld = false;
        released = true;
        this.#say(
          `ALARM the disk of ${disk.directory} is full: the reserve was given up so that recordings can be looked at and deleted; nothing is recorded until there is room`,
        );
      }
      return released;
    });
  }

  /** Keeps room back again where there is enough of it. */
  restore(): Promise<void> {
    return this.#inTurn(async () => {
      for (const disk of this.#disks) await this.#hold(disk).catch((error: unknown) => this.#failed(disk, error));
    });
  }

  async #hold(disk: Disk): Promise<void> {
    const { freeBytes, totalBytes } = await spaceOf(disk.directory);
    const { reserveBytes, recordingBytesMin } = spaceBounds(totalBytes);
    const kept = await allocatedBytes(disk.path);
    disk.isHeld = kept >= reserveBytes;
    if (disk.isHeld || freeBytes + kept < reserveBytes + recordingBytesMin) return;
    await fillFile(disk.path, reserveBytes);
    disk.isHeld = true;
  }

  #failed({ directory }: Disk, error: unknown): void {
    const code = (error as { code?: unknown } | null)?.code;
    this.#say(`no room could be kept back on the disk of ${directory}: ${typeof code === 'string' ? code : error}`);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#tail.then(work);
    this.#tail = mine.catch(() => {});
    return mine;
  }

  async dispose(): Promise<void> {
    await this.#tail;
  }
}

const isFull = (thrown: unknown): boolean => thrown instanceof LucidError && thrown.status === 507;

/**
 * A store whose calls get the reserve when the disk is full, and are then tried once more: all but `own`, which are the
 * recording's and must wait for room.
 */
export function withReserve<T extends object>(
  store: T,
  reserve: Pick<SpaceReserve, 'release'>,
  own: (method: keyof T & string, values: readonly unknown[]) => boolean = () => false,
): T {
  type Method = (...values: unknown[]) => Promise<unknown>;
  return new Proxy(store, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name, target);
      if (typeof method !== 'function' || typeof name !== 'string') return method;
      const call: Method = (...values) => (method as Method).apply(target, values);
      return async (...values: unknown[]) => {
        try {
          return await call(...values);
        } catch (thrown) {
          if (!isFull(thrown) || own(name as keyof T & string, values) || !(await reserve.release())) throw thrown;
          return call(...values);
        }
      };
    },
  });
}
