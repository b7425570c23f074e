/**
 * Tells from a PDU's first bytes whether the relay must see the whole of it. Called for every PDU of a session:
 * allocates nothing.
 */
import { DynamicCommand, FastPathUpdateCode, McsChoice, PduType, PduType2, SecurityFlag } from '@lucid-sessions/rdp';
import type { NamedKind } from './dynamic-watch.ts';
import type { RelaySide } from './events.ts';

/** TPKT, X.224 Data, MCS Send Data with a wide length, share control and share data headers up to compressedType. */
export const CLASSIFY_BYTES_MAX = 4 + 3 + 8 + 16;

/** TPKT and X.224 Data headers before the MCS PDU. */
const MCS_OFFSET = 7;
/** CHANNEL_FLAG_PACKET_COMPRESSED, PACKET_AT_FRONT and PACKET_FLUSHED in the third byte of a chunk's flags. */
const CHUNK_COMPRESSION = 0xe0;
/** Command of a Create Request in the first byte of a dynamic channel PDU: [MS-RDPEDYC] 2.2.2.1. */
/** FASTPATH_OUTPUT_COMPRESSION_USED in an update's header: a byte of flags follows. */
const FASTPATH_COMPRESSION_USED = 0x80;
/** Fast-path update codes that draw: orders, bitmap, surface commands ([MS-RDPBCGR] 2.2.9.1.2.1). */
const DRAWING_UPDATES = (1 << 0) | (1 << 1) | (1 << 4);

export interface Classification {
  /** The relay must see the whole PDU before any of it is passed on. */
  hold: boolean;
  channelId: number;
  fastPath: boolean;
  /** Counts as one graphics update. */
  update: boolean;
}

export interface ChannelIds {
  ioChannelId: number;
  /** Channel of the dynamic channels, 0 where there is none. */
  dynamicChannelId: number;
  /** Which of the server's chunks there must be seen whole: none, those that open a channel, or all while one is being opened. */
  creates: 'pass' | 'seen' | 'under way';
  /** Whether all of the server's chunks there must be seen whole: something of ours stands between what it draws. */
  pipeline: 'pass' | 'seen';
  /** Which PDUs that may draw bitmaps must be seen whole: none, those that do, or all of them while one came in part. */
  bitmaps: 'pass' | 'seen' | 'under way';
  /** Whether the client's input PDUs must be seen whole. */
  inputs: 'pass' | 'seen';
  /** Under a policy: the channels of which everything passes as it comes; of all others every PDU is seen whole. */
  open: ReadonlySet<number> | null;
  /** Channel of auto-detection and multitransport, 0 where there is none. */
  messageChannelId: number;
  /** The static channels the server gave ids to. */
  readonly channels: Map<number, NamedKind>;
}

const isDrawing = (updateHeader: number): boolean =>
  // Fragmentation: of first, next and last only the last is counted, single counts by itself.
  (DRAWING_UPDATES & (1 << (updateHeader & 15))) !== 0 &&
  (((updateHeader >> 4) & 3) === 0 || ((updateHeader >> 4) & 3) === 1);

/**
 * Fills `into` for the PDU of `length` bytes at `at`, of which the bytes before `end` are there: all of them, or at least
 * `CLASSIFY_BYTES_MAX`.
 */
