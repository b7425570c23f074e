import { SECURITY_HEADER_BYTES } from '@lucid-sessions/rdp';

/**
 * Whether MCS data may begin with a basic security header that has this flag. The other half of that header is random where
 * mstsc writes it, so looks alone decide nothing: what this says is read to its end before it counts.
 */
export function isSecurityHeader(data: Uint8Array, flag: number): boolean {
  return data.length >= SECURITY_HEADER_BYTES && (((data[0] ?? 0) | ((data[1] ?? 0) << 8)) & flag) !== 0;
}
