import { type Codec, DecodeError, type Reader, type Writer } from '@lucid-sessions/wire';
import { list, struct, structWithTail, textOfBytes, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';
import { Assembly } from './static-channel.ts';

/** Dynamic virtual channels, [MS-RDPEDYC]: messages of the static channel named drdynvc. */
export const DYNAMIC_CHANNEL_NAME = 'drdynvc';

/** Cmd of the header, [MS-RDPEDYC] 2.2: high four bits of a message's first byte. */
export const DynamicCommand = {
  create: 1,
  dataFirst: 2,
  data: 3,
  close: 4,
  capabilities: 5,
  dataFirstCompressed: 6,
  dataCompressed: 7,
  softSyncRequest: 8,
  softSyncResponse: 9,
} as const;

/** Longest channel name accepted; the specification sets no bound. */
const CHANNEL_NAME_BYTES_MAX = 1024;

/** Size of a field whose width stands in two bits of the header. */
type WidthCode = 0 | 1 | 2 | 3;

/** Low four bits of the first byte: width code of the channel id, and `sp`, whose meaning depends on the command. */
interface DynamicHeader {
  cbId: WidthCode;
  sp: WidthCode;
}

export type DynamicChannelPdu = DynamicHeader &
  (
    | { kind: 'capabilities'; pad: number; version: number; priorityCharges?: number[] }
    | { kind: 'createRequest'; channelId: number; channelName: string; trailing?: Uint8Array }
    | { kind: 'createResponse'; channelId: number; creationStatus: number; trailing?: Uint8Array }
    /** `sp` is the width of `length`: that of the whole message. */
    | { kind: 'dataFirst'; channelId: number; length: number; data: Uint8Array }
    | { kind: 'data'; channelId: number; data: Uint8Array }
    | { kind: 'close'; channelId: number; trailing?: Uint8Array }
    /** Data is RDP 8.0 compressed (RDP_SEGMENTED_DATA, 8 KB history). */
    | { kind: 'dataFirstCompressed'; channelId: number; length: number; data: Uint8Array }
    | { kind: 'dataCompressed'; channelId: number; data: Uint8Array }
    | ({ kind: 'softSyncRequest' } & SoftSyncRequest)
    | ({ kind: 'softSyncResponse' } & SoftSyncResponse)
  );

const channelIds = struct('soft-sync channel list', { tunnelType: u32le, dvcIds: list('channel ids', u16le, u32le) });
const softSyncRequest = structWithTail(
  'DYNVC_SOFT_SYNC_REQUEST',
  { pad: u8, length: u32le, flags: u16le, channels: list('channel lists', u16le, channelIds) },
  {},
);
const softSyncResponse = structWithTail(
  'DYNVC_SOFT_SYNC_RESPONSE',
  { pad: u8, tunnels: list('tunnels', u32le, u32le) },
  {},
);
type SoftSyncRequest = Value<typeof softSyncRequest>;
type SoftSyncResponse = Value<typeof softSyncResponse>;

function readWidth(reader: Reader, code: WidthCode): number {
  switch (code) {
    case 0:
      return reader.u8();
    case 1:
      return reader.u16le();
    case 2:
      return reader.u32le();
    case 3:
      throw reader.error('invalid', 'dynamic channel field of width code 3');
  }
}

function writeWidth(writer: Writer, code: WidthCode, value: number): void {
  if (code === 0) writer.u8(value);
  else if (code === 1) writer.u16le(value);
  else writer.u32le(value);
}

/** The narrowest width code that holds `value`. */
export function widthCode(value: number): 0 | 1 | 2 {
  if (value <= 0xff) return 0;
  return value <= 0xffff ? 1 : 2;
}

function readName(reader: Reader): string {
  const { bytes, offset, end } = reader;
  const limit = Math.min(end, offset + CHANNEL_NAME_BYTES_MAX);
  for (let at = offset; at < limit; at += 1)
    if (bytes[at] === 0) {
      const name = textOfBytes(reader.slice(at - offset));
      reader.skip(1);
      return name;
    }
  throw reader.error('invalid', 'dynamic channel name without end');
}

function withTrailing<T extends object>(reader: Reader, value: T): T & { trailing?: Uint8Array } {
  return reader.remaining > 0 ? { ...value, trailing: reader.rest() } : value;
}

function readCapabilities(reader: Reader, head: DynamicHeader, sender: 'client' | 'server'): DynamicChannelPdu {
  const value = { kind: 'capabilities', ...head, pad: reader.u8(), version: reader.u16le() } as const;
  if (sender === 'client' || value.version < 2) return value;
  return { ...value, priorityCharges: [reader.u16le(), reader.u16le(), reader.u16le(), reader.u16le()] };
}

function readCreate(reader: Reader, head: DynamicHeader, sender: 'client' | 'server'): DynamicChannelPdu {
  const channelId = readWidth(reader, head.cbId);
  return sender === 'server'
    ? withTrailing(reader, { kind: 'createRequest', ...head, channelId, channelName: readName(reader) } as const)
    : withTrailing(reader, { kind: 'createResponse', ...head, channelId, creationStatus: reader.u32le() } as const);
}

function readBody(
  reader: Reader,
  command: number,
  head: DynamicHeader,
  sender: 'client' | 'server',
): DynamicChannelPdu {
  const id = () => readWidth(reader, head.cbId);
  const first = (kind: 'dataFirst' | 'dataFirstCompressed') => {
    const channelId = id();
    return { kind, ...head, channelId, length: readWidth(reader, head.sp), data: reader.rest() };
  };
  switch (command) {
    case DynamicCommand.create:
      return readCreate(reader, head, sender);
    case DynamicCommand.dataFirst:
      return first('dataFirst');
    case DynamicCommand.data:
      return { kind: 'data', ...head, channelId: id(), data: reader.rest() };
    case DynamicCommand.close:
      return withTrailing(reader, { kind: 'close', ...head, channelId: id() } as const);
    case DynamicCommand.capabilities:
      return readCapabilities(reader, head, sender);
    case DynamicCommand.dataFirstCompressed:
      return first('dataFirstCompressed');
    case DynamicCommand.dataCompressed:
      return { kind: 'dataCompressed', ...head, channelId: id(), data: reader.rest() };
    case DynamicCommand.softSyncRequest:
      return { kind: 'softSyncRequest', ...head, ...softSyncRequest.decode(reader) };
    case DynamicCommand.softSyncResponse:
      return { kind: 'softSyncResponse', ...head, ...softSyncResponse.decode(reader) };
    default:
      throw reader.error('unsupported', `dynamic channel command ${command}`);
  }
}

const COMMANDS: { readonly [K in DynamicChannelPdu['kind']]: number } = {
  ...DynamicCommand,
  createRequest: DynamicCommand.create,
  createResponse: DynamicCommand.create,
};

function writeBody(value: DynamicChannelPdu, writer: Writer): void {
  switch (value.kind) {
    case 'capabilities':
      writer.u8(value.pad).u16le(value.version);
      for (const charge of value.priorityCharges ?? []) writer.u16le(charge);
      return;
    case 'softSyncRequest':
      softSyncRequest.encode(value, writer);
      return;
    case 'softSyncResponse':
      softSyncResponse.encode(value, writer);
      return;
    default:
      writeWidth(writer, value.cbId, value.channelId);
  }
  if (value.kind === 'createRequest') writer.latin1(value.channelName).u8(0);
  if (value.kind === 'createResponse') writer.u32le(value.creationStatus);
  if (value.kind === 'dataFirst' || value.kind === 'dataFirstCompressed') writeWidth(writer, value.sp, value.length);
  if ('data' in value) writer.slice(value.data);
  if ('trailing' in value && value.trailing) writer.slice(value.trailing);
}

/** The codec of what one side sends: some PDUs look different from client and server. */
function dynamicChannelPdu(sender: 'client' | 'server'): Codec<DynamicChannelPdu> {
  return {
    name: `dynamic channel PDU of the ${sender}`,
    decode(reader) {
      const header = reader.u8();
      const head = { cbId: (header & 3) as WidthCode, sp: ((header >> 2) & 3) as WidthCode };
      return readBody(reader, header >> 4, head, sender);
    },
    encode(value, writer) {
      writer.u8((COMMANDS[value.kind] << 4) | (value.sp << 2) | value.cbId);
      writeBody(value, writer);
    },
  };
}

export const dynamicChannelClientPdu = dynamicChannelPdu('client');
export const dynamicChannelServerPdu = dynamicChannelPdu('server');

/** Longest dynamic channel message put together. Graphics messages of 4K frames stay far below. */
export const DYNAMIC_MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
/** Most channels open at once that are tracked. */
export const DYNAMIC_CHANNELS_MAX = 4096;

export interface DynamicReassemblerSnapshot {
  readonly bytes: Uint8Array;
  /** Length of the whole message. */
  readonly expected: number;
}

/** Data PDUs of one dynamic channel and one direction put together. */
export class DynamicReassembler {
  readonly #bytesMax: number;
  #assembly: Assembly | null = null;
  #expected = 0;

  constructor(bytesMax = DYNAMIC_MESSAGE_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** The incomplete message, or null; `restore` continues it. */
  snapshot(): DynamicReassemblerSnapshot | null {
    return this.#assembly && { bytes: new Uint8Array(this.#assembly.join()), expected: this.#expected };
  }

  restore(snapshot: DynamicReassemblerSnapshot | null): void {
    this.#expected = snapshot?.expected ?? 0;
    this.#assembly = snapshot && Assembly.holding(snapshot.expected, snapshot.bytes);
  }

  /** Begins a message of `length` bytes; the whole message when `data` is all of it. */
  first(length: number, data: Uint8Array): Uint8Array | null {
    if (length > this.#bytesMax) throw new DecodeError('limit', `dynamic channel message of ${length} bytes`);
    this.#assembly = new Assembly(length);
    this.#expected = length;
    return this.#add(data);
  }

  /** Continues a message, or is one by itself. */
  next(data: Uint8Array): Uint8Array | null {
    return this.#assembly === null ? data : this.#add(data);
  }

  #add(data: Uint8Array): Uint8Array | null {
    const assembly = this.#assembly!;
    try {
      assembly.add(data);
    } catch (error) {
      this.#assembly = null;
      throw error;
    }
    if (assembly.length < this.#expected) return null;
    this.#assembly = null;
    return assembly.join();
  }
}
