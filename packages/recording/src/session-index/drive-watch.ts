import {
  DeviceComponent,
  type DeviceIoRequest,
  DeviceMajorFunction,
  DevicePacketId,
  DeviceType,
  deviceCreateRequest,
  deviceCreateResponse,
  deviceIoCompletion,
  deviceIoRequest,
  deviceListAnnounce,
  deviceMessage,
  deviceReadRequest,
  deviceReadResponse,
  deviceWriteRequest,
} from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import { type ContentKind, type ContentSink, cutText, utf16Text } from './contents.ts';
import type { Happening } from './events.ts';
import { Transfer, type TransferSnapshot } from './transfer.ts';

const REQUESTS_MAX = 1024;
const OPEN_FILES_MAX = 1024;
const DRIVES_MAX = 64;
const PATH_MAX = 1024;
/** Data of write requests that wait for their answer. */
const WAITING_BYTES_MAX = 8 << 20;
/** FILE_WRITE_DATA, FILE_APPEND_DATA, GENERIC_WRITE, GENERIC_ALL, [MS-SMB2] 2.2.13.1.1. */
const WRITE_ACCESS = 0x0000_0006 | 0x4000_0000 | 0x1000_0000;

type Request =
  | { kind: 'open'; path: string; forWriting: boolean }
  | { kind: 'close'; file: string }
  | { kind: 'read'; file: string; offset: number }
  | { kind: 'write'; file: string; offset: number; data: Uint8Array };

interface OpenFile {
  drive: string;
  path: string;
  read: Transfer | null;
  written: Transfer | null;
}

export interface DriveSnapshot {
  readonly drives: Map<number, string>;
  readonly requests: Map<string, Request>;
  readonly files: readonly (readonly [
    string,
    { drive: string; path: string; read: TransferSnapshot | null; written: TransferSnapshot | null },
  ])[];
}

/** Follows the device channel ([MS-RDPEFS]): the server opens, reads and writes files of drives the client lent it. */
export class DriveWatch {
  readonly #emit: (timeUs: number, happening: Happening) => void;
  readonly #nextId: () => number;
  readonly #sink: ContentSink | undefined;
  #drives = new Map<number, string>();
  #requests = new Map<string, Request>();
  #files = new Map<string, OpenFile>();
  #waitingBytes = 0;

  constructor(emit: (timeUs: number, happening: Happening) => void, nextId: () => number, sink?: ContentSink) {
    this.#emit = emit;
    this.#nextId = nextId;
    this.#sink = sink;
  }