export function classify(
  bytes: Uint8Array,
  at: number,
  end: number,
  length: number,
  from: RelaySide,
  ids: ChannelIds,
  into: Classification,
): void {
  into.hold = false;
  into.channelId = 0;
  into.update = false;
  into.fastPath = bytes[at] !== 3;
  if (into.fastPath) {
    const header = at + (((bytes[at + 1] ?? 0) & 0x80) === 0 ? 2 : 3);
    into.update = from === 'server' && header < end && isDrawing(bytes[header] ?? 0);
    into.hold = from === 'server' ? holdsFastPath(bytes, header, at + length, ids) : ids.inputs === 'seen';
    return;
  }
  const choice = (bytes[at + MCS_OFFSET] ?? 0) >> 2;
  const isData = bytes[at + 4] === 2 && bytes[at + 5] === 0xf0 && bytes[at + 6] === 0x80;
  if (!isData || choice !== (from === 'client' ? McsChoice.sendDataRequest : McsChoice.sendDataIndication)) {
    into.hold = true;
    return;
  }
  into.channelId = u16be(bytes, at + MCS_OFFSET + 3);
  const lengthAt = at + MCS_OFFSET + 6;
  const isWide = ((bytes[lengthAt] ?? 0) & 0x80) !== 0;
  const dataLength = isWide ? u16be(bytes, lengthAt) & 0x7fff : (bytes[lengthAt] ?? 0);
  const dataAt = lengthAt + (isWide ? 2 : 1);
  // Data that ends before or behind its PDU.
  if (dataLength !== at + length - dataAt) into.hold = true;
  else if (into.channelId === ids.ioChannelId) classifyShare(bytes, dataAt, at + length - dataAt, from, ids, into);
  else if (into.channelId === ids.messageChannelId)
    into.hold = from === 'server' && (u16le(bytes, dataAt) & SecurityFlag.transportReq) !== 0;
  else if (ids.open !== null && !ids.open.has(into.channelId)) {
    into.hold = true;
    into.update = from === 'server' && endsDynamicMessage(bytes, dataAt, into.channelId, ids);
  } else if (from === 'client')
    // What is compressed must be followed; the dynamic channels hold the graphics pipeline.
    into.hold = into.channelId === ids.dynamicChannelId || ((bytes[dataAt + 6] ?? 0) & CHUNK_COMPRESSION) !== 0;
  else if (into.channelId === ids.dynamicChannelId) {
    into.update = endsDynamicMessage(bytes, dataAt, into.channelId, ids);
    into.hold =
      ids.pipeline === 'seen' ||
      ids.creates === 'under way' ||
      (ids.creates === 'seen' && opensChannel(bytes, dataAt, end));
  }
}

/** CHANNEL_FLAG_LAST of the channel PDU header: one message of a dynamic channel is complete. */
const endsDynamicMessage = (bytes: Uint8Array, dataAt: number, channelId: number, ids: ChannelIds): boolean =>
  channelId === ids.dynamicChannelId && ((bytes[dataAt + 4] ?? 0) & 2) !== 0;

/** The first chunk of a Create Request. */
const opensChannel = (bytes: Uint8Array, at: number, end: number): boolean =>
  at + 8 < end && ((bytes[at + 4] ?? 0) & 1) !== 0 && (bytes[at + 8] ?? 0) >> 4 === DynamicCommand.create;

/** A bitmap update, or several updates of which one may be. */
function holdsFastPath(bytes: Uint8Array, header: number, end: number, { bitmaps }: ChannelIds): boolean {
  if (bitmaps !== 'seen') return bitmaps === 'under way';
  const first = bytes[header] ?? 0;
  const sizeAt = header + ((first & FASTPATH_COMPRESSION_USED) === 0 ? 1 : 2);
  return (first & 15) === FastPathUpdateCode.bitmap || sizeAt + 2 + u16le(bytes, sizeAt) !== end;
}

function classifyShare(
  bytes: Uint8Array,
  at: number,
  dataBytes: number,
  from: RelaySide,
  ids: ChannelIds,
  into: Classification,
): void {
  const first = u16le(bytes, at);
  const pduType = u16le(bytes, at + 2);
  if ((pduType & 0xfff0) !== 0x10) {
    // No share control header: a security header, or nothing known.
    const held = from === 'client' ? SecurityFlag.infoPkt : SecurityFlag.redirectionPkt | SecurityFlag.transportReq;
    into.hold = (first & held) !== 0;
    return;
  }
  const type = pduType & 15;
  const type2 = bytes[at + 14] ?? 0;
  into.update = from === 'server' && type === PduType.data && type2 === PduType2.update;
  // Several share PDUs, or a security header that looks like one of theirs: what is in it can only be told by reading on.
  const batch = first !== dataBytes;
  into.hold = batch || (from === 'client' ? holdsFromClient(type, type2, ids) : holdsFromServer(type, type2));
  if (from === 'server' && ids.bitmaps !== 'pass') into.hold ||= into.update || ids.bitmaps === 'under way';
}

const holdsFromClient = (type: number, type2: number, { inputs }: ChannelIds): boolean =>
  type === PduType.confirmActive ||
  (type === PduType.data &&
    (type2 === PduType2.bitmapCachePersistentList || (inputs === 'seen' && type2 === PduType2.input)));

const holdsFromServer = (type: number, type2: number): boolean =>
  type === PduType.demandActive ||
  type === PduType.deactivateAll ||
  type === PduType.serverRedirection ||
  (type === PduType.data &&
    (type2 === PduType2.saveSessionInfo || type2 === PduType2.fontMap || type2 === PduType2.setErrorInfo));

const u16be = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const u16le = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
