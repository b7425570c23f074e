import { type Codec, type Reader, Writer } from '@lucid-sessions/wire';
import { struct, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** Fast-path input and output, [MS-RDPBCGR] 2.2.8.1.2 and 2.2.9.1.2. */

/**
 * Flags in the top two bits of the first byte. mstsc sets `secureChecksum` in every input PDU under TLS and NLA too; a
 * signature is there only with `encrypted`.
 */
export const FastPathFlag = { secureChecksum: 1, encrypted: 2 } as const;
/** Flags of fast-path keyboard events. */
export const FastPathKeyFlag = { release: 1, extended: 2, extended1: 4 } as const;

const nothing = struct('synchronize event', {});
const key = struct('scancode event', { keyCode: u8 });
const unicode = struct('unicode event', { unicodeCode: u16le });
const pointer = struct('mouse event', { pointerFlags: u16le, x: u16le, y: u16le });
const relative = struct('relative mouse event', { pointerFlags: u16le, xDelta: u16le, yDelta: u16le });
const qoe = struct('quality of experience event', { timestamp: u32le });

const inputKinds = {
  scancode: { code: 0, codec: key },
  mouse: { code: 1, codec: pointer },
  mousex: { code: 2, codec: pointer },
  sync: { code: 3, codec: nothing },
  unicode: { code: 4, codec: unicode },
  mouseRelative: { code: 5, codec: relative },
  qoeTimestamp: { code: 6, codec: qoe },
} as const;
type InputKinds = typeof inputKinds;

/** One event; `flags` are five bits whose meaning depends on the kind (toggle keys in `sync`). */
export type FastPathInputEvent = {
  [K in keyof InputKinds]: { kind: K; flags: number } & Value<InputKinds[K]['codec']>;
}[keyof InputKinds];

/** TS_FP_INPUT_PDU without encryption. */
export interface FastPathInput {
  flags: number;
  events: FastPathInputEvent[];
  /** Present when the length takes two bytes without need. */
  wideLength?: true;
  /** Present when the event count has its own byte though it would fit the header. */
  wideCount?: true;
}

const inputByCode = new Map(
  Object.entries(inputKinds).map(([kind, entry]) => [entry.code as number, { kind, ...entry }]),
);

/** The length of a fast-path PDU counts header and itself. Leaves the reader after it. */
function openFastPath(reader: Reader): { content: Reader; wide: boolean } {
  const start = reader.offset - 1;
  const first = reader.u8();
  const wide = (first & 0x80) !== 0;
  const length = wide ? ((first & 0x7f) << 8) | reader.u8() : first;
  const size = length - (reader.offset - start);
  if (size < 0) throw reader.error('invalid', `fast-path length ${length} is below its header`);
  return { content: reader.sub(size), wide: wide && size + 2 < 0x80 };
}

function closeFastPath(writer: Writer, header: number, content: Uint8Array, wide: boolean): void {
  writer.u8(header);
  const short = content.length + 2;
  if (!wide && short < 0x80) writer.u8(short);
  else writer.u16be(0x8000 | checkLength(content.length + 3));
  writer.slice(content);
}

function checkLength(length: number): number {
  if (length > 0x7fff) throw new RangeError(`${length} bytes do not fit one fast-path PDU; fragment them`);
  return length;
}

function rejectEncryption(reader: Reader, flags: number): void {
  if ((flags & FastPathFlag.encrypted) !== 0)
    throw reader.error('unsupported', 'encrypted fast-path PDU (standard RDP security)');
}

/** TS_FP_INPUT_EVENT, [MS-RDPBCGR] 2.2.8.1.2.2. */
export const fastPathInputEvent: Codec<FastPathInputEvent> = {
  name: 'fast-path input event',
  decode(reader) {
    const header = reader.u8();
    const known = inputByCode.get(header >> 5);
    if (!known) throw reader.error('invalid', `fast-path input event ${header >> 5}`);
    return { kind: known.kind, flags: header & 0x1f, ...known.codec.decode(reader) } as FastPathInputEvent;
  },
  encode(value, writer) {
    const entry = inputKinds[value.kind];
    writer.u8((entry.code << 5) | value.flags);
    (entry.codec as Codec<unknown>).encode(value, writer);
  },
};

export const fastPathInput: Codec<FastPathInput> = {
  name: 'fast-path input PDU',
  decode(reader) {
    const header = reader.u8();
    if ((header & 3) !== 0) throw reader.error('invalid', 'not a fast-path PDU');
    const { content, wide } = openFastPath(reader);
    rejectEncryption(content, header >> 6);
    const inHeader = (header >> 2) & 15;
    const count = inHeader === 0 ? content.u8() : inHeader;
    const events: FastPathInputEvent[] = [];
    for (let i = 0; i < count; i += 1) events.push(fastPathInputEvent.decode(content));
    content.expectEnd('fast-path input events');
    const value: FastPathInput = { flags: header >> 6, events };
    if (wide) value.wideLength = true;
    if (inHeader === 0 && count >= 1 && count <= 15) value.wideCount = true;
    return value;
  },
  encode(value, writer) {
    const count = value.events.length;
    const inHeader = count >= 1 && count <= 15 && value.wideCount !== true;
    const content = new Writer();
    if (!inHeader) content.u8(count);
    for (const event of value.events) fastPathInputEvent.encode(event, content);
    const header = (value.flags << 6) | ((inHeader ? count : 0) << 2);
    closeFastPath(writer, header, content.bytes(), value.wideLength === true);
  },
};

/** updateCode of fast-path updates. */
export const FastPathUpdateCode = {
  orders: 0,
  bitmap: 1,
  palette: 2,
  synchronize: 3,
  surfaceCommands: 4,
  pointerNull: 5,
  pointerDefault: 6,
  pointerPosition: 8,
  pointerColor: 9,
  pointerCached: 10,
  pointerNew: 11,
  pointerLarge: 12,
} as const;

/** fragmentation of a fast-path update. */
export const Fragmentation = { single: 0, last: 1, first: 2, next: 3 } as const;

/** TS_FP_UPDATE: one update or a fragment of one, possibly bulk compressed. */
export interface FastPathUpdate {
  updateCode: number;
  fragmentation: number;
  /** The two compression bits; bit 2 says that `compressionFlags` follows. */
  compression: number;
  compressionFlags?: number;
  data: Uint8Array;
}

/** The compression bit of `FastPathUpdate.compression`. */
export const FASTPATH_OUTPUT_COMPRESSION_USED = 2;

/** TS_FP_UPDATE_PDU without encryption. */
export interface FastPathOutput {
  flags: number;
  /** Four reserved bits of the header. */
  reserved: number;
  updates: FastPathUpdate[];
  wideLength?: true;
}

const fastPathUpdate: Codec<FastPathUpdate> = {
  name: 'fast-path update',
  decode(reader) {
    const header = reader.u8();
    const base = { updateCode: header & 15, fragmentation: (header >> 4) & 3, compression: header >> 6 };
    if (base.compression & FASTPATH_OUTPUT_COMPRESSION_USED) {
      const compressionFlags = reader.u8();
      return { ...base, compressionFlags, data: reader.slice(reader.u16le()) };
    }
    return { ...base, data: reader.slice(reader.u16le()) };
  },
  encode(value, writer) {
    writer.u8(value.updateCode | (value.fragmentation << 4) | (value.compression << 6));
    if (value.compressionFlags !== undefined) writer.u8(value.compressionFlags);
    writer.u16le(value.data.length).slice(value.data);
  },
};

export const fastPathOutput: Codec<FastPathOutput> = {
  name: 'fast-path output PDU',
  decode(reader) {
    const header = reader.u8();
    if ((header & 3) !== 0) throw reader.error('invalid', 'not a fast-path PDU');
    const { content, wide } = openFastPath(reader);
    rejectEncryption(content, header >> 6);
    const updates: FastPathUpdate[] = [];
    while (content.remaining > 0) updates.push(fastPathUpdate.decode(content));
    const value: FastPathOutput = { flags: header >> 6, reserved: (header >> 2) & 15, updates };
    if (wide) value.wideLength = true;
    return value;
  },
  encode(value, writer) {
    const content = new Writer();
    for (const update of value.updates) fastPathUpdate.encode(update, content);
    const header = (value.flags << 6) | (value.reserved << 2);
    closeFastPath(writer, header, content.bytes(), value.wideLength === true);
  },
};
