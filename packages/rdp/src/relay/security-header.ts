import { SECURITY_HEADER_BYTES } from '../pdu/security.ts';
import { SHARE_VERSION } from '../pdu/share.ts';

/** Whether MCS data begins with a basic security header that has this flag. Share control headers say 0x1x there. */
export function isSecurityHeader(data: Uint8Array, flag: number): boolean {
  if (data.length < SECURITY_HEADER_BYTES) return false;
  const flags = (data[0] ?? 0) | ((data[1] ?? 0) << 8);
  return (flags & flag) !== 0 && ((data[2] ?? 0) & 0xf0) !== SHARE_VERSION;
}
