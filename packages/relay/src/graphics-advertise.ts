/** What a client offers on the graphics pipeline, cut down to what replay can show: [MS-RDPEGFX] 2.2.2.16 and 2.2.2.18. */
import { gfxCapset, gfxCmdId, gfxPdu } from '@lucid-sessions/graphics';
import { DecodeError, encode, joinBytes, Reader } from '@lucid-sessions/wire';
import type { Value } from '@lucid-sessions/wire/struct';

type Capset = Value<typeof gfxCapset>;

const GRAPHICS = 'microsoft::windows::rds::graphics';
export const isGraphicsName = (channelName: string): boolean => channelName.toLowerCase() === GRAPHICS;

const COMMAND_HEADER_BYTES = 8;
const FLAGS_BYTES = 4;

/** RDPGFX_CAPS_FLAG_* of [MS-RDPEGFX] 2.2.3: thin client, small cache, AVC420, AVC disabled, AVC thin client, no scaled maps. */
const KNOWN_FLAGS = 0x01 | 0x02 | 0x10 | 0x20 | 0x40 | 0x80;
const VERSION_8 = 0x0008_0004;

/** Versions whose every codec is decoded here, and the flags known of each. Of 10.1 all 16 bytes are reserved. */
const knownVersions: ReadonlyMap<number, number> = new Map([
  [VERSION_8, KNOWN_FLAGS],
  [0x0008_0105, KNOWN_FLAGS],
  [0x000a_0002, KNOWN_FLAGS],
  [0x000a_0100, 0],
  [0x000a_0200, KNOWN_FLAGS],
  [0x000a_0301, KNOWN_FLAGS],
  [0x000a_0400, KNOWN_FLAGS],
  [0x000a_0502, KNOWN_FLAGS],
  [0x000a_0600, KNOWN_FLAGS],
  // What Windows 10.6 was first built with, and FreeRDP offers beside it.
  [0x000a_0601, KNOWN_FLAGS],
  [0x000a_0701, KNOWN_FLAGS],
]);

export interface GraphicsChanges {
  /** In place of the message; the message itself where nothing had to change. */
  bytes: Uint8Array;
  /** What of it replay could not show. */
  changed: ReadonlySet<GraphicsOffer>;
}

/** Names of what may be left in (`Unreplayable`). */
export type GraphicsOffer = 'graphics' | 'bitmap_cache';

/**
 * One message of the client. Advertised versions that are not known go, and options of known ones; a cache import offer offers
 * nothing, to which the server answers that it took nothing. What `leaves` names stays as it is.
 */
export function graphicsMessage(message: Uint8Array, leaves: (what: GraphicsOffer) => boolean): GraphicsChanges {
  const changed = new Set<GraphicsOffer>();
  const parts = [...commandsOf(message)].map((command) => {
    const what = offers.get(command.cmdId);
    if (what === undefined || leaves(what)) return command.bytes;
    const part = what === 'graphics' ? advertise(command) : emptyOffer(command);
    if (part !== null) changed.add(what);
    return part ?? command.bytes;
  });
  return { changed, bytes: changed.size > 0 ? joinBytes(parts) : message };
}

const offers: ReadonlyMap<number, GraphicsOffer> = new Map([
  [gfxCmdId.capsAdvertise, 'graphics'],
  [gfxCmdId.cacheImportOffer, 'bitmap_cache'],
]);

/** Whether a message is what these are, to the last byte: where no name says that its channel is the graphics pipeline's. */
export function looksLikeGraphics(message: Uint8Array): boolean {
  const [command, more] = commandsOf(message);
  if (command === undefined || more !== undefined || command.flags !== 0 || command.odd) return false;
  const { length } = command.body;
  if (command.cmdId === gfxCmdId.cacheImportOffer) return length >= 2 && length === 2 + 12 * u16le(command.body, 0);
  if (command.cmdId !== gfxCmdId.capsAdvertise) return false;
  const { sets, whole } = capsetsOf(command.body);
  return whole && sets.length > 0;
}

/** Whether a message of `length` bytes may be one of those, by its first bytes: too few of them leave it open. */
export function mayBeGraphics(head: Uint8Array, length: number): boolean {
  if (length < COMMAND_HEADER_BYTES) return false;
  if (head.length < COMMAND_HEADER_BYTES) return true;
  const cmdId = u16le(head, 0);
  return offers.has(cmdId) && new Reader(head, 4).u32le() === length;
}

interface Command {
  cmdId: number;
  flags: number;
  body: Uint8Array;
  bytes: Uint8Array;
  /** Its length is not one: it is taken for all that is left. */
  odd: boolean;
}

function* commandsOf(message: Uint8Array): Generator<Command, undefined> {
  for (let at = 0; at < message.length; ) {
    const head = new Reader(message, at);
    const isWhole = head.remaining >= COMMAND_HEADER_BYTES;
    const cmdId = isWhole ? head.u16le() : 0;
    const flags = isWhole ? head.u16le() : 0;
    const length = isWhole ? head.u32le() : 0;
    const odd = length < COMMAND_HEADER_BYTES || length > message.length - at;
    const end = odd ? message.length : at + length;
    const body = message.subarray(Math.min(end, at + COMMAND_HEADER_BYTES), end);
    yield { cmdId, flags, body, bytes: message.subarray(at, end), odd };
    at = end;
  }
}

/** As many of the sets as are there. */
function capsetsOf(body: Uint8Array): { sets: Capset[]; whole: boolean } {
  const reader = new Reader(body);
  const sets: Capset[] = [];
  try {
    for (let count = reader.u16le(); count > 0; count -= 1) sets.push(gfxCapset.decode(reader));
    return { sets, whole: reader.remaining === 0 };
  } catch (error) {
    if (error instanceof DecodeError) return { sets, whole: false };
    throw error;
  }
}

/** null where all of it is known. A server must be left something to choose: version 8 without options is what every one has. */
function advertise({ flags, body, odd }: Command): Uint8Array | null {
  const { sets, whole } = capsetsOf(body);
  const known = sets.flatMap((set) => knownCapset(set) ?? []);
  if (whole && !odd && known.length === sets.length && known.every((set, index) => set === sets[index])) return null;
  if (known.length === 0) known.push({ version: VERSION_8, capsData: new Uint8Array(FLAGS_BYTES) });
  return encode(gfxPdu, { kind: 'capsAdvertise', flags, body: { capsSets: known } });
}

/** The set itself, a copy without what is not known of it, or null. */
function knownCapset(set: Capset): Capset | null {
  const flags = knownVersions.get(set.version);
  if (flags === undefined) return null;
  const capsData = set.capsData.map((byte, index) => (index === 0 ? byte & flags : 0));
  return capsData.every((byte, index) => byte === set.capsData[index]) ? set : { ...set, capsData };
}

function emptyOffer({ flags, body, odd }: Command): Uint8Array | null {
  if (!odd && body.length === 2 && u16le(body, 0) === 0) return null;
  return encode(gfxPdu, { kind: 'cacheImportOffer', flags, body: { cacheEntries: [] } });
}

const u16le = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
