import type { Codec } from '@lucid-sessions/wire';
import { bytes, struct, structWithTail, u8, u16le, u32le, type Value } from '@lucid-sessions/wire/struct';

/** PDUs of the MCS message channel, each behind a basic security header whose flags tell which one it is. */

/** requestType and responseType of auto-detection, [MS-RDPBCGR] 2.2.14. */
export const AutoDetectType = {
  rttRequest: 0x0001,
  rttRequestConnecting: 0x1001,
  rttResponse: 0x0000,
  bandwidthStart: 0x0014,
  bandwidthStartTunnel: 0x0114,
  bandwidthStartConnecting: 0x1014,
  bandwidthPayload: 0x0002,
  bandwidthStop: 0x0429,
  bandwidthStopTunnel: 0x0629,
  bandwidthStopConnecting: 0x002b,
  bandwidthResultsConnecting: 0x0003,
  bandwidthResults: 0x000b,
  networkResultRtt: 0x0840,
  networkResultBandwidth: 0x0880,
  networkResultAll: 0x08c0,
  networkSync: 0x0018,
} as const;

/** headerTypeId of an auto-detect request and response. */
export const AutoDetectHeader = { request: 0, response: 1 } as const;

/**
 * One auto-detect request or response, [MS-RDPBCGR] 2.2.14.1 and 2.2.14.2. `fields` is what the header length covers
 * beyond the header, `payload` the random bytes of a bandwidth measurement (their count stands in the fields).
 */
export interface AutoDetect {
  headerTypeId: number;
  sequenceNumber: number;
  type: number;
  fields: Uint8Array;
  payload?: Uint8Array;
}

const AUTO_DETECT_HEADER_BYTES = 6;

export const autoDetect: Codec<AutoDetect> = {
  name: 'auto-detect PDU',
  decode(reader) {
    const headerLength = reader.u8();
    if (headerLength < AUTO_DETECT_HEADER_BYTES)
      throw reader.error('invalid', `auto-detect header length ${headerLength} is below 6`);
    const value: AutoDetect = {
      headerTypeId: reader.u8(),
      sequenceNumber: reader.u16le(),
      type: reader.u16le(),
      fields: reader.slice(headerLength - AUTO_DETECT_HEADER_BYTES),
    };
    if (reader.remaining > 0) value.payload = reader.rest();
    return value;
  },
  encode(value, writer) {
    writer
      .u8(AUTO_DETECT_HEADER_BYTES + value.fields.length)
      .u8(value.headerTypeId)
      .u16le(value.sequenceNumber)
      .u16le(value.type)
      .slice(value.fields);
    if (value.payload) writer.slice(value.payload);
  },
};

/** RDP_BW_RESULTS fields, [MS-RDPBCGR] 2.2.14.2.2. */
export const bandwidthResults = struct('RDP_BW_RESULTS', { timeDelta: u32le, byteCount: u32le });
export type BandwidthResults = Value<typeof bandwidthResults>;

/** Initiate Multitransport Request, [MS-RDPBCGR] 2.2.15.1 */
export const initiateMultitransportRequest = structWithTail(
  'Initiate Multitransport Request',
  { requestId: u32le, requestedProtocol: u16le, reserved: u16le, securityCookie: bytes(16) },
  {},
);
export type InitiateMultitransportRequest = Value<typeof initiateMultitransportRequest>;

/** Initiate Multitransport Response, [MS-RDPBCGR] 2.2.15.2 */
export const initiateMultitransportResponse = structWithTail(
  'Initiate Multitransport Response',
  { requestId: u32le, hrResponse: u32le },
  {},
);
export type InitiateMultitransportResponse = Value<typeof initiateMultitransportResponse>;

/** Heartbeat, [MS-RDPBCGR] 2.2.16.1 */
export const heartbeat = structWithTail('Heartbeat', { reserved: u8, period: u8, count1: u8, count2: u8 }, {});
export type Heartbeat = Value<typeof heartbeat>;
