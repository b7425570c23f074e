import type { ContentKind, ContentSink } from './contents.ts';
import type { Happening } from './events.ts';
import { Transfer, TransferBudget, type TransferSnapshot } from './transfer.ts';

const OPEN_FILES_MAX = 1024;

/** A file of a drive, or a job of a printer, that is open. */
export interface OpenFile {
  readonly number: number;
  readonly deviceId: number;
  readonly fileId: number;
  readonly isPrinter: boolean;
  readonly device: string;
  readonly path: string;
  readonly appends: boolean;
  /** Null while it is not known. */
  size: number | null;
  deleting: boolean;
  /** What it holds can't be known any more. */
  lost: boolean;
  read: Transfer | null;
  written: Transfer | null;
}

export type OpenFileSnapshot = Omit<OpenFile, 'read' | 'written'> & {
  readonly read: TransferSnapshot | null;
  readonly written: TransferSnapshot | null;
};

/** Files of redirected devices from open to close, and what became of them in between. */
export class DriveFiles {
  readonly #emit: (timeUs: number, happening: Happening) => void;
  readonly #nextId: () => number;
  readonly #sink: ContentSink | undefined;
  #budget = new TransferBudget();
  #files = new Map<number, OpenFile>();
  #numbers = new Map<string, number>();

  constructor(
    emit: (timeUs: number, happening: Happening) => void,
    nextId: () => number,
    sink: ContentSink | undefined,
  ) {
    this.#emit = emit;
    this.#nextId = nextId;
    this.#sink = sink;
  }

