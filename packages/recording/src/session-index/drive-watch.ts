import {
  type DeviceAnnounce,
  DeviceComponent,
  type DeviceIoRequest,
  DevicePacketId,
  DeviceType,
  deviceCreateResponse,
  deviceIoCompletion,
  deviceIoRequest,
  deviceListAnnounce,
  deviceListRemove,
  deviceMessage,
  deviceQueryInformationResponse,
  deviceReadResponse,
  deviceWriteResponse,
  fileStandardInformation,
  PRINTER_NAMES_ASCII,
  printerDeviceData,
  STATUS_END_OF_FILE,
} from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import { type ContentSink, cutText, utf16Text } from './contents.ts';
import { DriveFiles, type OpenFileSnapshot } from './drive-files.ts';
import { type DriveRequest, dataBytes, driveRequestOf } from './drive-requests.ts';
import type { DeviceKind, Happening } from './events.ts';

const REQUESTS_MAX = 1024;
const DEVICES_MAX = 4096;
const NAME_MAX = 260;
/** Data of write requests that wait for their answer. */
const WAITING_BYTES_MAX = 8 << 20;

interface Device {
  readonly type: number;
  readonly name: string;
  /** Taken away. It keeps its name for a while: what was asked of it before may be answered. */
  readonly removed: boolean;
}

export interface DriveSnapshot {
  readonly devices: ReadonlyMap<number, Device>;
  readonly requests: ReadonlyMap<string, DriveRequest>;
  readonly files: readonly OpenFileSnapshot[];
}

const kinds: ReadonlyMap<number, DeviceKind> = new Map([
  [DeviceType.serial, 'serial'],
  [DeviceType.parallel, 'parallel'],
  [DeviceType.printer, 'printer'],
  [DeviceType.smartcard, 'smart_card'],
]);

/** Follows the device channel ([MS-RDPEFS]): the server uses files and printers that the client lent it. */
export class DriveWatch {
  readonly #emit: (timeUs: number, happening: Happening) => void;
  readonly #files: DriveFiles;
  #devices = new Map<number, Device>();
  #requests = new Map<string, DriveRequest>();
  #waitingBytes = 0;

  constructor(emit: (timeUs: number, happening: Happening) => void, nextId: () => number, sink?: ContentSink) {
    this.#emit = emit;
    this.#files = new DriveFiles(emit, nextId, sink);
  }

