/** RDP over UDP, which would lead a session past the recording: [MS-RDPBCGR] 2.2.15, 2.2.1.3.8 and 2.2.1.4.6. */
import {
  type ByteRange,
  type ConferenceCreateRequest,
  type ConferenceCreateResponse,
  initiateMultitransportRequest,
  initiateMultitransportResponse,
  isShareControl,
  SECURITY_HEADER_BYTES,
  SecurityFlag,
  securityHeader,
} from '@lucid-sessions/rdp';
import { DecodeError, encode, Reader } from '@lucid-sessions/wire';
import { isSecurityHeader } from './security-header.ts';

/** E_ABORT: the client has no UDP connection and makes none. */
const E_ABORT = 0x8000_4004;
/** CS_MULTITRANSPORT and SC_MULTITRANSPORT, where they were odd and stayed raw. */
const blockTypes: readonly number[] = [0xc00a, 0x0c08];
/** Behind security header, request id, protocol and two reserved bytes: what proves to the server whose UDP connection comes. */
const COOKIE: ByteRange = { offset: SECURITY_HEADER_BYTES + 8, length: 16 };

/** Clears the transports a side takes; whether there were any. */
export function withoutMultitransport({ blocks }: ConferenceCreateRequest | ConferenceCreateResponse): boolean {
  let changed = false;
  for (const block of blocks) {
    if (block.kind === 'multitransport' && block.flags !== 0) {
      block.flags = 0;
      changed = true;
    }
    if (block.kind === 'unknown' && blockTypes.includes(block.type) && block.data.some((byte) => byte !== 0)) {
      block.data = new Uint8Array(block.data.length);
      changed = true;
    }
  }
  return changed;
}

export interface MultitransportRequest {
  /** null where it can't be read: there is nothing to answer then. */
  requestId: number | null;
  /** In the MCS data. */
  secret: ByteRange;
}

/** Kinds of PDUs that share the message channel, and the licensing that shares the I/O channel. */
const OTHER_KINDS =
  SecurityFlag.autodetectReq | SecurityFlag.heartbeat | SecurityFlag.licensePkt | SecurityFlag.redirectionPkt;
const REQUEST_BYTES = SECURITY_HEADER_BYTES + 24;

/**
 * An Initiate Multitransport Request in MCS data of a server; null where it is something else. On the I/O channel, where servers
 * without a message channel ask, what stands there may be the length of a share control PDU.
 */
export function multitransportRequest(data: Uint8Array, isIoChannel: boolean): MultitransportRequest | null {
  if (!isSecurityHeader(data, SecurityFlag.transportReq) || isSecurityHeader(data, OTHER_KINDS)) return null;
  if (isIoChannel && (data.length !== REQUEST_BYTES || isShareControl(data))) return null;
  try {
    const { requestId } = initiateMultitransportRequest.decode(new Reader(data, SECURITY_HEADER_BYTES));
    return { requestId, secret: COOKIE };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const offset = Math.min(data.length, SECURITY_HEADER_BYTES + 4);
    return { requestId: null, secret: { offset, length: data.length - offset } };
  }
}

/** What a client without UDP answers, as MCS data. */
export const multitransportRefusal = (requestId: number): Uint8Array =>
  new Uint8Array([
    ...encode(securityHeader, { flags: SecurityFlag.transportRsp, flagsHi: 0 }),
    ...encode(initiateMultitransportResponse, { requestId, hrResponse: E_ABORT }),
  ]);