  snapshot(): DriveSnapshot {
    const files = [...this.#files].map(([key, { drive, path, read, written }]) => {
      const state = { drive, path, read: read?.snapshot() ?? null, written: written?.snapshot() ?? null };
      return [key, state] as const;
    });
    return { drives: new Map(this.#drives), requests: new Map(this.#requests), files };
  }

  restore(snapshot: DriveSnapshot): void {
    this.#drives = new Map(snapshot.drives);
    this.#requests = new Map(snapshot.requests);
    this.#waitingBytes = 0;
    for (const request of this.#requests.values()) this.#waitingBytes += dataBytes(request);
    this.#files = new Map(
      snapshot.files.map(([key, { read, written, ...file }]) => [
        key,
        { ...file, read: read && Transfer.from(read, false), written: written && Transfer.from(written, true) },
      ]),
    );
  }

  /** A whole message of the channel. Throws `DecodeError`. */
  push(timeUs: number, sender: 'client' | 'server', bytes: Uint8Array): void {
    const { component, packetId, data } = decode(deviceMessage, bytes);
    if (component !== DeviceComponent.core) return;
    if (sender === 'server' && packetId === DevicePacketId.deviceIoRequest)
      this.#request(decode(deviceIoRequest, data));
    if (sender !== 'client') return;
    if (packetId === DevicePacketId.deviceListAnnounce) this.#announced(timeUs, data);
    if (packetId === DevicePacketId.deviceIoCompletion) this.#completion(timeUs, data);
  }

  /** Files that are open when the session ends. */
  end(): void {
    for (const key of [...this.#files.keys()]) this.#close(key);
  }

  #announced(timeUs: number, data: Uint8Array): void {
    for (const device of decode(deviceListAnnounce, data).devices) {
      if (device.deviceType !== DeviceType.filesystem || this.#drives.size >= DRIVES_MAX) continue;
      const name = cutText(device.preferredDosName.text, 8);
      this.#drives.set(device.deviceId, name);
      this.#emit(timeUs, { kind: 'drive', deviceId: device.deviceId, name });
    }
  }

  #request(io: DeviceIoRequest): void {
    if (!this.#drives.has(io.deviceId) || this.#requests.size >= REQUESTS_MAX) return;
    const request = requestOf(io);
    if (request === null || this.#waitingBytes + dataBytes(request) > WAITING_BYTES_MAX) return;
    this.#waitingBytes += dataBytes(request);
    this.#requests.set(`${io.deviceId}:${io.completionId}`, request);
  }

  #completion(timeUs: number, bytes: Uint8Array): void {
    const { deviceId, completionId, ioStatus, data } = decode(deviceIoCompletion, bytes);
    const key = `${deviceId}:${completionId}`;
    const request = this.#requests.get(key);
    if (request === undefined) return;
    this.#requests.delete(key);
    this.#waitingBytes -= dataBytes(request);
    const ok = ioStatus === 0;
    switch (request.kind) {
      case 'open':
        this.#opened(timeUs, deviceId, request, ok ? decode(deviceCreateResponse, data).fileId : null);
        return;
      case 'read':
        if (ok) this.#moved(timeUs, request, 'drive_read', decode(deviceReadResponse, data).readData);
        return;
      case 'write':
        if (ok) this.#moved(timeUs, request, 'drive_written', request.data);
        return;
      case 'close':
        this.#close(request.file);
    }
  }

  #opened(timeUs: number, deviceId: number, request: Extract<Request, { kind: 'open' }>, fileId: number | null): void {
    const { path, forWriting } = request;
    const drive = this.#drives.get(deviceId)!;
    this.#emit(timeUs, { kind: 'drive_open', drive, path, opened: fileId !== null, forWriting });
    if (fileId === null) return;
    const key = `${deviceId}:${fileId}`;
    this.#close(key);
    if (this.#files.size >= OPEN_FILES_MAX) this.#close(this.#files.keys().next().value!);
    this.#files.set(key, { drive, path, read: null, written: null });
  }

  #moved(timeUs: number, at: { file: string; offset: number }, kind: ContentKind, bytes: Uint8Array): void {
    const file = this.#files.get(at.file);
    if (file === undefined || bytes.length === 0) return;
    const way = kind === 'drive_read' ? 'read' : 'written';
    file[way] ??= new Transfer(this.#nextId(), timeUs, kind === 'drive_written');
    file[way].add(at.offset, bytes);
    const from = kind === 'drive_read' ? 'client' : 'server';
    const { id } = file[way];
    const name = `${file.drive}:${file.path}`;
    this.#sink?.({ type: 'data', id, kind, from, name, timeUs, offset: at.offset, bytes });
  }

  #close(key: string): void {
    const file = this.#files.get(key);
    if (file === undefined) return;
    this.#files.delete(key);
    const { drive, path, read, written } = file;
    for (const [kind, transfer] of [['drive_read', read] as const, ['drive_written', written] as const]) {
      if (transfer === null) continue;
      this.#emit(transfer.startUs, { kind, drive, path, ...transfer.end() });
      this.#sink?.({ type: 'end', id: transfer.id });
    }
  }
}

const dataBytes = (request: Request): number => (request.kind === 'write' ? request.data.length : 0);

/** What of a request matters here; null for the rest. Throws `DecodeError`. */
function requestOf({ deviceId, fileId, majorFunction, data }: DeviceIoRequest): Request | null {
  const file = `${deviceId}:${fileId}`;
  switch (majorFunction) {
    case DeviceMajorFunction.create: {
      const { path, desiredAccess } = decode(deviceCreateRequest, data);
      return { kind: 'open', path: utf16Text(path, PATH_MAX), forWriting: (desiredAccess & WRITE_ACCESS) !== 0 };
    }
    case DeviceMajorFunction.close:
      return { kind: 'close', file };
    case DeviceMajorFunction.read:
      return at(decode(deviceReadRequest, data).offset, (offset) => ({ kind: 'read', file, offset }));
    case DeviceMajorFunction.write: {
      const { offset, length, writeData } = decode(deviceWriteRequest, data);
      const written = new Uint8Array(writeData.subarray(0, length));
      return at(offset, (start) => ({ kind: 'write', file, offset: start, data: written }));
    }
    default:
      return null;
  }
}

/** Offsets that no file has (-1 writes to the end) can't be followed. */
function at(offset: bigint, request: (offset: number) => Request): Request | null {
  return offset >= 0n && offset < 1n << 50n ? request(Number(offset)) : null;
}