  snapshot(): DriveSnapshot {
    return {
      devices: new Map(this.#devices),
      requests: new Map(this.#requests),
      files: this.#files.snapshot(),
    };
  }

  restore(snapshot: DriveSnapshot): void {
    this.#devices = new Map(snapshot.devices);
    this.#requests = new Map(snapshot.requests);
    this.#waitingBytes = 0;
    for (const request of this.#requests.values()) this.#waitingBytes += dataBytes(request);
    this.#files.restore(snapshot.files);
  }

  /** A whole message of the channel. Throws `DecodeError`. */
  push(timeUs: number, sender: 'client' | 'server', bytes: Uint8Array): void {
    const { component, packetId, data } = decode(deviceMessage, bytes);
    if (component !== DeviceComponent.core) return;
    if (sender === 'server' && packetId === DevicePacketId.deviceIoRequest)
      this.#request(decode(deviceIoRequest, data));
    if (sender !== 'client') return;
    if (packetId === DevicePacketId.deviceListAnnounce)
      for (const device of decode(deviceListAnnounce, data).devices) this.#announced(timeUs, device);
    if (packetId === DevicePacketId.deviceListRemove)
      for (const deviceId of decode(deviceListRemove, data).deviceIds) this.#removed(timeUs, deviceId);
    if (packetId === DevicePacketId.deviceIoCompletion) this.#completion(timeUs, data);
  }

  /** Files that are open when the session ends: their device closes them. */
  end(timeUs: number): void {
    for (const request of this.#requests.values()) this.#unanswered(request);
    this.#files.closeAll(timeUs, true);
  }

  /** Something of the channel was not recorded. */
  lost(): void {
    this.#requests.clear();
    this.#waitingBytes = 0;
    this.#files.loseAll();
  }

  #announced(timeUs: number, device: DeviceAnnounce): void {
    const { deviceType, deviceId } = device;
    const isPrinter = deviceType === DeviceType.printer;
    const name = (isPrinter && printerName(device)) || cutText(device.preferredDosName.text, 8);
    const before = this.#devices.get(deviceId);
    // Announced again after a logon: the same one.
    if (before && !before.removed && before.name === name && before.type === deviceType) return;
    this.#files.closeAll(timeUs, false, deviceId);
    if (deviceType === DeviceType.filesystem) this.#emit(timeUs, { kind: 'drive', deviceId, name });
    else this.#emit(timeUs, { kind: 'device', deviceId, type: kinds.get(deviceType) ?? 'other', name });
    this.#devices.delete(deviceId);
    if (this.#devices.size >= DEVICES_MAX) this.#forgetOne(timeUs);
    this.#devices.set(deviceId, { type: deviceType, name, removed: false });
  }

  #removed(timeUs: number, deviceId: number): void {
    const device = this.#devices.get(deviceId);
    if (device === undefined || device.removed) return;
    this.#files.closeAll(timeUs, false, deviceId);
    this.#devices.set(deviceId, { ...device, removed: true });
    this.#emit(timeUs, { kind: 'device_removed', deviceId, name: device.name });
  }

  /** The one that was taken away first, or else the oldest. */
  #forgetOne(timeUs: number): void {
    const all = [...this.#devices];
    const [deviceId] = all.find(([, device]) => device.removed) ?? all[0]!;
    this.#files.closeAll(timeUs, false, deviceId);
    this.#devices.delete(deviceId);
  }

  #request(io: DeviceIoRequest): void {
    const type = this.#devices.get(io.deviceId)?.type;
    if (type !== DeviceType.filesystem && type !== DeviceType.printer) return;
    const request = driveRequestOf(io, this.#files.numberOf(io.deviceId, io.fileId));
    if (request === null) return;
    const key = `${io.deviceId}:${io.completionId}`;
    // One id for two: whose answer comes is not known, and the first one's is none any more.
    this.#drop(key);
    if (this.#requests.size >= REQUESTS_MAX) this.#drop(this.#requests.keys().next().value!);
    if (request.kind === 'write' && this.#waitingBytes + request.length > WAITING_BYTES_MAX) request.data = null;
    this.#waitingBytes += dataBytes(request);
    this.#requests.set(key, request);
  }

  #drop(key: string): void {
    const request = this.#take(key);
    if (request !== undefined) this.#unanswered(request);
  }

  #take(key: string): DriveRequest | undefined {
    const request = this.#requests.get(key);
    if (request === undefined) return undefined;
    this.#requests.delete(key);
    this.#waitingBytes -= dataBytes(request);
    return request;
  }

  /** Whether it was done is not known. */
  #unanswered(request: DriveRequest): void {
    if (request.kind === 'write' || request.kind === 'resize') this.#files.lose(request.file);
  }

  #completion(timeUs: number, bytes: Uint8Array): void {
    const { deviceId, completionId, ioStatus, data } = decode(deviceIoCompletion, bytes);
    const request = this.#take(`${deviceId}:${completionId}`);
    if (request === undefined) return;
    if (ioStatus !== 0) this.#failed(timeUs, deviceId, request, ioStatus);
    else if (request.kind === 'open')
      this.#opened(timeUs, deviceId, request, decode(deviceCreateResponse, data).fileId);
    else this.#done(timeUs, request, data);
  }

  #failed(timeUs: number, deviceId: number, request: DriveRequest, ioStatus: number): void {
    if (request.kind === 'open') this.#opened(timeUs, deviceId, request, null);
    if (request.kind === 'read' && ioStatus === STATUS_END_OF_FILE) this.#readNothing(request);
  }

