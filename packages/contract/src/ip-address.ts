/** IP addresses as bytes. */

/** The 4 or 16 bytes of an address as text, without brackets; null when it is none. IPv4 in IPv6 stays IPv6. */
export function parseIpAddress(text: string): Uint8Array | null {
  if (text.includes(':')) return parseIpv6(text.replace(/%.*$/, ''));
  return parseIpv4(text);
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split('.');
  const isWhole = parts.length === 4 && parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256);
  return isWhole ? Uint8Array.from(parts, Number) : null;
}

function parseIpv6(text: string): Uint8Array | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const [front, back] = halves.map(groupBytes);
  if (front === null || front === undefined || back === null) return null;
  const missing = 16 - front.length - (back?.length ?? 0);
  if (back === undefined ? missing !== 0 : missing < 2) return null;
  const bytes = new Uint8Array(16);
  bytes.set(front);
  if (back !== undefined) bytes.set(back, 16 - back.length);
  return bytes;
}

/** Groups with colons between, the last may be an IPv4 address. */
function groupBytes(text: string): number[] | null {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [at, group] of groups.entries()) {
    const last = at === groups.length - 1 && group.includes('.') ? parseIpv4(group) : null;
    if (last !== null) bytes.push(...last);
    else if (/^[0-9A-Fa-f]{1,4}$/.test(group))
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff);
    else return null;
  }
  return bytes.length > 16 ? null : bytes;
}

const mappedPrefix = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);
/** RFC 6052, the well-known prefix of translators. */
const translatedPrefix = Uint8Array.of(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0);

/** Whether the first `bits` bits are those of `network`. */
export const isInNetwork = (address: Uint8Array, network: Uint8Array, bits: number): boolean =>
  address.length === network.length &&
  network.every((byte, at) => {
    const significant = Math.min(8, Math.max(0, bits - 8 * at));
    return (address[at]! ^ byte) >> (8 - significant) === 0;
  });

/** The IPv4 address that an IPv6 one leads to (mapped or translated); the bytes themselves otherwise. */
export const effectiveAddress = (bytes: Uint8Array): Uint8Array =>
  bytes.length === 16 &&
  [mappedPrefix, translatedPrefix].some((prefix) => prefix.every((byte, at) => bytes[at] === byte))
    ? bytes.subarray(12)
    : bytes;
