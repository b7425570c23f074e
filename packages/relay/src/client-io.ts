/** What a client's PDU on the I/O channel holds, for what marks and masks inputs. What can't be read to its end may be typed. */
import {
  CompressionFlag,
  LicenseMessageType,
  PduType,
  PduType2,
  SECURITY_HEADER_BYTES,
  SecurityFlag,
  SHARE_VERSION,
  shareControlPdu,
  shareDataPdu,
} from '@lucid-sessions/rdp';
import { DecodeError, decode, Reader } from '@lucid-sessions/wire';
import { type InputEvents, slowPathEvents } from './input-events.ts';

/** Share data PDUs a client sends that hold nothing typed. */
const silentTypes: ReadonlySet<number> = new Set([
  PduType2.control,
  PduType2.synchronize,
  PduType2.refreshRect,
  PduType2.suppressOutput,
  PduType2.fontList,
  PduType2.bitmapCachePersistentList,
  PduType2.bitmapCacheError,
  PduType2.offscreenCacheError,
  PduType2.drawNineGridError,
  PduType2.drawGdiPlusError,
  PduType2.frameAcknowledge,
]);
const licenseTypes: ReadonlySet<number> = new Set(Object.values(LicenseMessageType));
/** Answers to auto-detection and multitransport, and flow PDUs: short. */
const ANSWER_BYTES_MAX = 64;
/** Of a share control PDU's type. */
const VERSION_BITS = 0xfff0;
const answerFlags =
  SecurityFlag.autodetectRsp | SecurityFlag.transportRsp | SecurityFlag.heartbeat | SecurityFlag.flagshiValid;

export const unreadEvents: InputEvents = { keys: true, active: false, whole: false };
const nothing: InputEvents = { keys: false, active: false, whole: true };

/** Calls back with the data of each slow-path input PDU. */
export function clientIoEvents(data: Uint8Array, onInput?: (events: Uint8Array) => void): InputEvents {
  const found: InputEvents = { ...nothing };
  const reader = new Reader(data);
  let isShare = false;
  try {
    while (reader.remaining > 0) {
      const share = shareControlPdu.decode(reader);
      isShare ||= (share.pduType & VERSION_BITS) === SHARE_VERSION;
      const events = shareEvents(share.pduType & 15, share.body, onInput);
      found.keys ||= events.keys;
      found.active ||= events.active;
      found.whole &&= events.whole;
      if (events.asksToEnd === true) found.asksToEnd = true;
    }
    return found;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    // The length of a share PDU may look like flags of a security header: keys that were read are no answer of the client's.
    return !isShare && isSilentSecurityPdu(data) ? nothing : { ...unreadEvents, active: found.active };
  }
}

function shareEvents(pduType: number, body: Uint8Array, onInput?: (events: Uint8Array) => void): InputEvents {
  if (pduType === PduType.confirmActive) return nothing;
  if (pduType !== PduType.data) return unreadEvents;
  const { pduType2, compressedType, data } = decode(shareDataPdu, body);
  if (silentTypes.has(pduType2)) return nothing;
  if (pduType2 === PduType2.shutdownRequest) return { ...nothing, asksToEnd: true };
  if (pduType2 !== PduType2.input) return unreadEvents;
  if ((compressedType & CompressionFlag.compressed) !== 0) return { ...unreadEvents, active: true };
  onInput?.(data);
  return slowPathEvents(data);
}

/** Licensing, and answers a client gives by itself. */
export function isSilentSecurityPdu(data: Uint8Array): boolean {
  if (data.length < SECURITY_HEADER_BYTES) return false;
  const flags = u16le(data, 0);
  if ((flags & SecurityFlag.licensePkt) !== 0)
    return licenseTypes.has(data[SECURITY_HEADER_BYTES] ?? 0) && u16le(data, 6) === data.length - SECURITY_HEADER_BYTES;
  return (flags & answerFlags) !== 0 && data.length <= ANSWER_BYTES_MAX;
}

const u16le = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
