/**
 * NTP version 4 as a client sees it, RFC 5905: one request, one answer. The request's transmit timestamp is random (RFC 9109 asks for
 * as much of the port): an answer that does not give it back is nobody's. Packages of npm were read and not used: they send the time
 * itself, take what a server that refuses (stratum 0) or has no time (leap indicator 3) says for the time, and end at the first wrong answer.
 */
export const ntpBytes = 48;
const secondsTo1970 = 2_208_988_800;
/** An era of NTP's seconds. Times are of the one that is nearest to now. */
const eraSeconds = 2 ** 32;

export interface NtpAnswer {
  /** When the server got the request and sent the answer, µs since 1970. */
  receivedUs: number;
  sentUs: number;
  stratum: number;
  rootDelayUs: number;
  rootDispersionUs: number;
  precisionUs: number;
}

/** `nonce`: 8 random bytes. */
export function ntpRequest(nonce: Uint8Array): Uint8Array {
  const packet = new Uint8Array(ntpBytes);
  packet[0] = (4 << 3) | 3;
  packet.set(nonce, 40);
  return packet;
}

function timestampUs(view: DataView, at: number, nearUs: number): number {
  const seconds = view.getUint32(at) - secondsTo1970;
  const eras = Math.round((nearUs / 1e6 - seconds) / eraSeconds);
  return (seconds + eras * eraSeconds) * 1e6 + Math.round((view.getUint32(at + 4) / 2 ** 32) * 1e6);
}

const short = (view: DataView, at: number): number => Math.round((view.getUint32(at) / 65536) * 1e6);

/** Null: it answers another request, or none. A text: the server says that its time is not to be used. */
export function readNtpAnswer(packet: Uint8Array, nonce: Uint8Array, nowUs: number): NtpAnswer | string | null {
  if (packet.length < ntpBytes) return null;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  const [leap, version, mode] = [packet[0]! >> 6, (packet[0]! >> 3) & 7, packet[0]! & 7];
  if (mode !== 4 || version < 3 || version > 4) return null;
  if (nonce.some((byte, at) => packet[24 + at] !== byte)) return null;
  const stratum = packet[1]!;
  if (stratum === 0) {
    const code = String.fromCharCode(...packet.subarray(12, 16)).replaceAll(/[^A-Z]/g, '');
    return `it sends us away (${code === '' ? 'no reason' : code})`;
  }
  if (leap === 3 || stratum > 15) return 'its own clock is not set';
  const answer = {
    receivedUs: timestampUs(view, 32, nowUs),
    sentUs: timestampUs(view, 40, nowUs),
    stratum,
    rootDelayUs: short(view, 4),
    rootDispersionUs: short(view, 8),
    precisionUs: 2 ** Math.min(0, Math.max(-30, view.getInt8(3))) * 1e6,
  };
  if (view.getUint32(40) === 0 || answer.sentUs < answer.receivedUs) return 'its times are not possible';
  // RFC 5905, appendix A.5.1.1: farther from its reference than this a server is not fit to be followed.
  if (answer.rootDelayUs / 2 + answer.rootDispersionUs >= 16e6) return 'it is too far from its own source';
  return answer;
}
