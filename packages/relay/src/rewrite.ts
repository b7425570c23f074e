/** The changes a relay makes, each on one decoded PDU. Everything a change does not name stays as the peer wrote it. */
import {
  type CapabilitySet,
  ClientEarlyCapability,
  type ConferenceCreateRequest,
  type ConferenceCreateResponse,
  InfoFlag,
  type McsPdu,
  mcsPdu,
  tpkt,
  x224Data,
} from '@lucid-sessions/rdp';
import { decode, encode } from '@lucid-sessions/wire';

/** PACKET_COMPR_TYPE_RDP61 in the bits of INFO_CompressionTypeMask. */
const COMPRESSION_TYPE_RDP61 = 3;

/** The MCS bytes of a TPKT. Throws `DecodeError`. */
export const mcsBytesOf = (pdu: Uint8Array): Uint8Array => decode(x224Data, decode(tpkt, pdu).payload).payload;

/** A TPKT around MCS bytes. */
export const wrapMcsBytes = (payload: Uint8Array): Uint8Array =>
  encode(tpkt, { reserved: 0, payload: encode(x224Data, { payload }) });

export const wrapMcs = (pdu: McsPdu): Uint8Array => wrapMcsBytes(encode(mcsPdu, pdu));

/** SC_CORE echoes what the server was asked; a strict client compares it with what it asked ([MS-RDPBCGR] 2.2.1.4.2). */
export function restoreRequestedProtocols(response: ConferenceCreateResponse, requestedProtocols: number): boolean {
  let changed = false;
  for (const block of response.blocks)
    if (block.kind === 'core' && block.clientRequestedProtocols !== undefined) {
      changed ||= block.clientRequestedProtocols !== requestedProtocols;
      block.clientRequestedProtocols = requestedProtocols;
    }
  return changed;
}

/** CS_CORE tells the server which protocol was selected; where the two sides differ the server must see its own. */
export function setSelectedProtocol(request: ConferenceCreateRequest, selectedProtocol: number): boolean {
  let changed = false;
  for (const block of request.blocks)
    if (block.kind === 'core' && block.serverSelectedProtocol !== undefined) {
      changed ||= block.serverSelectedProtocol !== selectedProtocol;
      block.serverSelectedProtocol = selectedProtocol;
    }
  return changed;
}

/** Bits of highColorDepth and supportedColorDepths. */
const HIGH_COLOR_24BPP = 24;
const RNS_UD_24BPP_SUPPORT = 0x0001;
const RNS_UD_32BPP_SUPPORT = 0x0008;

/** The server draws in 32 bits where it can, in 24 where it can't. */
export function withDeepColour(request: ConferenceCreateRequest): boolean {
  for (const block of request.blocks) {
    if (block.kind !== 'core' || block.earlyCapabilityFlags === undefined) continue;
    block.highColorDepth = HIGH_COLOR_24BPP;
    block.supportedColorDepths = (block.supportedColorDepths ?? 0) | RNS_UD_24BPP_SUPPORT | RNS_UD_32BPP_SUPPORT;
    block.earlyCapabilityFlags |= ClientEarlyCapability.want32BppSession;
    return true;
  }
  return false;
}

/** Classic mode: no graphics pipeline. */
export function withoutGraphicsPipeline(request: ConferenceCreateRequest): boolean {
  let changed = false;
  for (const block of request.blocks)
    if (
      block.kind === 'core' &&
      ((block.earlyCapabilityFlags ?? 0) & ClientEarlyCapability.supportDynvcGfxProtocol) !== 0
    ) {
      block.earlyCapabilityFlags = (block.earlyCapabilityFlags ?? 0) & ~ClientEarlyCapability.supportDynvcGfxProtocol;
      changed = true;
    }
  return changed;
}

/** No bulk compression: a copy of Client Info that does not offer it, or the same where it doesn't anyway. */
export const withoutCompression = (data: Uint8Array, infoFlagsAt: number): Uint8Array =>
  withInfoFlags(data, infoFlagsAt, (flags) => flags & ~(InfoFlag.compression | InfoFlag.compressionTypeMask));

/** A copy that has the server log on with what is in it, or the same where it says so anyway. */
export const withAutologon = (data: Uint8Array, infoFlagsAt: number): Uint8Array =>
  withInfoFlags(data, infoFlagsAt, (flags) => flags | InfoFlag.autologon);

function withInfoFlags(data: Uint8Array, at: number, change: (flags: number) => number): Uint8Array {
  const flags = new DataView(data.buffer, data.byteOffset).getUint32(at, true);
  const changedFlags = change(flags) >>> 0;
  if (changedFlags === flags) return data;
  const changed = new Uint8Array(data);
  new DataView(changed.buffer).setUint32(at, changedFlags, true);
  return changed;
}

/** Whether Client Info says that the server may compress by RDP 6.1. */
export function offersRdp61(pdu: Uint8Array, infoFlagsAt: number): boolean {
  const flags = new DataView(pdu.buffer, pdu.byteOffset).getUint32(infoFlagsAt, true);
  return (flags & InfoFlag.compression) !== 0 && (flags & InfoFlag.compressionTypeMask) >> 9 >= COMPRESSION_TYPE_RDP61;
}

/** Classic mode: bitmaps only. Drops surface commands and codecs, clears every drawing order. */
export function classicCapabilities(sets: CapabilitySet[]): { sets: CapabilitySet[]; changed: boolean } {
  const kept = sets.filter((set) => !isFancy(set));
  let changed = kept.length !== sets.length;
  for (const set of kept)
    if (set.kind === 'order' && set.orderSupport.some((byte) => byte !== 0)) {
      set.orderSupport = new Uint8Array(32);
      changed = true;
    }
  return { sets: kept, changed };
}

/** Types 28 and 29, also where their contents were odd and stayed raw. */
const isFancy = (set: CapabilitySet): boolean =>
  set.kind === 'surfaceCommands' ||
  set.kind === 'bitmapCodecs' ||
  (set.kind === 'unknown' && (set.type === 28 || set.type === 29));
