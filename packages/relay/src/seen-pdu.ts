/**
 * What a relay sees of a PDU that came in a TPKT. It understands the few it needs and leaves the rest to the peers: whatever
 * they take from each other passes, and what can't be read is told, so that nobody records it in clear.
 */
import { McsChoice } from '@lucid-sessions/rdp';
import type { RelaySide } from './events.ts';

export interface SeenData {
  kind: 'data';
  initiator: number;
  channelId: number;
  priority: number;
  data: Uint8Array;
  /** Bytes of the PDU behind the data: nobody's. */
  trailing: number;
}

export type SeenPdu =
  /** MCS Connect Initial or Response. */
  | { kind: 'connect'; mcs: Uint8Array }
  | SeenData
  /** A domain PDU that carries no data. */
  | { kind: 'domain' }
  /** Disconnect Provider Ultimatum, Reject, X.224 Disconnect Request or Error: the peer is leaving. */
  | { kind: 'end'; reason: number }
  | { kind: 'unread' };

/** X.224 codes, X.224 section 13. */
const X224_DATA = 0xf0;
const X224_DISCONNECT_REQUEST = 0x80;
const X224_ERROR = 0x70;
const END_OF_TSDU = 0x80;
/** Where the MCS PDU begins: behind TPKT and X.224 Data. */
const MCS_OFFSET = 7;
/** First byte of the BER tags of the MCS Connect PDUs. */
const MCS_CONNECT = 0x7f;
/** PDUs without data are short; what is longer holds something. */
const WITHOUT_DATA_BYTES_MAX = 48;

const small: readonly number[] = [
  McsChoice.erectDomainRequest,
  McsChoice.attachUserRequest,
  McsChoice.attachUserConfirm,
  McsChoice.detachUserRequest,
  McsChoice.detachUserIndication,
  McsChoice.channelJoinRequest,
  McsChoice.channelJoinConfirm,
  McsChoice.channelLeaveRequest,
];

const unread: SeenPdu = { kind: 'unread' };

export function seePdu(pdu: Uint8Array, from: RelaySide): SeenPdu {
  const code = (pdu[5] ?? 0) & 0xf0;
  if (code === X224_DISCONNECT_REQUEST || code === X224_ERROR) {
    if (pdu.length > WITHOUT_DATA_BYTES_MAX) return unread;
    return { kind: 'end', reason: (code === X224_ERROR ? pdu[8] : pdu[10]) ?? 0 };
  }
  if (pdu[4] !== 2 || pdu[5] !== X224_DATA || pdu[6] !== END_OF_TSDU || pdu.length === MCS_OFFSET) return unread;
  return pdu[MCS_OFFSET] === MCS_CONNECT ? { kind: 'connect', mcs: pdu.subarray(MCS_OFFSET) } : domainPdu(pdu, from);
}

function domainPdu(pdu: Uint8Array, from: RelaySide): SeenPdu {
  const first = pdu[MCS_OFFSET] ?? 0;
  const choice = first >> 2;
  if (choice === (from === 'client' ? McsChoice.sendDataRequest : McsChoice.sendDataIndication)) return dataPdu(pdu);
  if (pdu.length > WITHOUT_DATA_BYTES_MAX) return unread;
  if (choice === McsChoice.disconnectProviderUltimatum || choice === McsChoice.rejectMcsPduUltimatum)
    return { kind: 'end', reason: ((first & 3) << 1) | ((pdu[MCS_OFFSET + 1] ?? 0) >> 7) };
  return small.includes(choice) ? { kind: 'domain' } : unread;
}

function dataPdu(pdu: Uint8Array): SeenPdu {
  const lengthAt = MCS_OFFSET + 6;
  const first = pdu[lengthAt] ?? 0;
  const isWide = first >= 0x80;
  const dataAt = lengthAt + (isWide ? 2 : 1);
  // Fifteen bits, as RDP peers use it, though X.691 stops at fourteen.
  const length = isWide ? ((first & 0x7f) << 8) | (pdu[lengthAt + 1] ?? 0) : first;
  if (dataAt + length > pdu.length) return unread;
  return {
    kind: 'data',
    initiator: u16be(pdu, MCS_OFFSET + 1) + 1001,
    channelId: u16be(pdu, MCS_OFFSET + 3),
    priority: pdu[MCS_OFFSET + 5] ?? 0,
    data: pdu.subarray(dataAt, dataAt + length),
    trailing: pdu.length - dataAt - length,
  };
}

const u16be = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
