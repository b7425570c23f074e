import {
  CREATE_DELETE_ON_CLOSE,
  CreateDisposition,
  type DeviceIoRequest,
  DeviceMajorFunction,
  deviceCreateRequest,
  deviceQueryInformationRequest,
  deviceReadRequest,
  deviceSetInformationRequest,
  deviceWriteRequest,
  FileInformationClass,
  fileRenameInformation,
} from '@lucid-sessions/rdp';
import { decode, Reader } from '@lucid-sessions/wire';
import { utf16Text } from './contents.ts';

const PATH_MAX = 1024;
/** [MS-SMB2] 2.2.13.1.1: FILE_WRITE_DATA, FILE_APPEND_DATA, GENERIC_ALL, GENERIC_WRITE. */
const WRITE_DATA = 0x0000_0002;
const APPEND_DATA = 0x0000_0004;
const GENERIC = 0x1000_0000 | 0x4000_0000;
const OFFSET_LIMIT = 1n << 50n;

/** What the server asked of a device. `file` is our number of the open file. */
export type DriveRequest =
  | { kind: 'open'; path: string; forWriting: boolean; appends: boolean; fresh: boolean; deleteOnClose: boolean }
  | { kind: 'close'; file: number }
  | { kind: 'read'; file: number; offset: number | null; length: number }
  /** `data` is null where there was no room to keep it. */
  | { kind: 'write'; file: number; offset: number | null; length: number; data: Uint8Array | null }
  | { kind: 'size'; file: number }
  /** `allocation`: the file is cut where it is longer, and else stays as long as it is. */
  | { kind: 'resize'; file: number; size: number | null; allocation: boolean }
  | { kind: 'delete'; file: number; pending: boolean }
  | { kind: 'rename'; file: number; path: string };

export const dataBytes = (request: DriveRequest): number =>
  request.kind === 'write' && request.data !== null ? request.data.length : 0;

/** What of a request matters here; null for the rest. Throws `DecodeError`. */
export function driveRequestOf(io: DeviceIoRequest, file: number | undefined): DriveRequest | null {
  if (io.majorFunction === DeviceMajorFunction.create) return openOf(io.data);
  if (file === undefined) return null;
  switch (io.majorFunction) {
    case DeviceMajorFunction.close:
      return { kind: 'close', file };
    case DeviceMajorFunction.read: {
      const { length, offset } = decode(deviceReadRequest, io.data);
      return { kind: 'read', file, offset: placed(offset), length };
    }
    case DeviceMajorFunction.write: {
      const { offset, length, writeData } = decode(deviceWriteRequest, io.data);
      const data = new Uint8Array(writeData.subarray(0, length));
      return { kind: 'write', file, offset: placed(offset), length: data.length, data };
    }
    case DeviceMajorFunction.queryInformation: {
      const { fsInformationClass } = decode(deviceQueryInformationRequest, io.data);
      return fsInformationClass === FileInformationClass.standard ? { kind: 'size', file } : null;
    }
    case DeviceMajorFunction.setInformation:
      return setOf(io.data, file);
    default:
      return null;
  }
}

function openOf(data: Uint8Array): DriveRequest {
  const { path, desiredAccess, createDisposition, createOptions } = decode(deviceCreateRequest, data);
  const writes = (desiredAccess & (WRITE_DATA | GENERIC)) !== 0;
  const appends = (desiredAccess & APPEND_DATA) !== 0;
  return {
    kind: 'open',
    path: utf16Text(path, PATH_MAX),
    forWriting: writes || appends,
    // Without the right to write elsewhere every write goes to the end.
    appends: appends && !writes,
    fresh: createDisposition !== CreateDisposition.open && createDisposition !== CreateDisposition.openIf,
    deleteOnClose: (createOptions & CREATE_DELETE_ON_CLOSE) !== 0,
  };
}

function setOf(data: Uint8Array, file: number): DriveRequest | null {
  const { fsInformationClass, length, setBuffer } = decode(deviceSetInformationRequest, data);
  const buffer = setBuffer.subarray(0, length);
  switch (fsInformationClass) {
    case FileInformationClass.disposition:
      // Without a value it means yes.
      return { kind: 'delete', file, pending: buffer.length === 0 || buffer[0] !== 0 };
    case FileInformationClass.rename:
      return { kind: 'rename', file, path: utf16Text(decode(fileRenameInformation, buffer).fileName, PATH_MAX) };
    case FileInformationClass.endOfFile:
    case FileInformationClass.allocation: {
      const allocation = fsInformationClass === FileInformationClass.allocation;
      return { kind: 'resize', file, size: placed(new Reader(buffer).u64le()), allocation };
    }
    default:
      return null;
  }
}

/** −1 writes to the end, −2 where the last one ended; no file has other such places. */
const placed = (offset: bigint): number | null => (offset < OFFSET_LIMIT ? Number(offset) : null);