  snapshot(): OpenFileSnapshot[] {
    return [...this.#files.values()].map(({ read, written, ...file }) => ({
      ...file,
      read: read?.snapshot() ?? null,
      written: written?.snapshot() ?? null,
    }));
  }

  restore(files: readonly OpenFileSnapshot[]): void {
    this.#budget = new TransferBudget();
    this.#files = new Map();
    this.#numbers = new Map();
    for (const { read, written, ...file } of files) {
      const transfers = {
        read: read && Transfer.from(read, this.#budget),
        written: written && Transfer.from(written, this.#budget),
      };
      this.#files.set(file.number, { ...file, ...transfers });
      this.#numbers.set(keyOf(file.deviceId, file.fileId), file.number);
    }
  }

  /** Our number of the file that a device's id names now: ids are used again. */
  numberOf(deviceId: number, fileId: number): number | undefined {
    return this.#numbers.get(keyOf(deviceId, fileId));
  }

  get(number: number): OpenFile | undefined {
    return this.#files.get(number);
  }

  open(timeUs: number, file: Omit<OpenFile, 'number' | 'lost' | 'read' | 'written'>): void {
    const key = keyOf(file.deviceId, file.fileId);
    const before = this.#numbers.get(key);
    if (before !== undefined) this.close(timeUs, before, false);
    if (this.#files.size >= OPEN_FILES_MAX) this.close(timeUs, this.#files.keys().next().value!, false);
    const number = this.#nextId();
    this.#files.set(number, { ...file, number, lost: false, read: null, written: null });
    this.#numbers.set(key, number);
  }

  read(timeUs: number, number: number, offset: number | null, asked: number, bytes: Uint8Array): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    if (bytes.length > 0) {
      file.read ??= new Transfer(this.#nextId(), timeUs, false, this.#budget);
      if (offset === null || bytes.length > asked) file.read.addUnplaced(bytes.length);
      else {
        file.read.add(offset, bytes);
        this.#content('drive_read', timeUs, file, file.read, offset, bytes);
      }
    }
    // Less than was asked for: the file ends there.
    if (offset !== null && bytes.length > 0 && bytes.length < asked) this.sized(number, offset + bytes.length);
  }

  /** `data`: null where it was not kept. */
  written(timeUs: number, number: number, offset: number | null, length: number, data: Uint8Array | null): void {
    const file = this.#files.get(number);
    if (file === undefined || length === 0) return;
    file.written ??= new Transfer(this.#nextId(), timeUs, true, this.#budget);
    // A print job is one run of bytes, whatever offsets it is given.
    const at = file.isPrinter ? file.written.reach : offset;
    if (at === null || file.appends) file.written.addUnplaced(length);
    else if (data === null) file.written.addUnseen(at, length);
    else {
      file.written.add(at, data.subarray(0, length));
      const kind = file.isPrinter ? 'print_job' : 'drive_written';
      this.#content(kind, timeUs, file, file.written, at, data.subarray(0, length));
    }
    if (file.size !== null) file.size = at === null || file.appends ? null : Math.max(file.size, at + length);
    this.#changed(file);
  }

  /** What size it was seen to have. */
  sized(number: number, size: number | null): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    // Somebody else changes it.
    if (file.size !== null && file.size !== size) {
      file.read?.lose();
      file.written?.lose();
    }
    file.size = size;
  }

  /** It was cut or made longer. */
  resized(number: number, size: number | null, allocation: boolean): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    if (size === null || (allocation && file.size === null)) {
      file.size = null;
      file.written?.lose();
    } else if (!allocation || size < file.size!) {
      file.written?.resized(size);
      file.size = size;
    }
    file.read?.lose();
    this.#changed(file);
  }

  /** What is written is not known any more: an answer is missing. */
  lose(number: number): void {
    const file = this.#files.get(number);
    if (file !== undefined) file.lost = true;
  }

  /** `properly`: its device closed it; otherwise there may be more to come. */
  close(timeUs: number, number: number, properly: boolean): void {
    const file = this.#files.get(number);
    if (file === undefined) return;
    this.#files.delete(number);
    const key = keyOf(file.deviceId, file.fileId);
    if (this.#numbers.get(key) === number) this.#numbers.delete(key);
    const { device, path, size, read, written } = file;
    if (!properly || file.lost) written?.lose();
    if (file.lost) read?.lose();
    if (read !== null) this.#emit(read.startUs, { kind: 'drive_read', drive: device, path, size, ...read.end(size) });
    if (written !== null && file.isPrinter) {
      const { bytes, sha256 } = written.end(written.reach);
      this.#emit(written.startUs, { kind: 'print_job', printer: device, bytes, sha256 });
    } else if (written !== null)
      this.#emit(written.startUs, { kind: 'drive_written', drive: device, path, size, ...written.end(size) });
    for (const transfer of [read, written]) if (transfer !== null) this.#sink?.({ type: 'end', id: transfer.id });
    if (file.deleting) this.#emit(timeUs, { kind: 'drive_deleted', drive: device, path });
  }

  closeAll(timeUs: number, properly: boolean, ofDevice?: number): void {
    for (const { number, deviceId } of [...this.#files.values()])
      if (ofDevice === undefined || deviceId === ofDevice) this.close(timeUs, number, properly);
  }

  loseAll(): void {
    for (const { number } of this.#files.values()) this.lose(number);
  }

  /** A write ends what is known of the same file's contents elsewhere. */
  #changed(changed: OpenFile): void {
    const name = changed.path.toLowerCase();
    if (changed.isPrinter) return;
    if (changed.read !== null && !(changed.size !== null && changed.read.isAll(changed.size))) changed.read.lose();
    for (const file of this.#files.values()) {
      if (file === changed || file.deviceId !== changed.deviceId || file.path.toLowerCase() !== name) continue;
      file.read?.lose();
      file.written?.lose();
      file.size = null;
    }
  }

  #content(
    kind: ContentKind,
    timeUs: number,
    file: OpenFile,
    transfer: Transfer,
    offset: number,
    bytes: Uint8Array,
  ): void {
    const from = kind === 'drive_read' ? 'client' : 'server';
    const name = file.isPrinter ? file.device : `${file.device}:${file.path}`;
    this.#sink?.({ type: 'data', id: transfer.id, kind, from, name, timeUs, offset, bytes });
  }
}

const keyOf = (deviceId: number, fileId: number): string => `${deviceId}:${fileId}`;