  #done(timeUs: number, request: Exclude<DriveRequest, { kind: 'open' }>, data: Uint8Array): void {
    const { file } = request;
    switch (request.kind) {
      case 'read': {
        const { readData } = decode(deviceReadResponse, data);
        if (readData.length === 0) this.#readNothing(request);
        else this.#files.read(timeUs, file, request.offset, request.length, readData);
        return;
      }
      case 'write':
        this.#wrote(timeUs, request, data);
        return;
      case 'size': {
        const { buffer } = decode(deviceQueryInformationResponse, data);
        const { endOfFile } = decode(fileStandardInformation, buffer);
        this.#files.sized(file, endOfFile <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(endOfFile) : null);
        return;
      }
      case 'resize':
        this.#files.resized(file, request.size, request.allocation);
        return;
      case 'delete': {
        const opened = this.#files.get(file);
        if (opened !== undefined) opened.deleting = request.pending;
        return;
      }
      case 'rename': {
        const opened = this.#files.get(file);
        if (opened === undefined) return;
        const { device: drive, path } = opened;
        this.#emit(timeUs, { kind: 'drive_renamed', drive, path, newPath: request.path });
        return;
      }
      case 'close':
        this.#files.close(timeUs, file, !this.#hasWaiting(file));
    }
  }

  /** As many bytes as the answer says. */
  #wrote(timeUs: number, request: Extract<DriveRequest, { kind: 'write' }>, data: Uint8Array): void {
    const { file, offset, length } = request;
    // An answer that does not say how many can't be counted.
    if (data.length < 4) this.#files.lose(file);
    const written = decode(deviceWriteResponse, data).length;
    if (written > length) this.#files.lose(file);
    this.#files.written(timeUs, file, offset, Math.min(written, length), request.data);
  }

  /** Nothing where bytes were asked for: the file ends there, if all before it went over. */
  #readNothing({ file, offset, length }: Extract<DriveRequest, { kind: 'read' }>): void {
    const opened = this.#files.get(file);
    if (opened?.size !== null || length === 0 || offset === null) return;
    if (opened.read?.reach === offset) this.#files.sized(file, offset);
  }

  #hasWaiting(file: number): boolean {
    for (const request of this.#requests.values())
      if ((request.kind === 'write' || request.kind === 'resize') && request.file === file) return true;
    return false;
  }

  #opened(
    timeUs: number,
    deviceId: number,
    request: Extract<DriveRequest, { kind: 'open' }>,
    fileId: number | null,
  ): void {
    const device = this.#devices.get(deviceId);
    if (device === undefined) return;
    const { path, forWriting, appends, fresh, deleteOnClose } = request;
    const opened = fileId !== null;
    const isPrinter = device.type === DeviceType.printer;
    if (!isPrinter) this.#emit(timeUs, { kind: 'drive_open', drive: device.name, path, opened, forWriting });
    if (fileId === null) return;
    this.#files.open(timeUs, {
      deviceId,
      fileId,
      isPrinter,
      device: device.name,
      path,
      appends,
      size: fresh ? 0 : null,
      deleting: deleteOnClose,
    });
  }
}

/** Printers have their name in the device data; '' where it can't be read. */
function printerName({ deviceData }: DeviceAnnounce): string {
  if (deviceData.length < 24) return '';
  const {
    flags,
    pnpNameLen,
    driverNameLen,
    printNameLen,
    names = new Uint8Array(0),
  } = decode(printerDeviceData, deviceData);
  const name = names.subarray(pnpNameLen + driverNameLen, pnpNameLen + driverNameLen + printNameLen);
  if ((flags & PRINTER_NAMES_ASCII) === 0) return utf16Text(name, NAME_MAX);
  return cutText(new TextDecoder('latin1').decode(name.slice()), NAME_MAX);
}
