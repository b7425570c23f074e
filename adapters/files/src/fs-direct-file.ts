/**
 * Writing a new file durably and fast. Where the system has O_DIRECT the bytes go past the page cache from page-aligned
 * memory: no copy into the cache and no write-back storm when the cache is full. Elsewhere it writes through the cache.
 * Both end in fdatasync, so the bytes are on the disk when the call answers; the name is the caller's to make durable.
 */
import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { type ChunkDisk, realDisk } from './fs-chunk-disk.ts';

const pageBytes = 4096;
const slotBytes = 4 * 1024 * 1024;
const wasmPageBytes = 65_536;

/** Page-aligned scratch memory, handed out one slot at a time. WebAssembly memory is the only aligned memory Node has. */
class AlignedSlots {
  readonly #free: Uint8Array<ArrayBuffer>[] = [];
  readonly #waiting: ((slot: Uint8Array<ArrayBuffer>) => void)[] = [];
  #unmade: number;

  constructor(count: number) {
    this.#unmade = count;
  }

  async take(): Promise<Uint8Array<ArrayBuffer>> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#unmade > 0) {
      this.#unmade -= 1;
      const pages = slotBytes / wasmPageBytes;
      return new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(slot: Uint8Array<ArrayBuffer>): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    if (bytesWritten === 0) throw Object.assign(new Error('the disk took no bytes'), { code: 'EIO' });
    at += bytesWritten;
  }
}

const isInvalid = (thrown: unknown) => (thrown as { code?: unknown } | null)?.code === 'EINVAL';

export class DurableFileWriter {
  readonly #slots = new AlignedSlots(4);
  readonly #disk: ChunkDisk;
  #direct: boolean;

  constructor(options: { direct?: boolean; disk?: ChunkDisk } = {}) {
    this.#disk = options.disk ?? realDisk;
    this.#direct = (options.direct ?? true) && typeof constants.O_DIRECT === 'number' && constants.O_DIRECT !== 0;
  }

  /** Fails with EEXIST when the file is there. Files below a page gain nothing from O_DIRECT. */
  async write(path: string, bytes: Uint8Array): Promise<void> {
    if (this.#direct && bytes.length >= pageBytes && (await this.#writeDirect(path, bytes))) return;
    const file = await this.#disk.open(path, 'wx', 0o600);
    try {
      await writeAll(file, bytes, 0);
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** False, and nothing left behind, when this file system does not do O_DIRECT. */
  async #writeDirect(path: string, bytes: Uint8Array): Promise<boolean> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    let file: FileHandle;
    try {
      file = await this.#disk.open(path, flags | constants.O_DIRECT, 0o600);
    } catch (thrown) {
      if (!isInvalid(thrown)) throw thrown;
      this.#direct = false;
      return false;
    }
    try {
      const done = await this.#writePages(file, bytes);
      await this.#writeRest(file, bytes, done);
      await file.datasync();
    } finally {
      await file.close();
    }
    return true;
  }

  /** Whole pages straight from the caller's memory when it is aligned; answers how many bytes that were. */
  async #writePages(file: FileHandle, bytes: Uint8Array): Promise<number> {
    if (bytes.byteOffset % pageBytes !== 0) return 0;
    const whole = bytes.length - (bytes.length % pageBytes);
    try {
      await writeAll(file, bytes.subarray(0, whole), 0);
      return whole;
    } catch (thrown) {
      // The offset was aligned but the memory below it was not.
      if (isInvalid(thrown)) return 0;
      throw thrown;
    }
  }

  /** The rest by way of aligned scratch memory; the last page is padded and then cut off. */
  async #writeRest(file: FileHandle, bytes: Uint8Array, from: number): Promise<void> {
    if (from === bytes.length) return;
    const slot = await this.#slots.take();
    try {
      for (let at = from; at < bytes.length; at += slotBytes) {
        const length = Math.min(slotBytes, bytes.length - at);
        const padded = Math.ceil(length / pageBytes) * pageBytes;
        slot.set(bytes.subarray(at, at + length));
        slot.fill(0, length, padded);
        await writeAll(file, slot.subarray(0, padded), at);
      }
    } finally {
      this.#slots.give(slot);
    }
    if (bytes.length % pageBytes !== 0) await file.truncate(bytes.length);
  }
}
