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

const mappedPrefix16 = Uint8Array.of(...mappedPrefix, 0, 0, 0, 0);

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

const partMax = (bytes: number): number => 256 ** bytes - 1;

function looseNumber(text: string): number {
  if (/^0[xX][0-9A-Fa-f]{1,16}$/.test(text)) return Number(text);
  if (/^0[0-7]{0,21}$/.test(text)) return Number.parseInt(text, 8);
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : Number.NaN;
}

/**
 * An address in any form a resolver takes without asking anybody: as above, with a zone, and IPv4 of one to four numbers, decimal,
 * octal or hexadecimal, the last of which fills what is left (inet_aton). Null: it is a name.
 */
export function parseLooseIpAddress(text: string): Uint8Array | null {
  const strict = parseIpAddress(text);
  if (strict !== null) return strict;
  const parts = text.split('.');
  const numbers = parts.map(looseNumber);
  const last = numbers.pop() ?? Number.NaN;
  const restBytes = 4 - numbers.length;
  if (!(restBytes >= 1 && numbers.every((number) => number <= 255) && last <= partMax(restBytes))) return null;
  const rest = Array.from({ length: restBytes }, (_, at) => Math.floor(last / 256 ** (restBytes - 1 - at)) % 256);
  return Uint8Array.from([...numbers, ...rest]);
}

/** IPv4 addresses inside IPv6 ones: prefix, its bits, and where the four bytes may stand. */
const carriers: readonly [prefix: string, bits: number, places: readonly (readonly number[])[]][] = [
  // IPv4-compatible (RFC 4291, 2.5.5.1) and what translators once used (RFC 2765).
  ['::', 96, [[12, 13, 14, 15]]],
  ['::ffff:0:0:0', 96, [[12, 13, 14, 15]]],
  ['64:ff9b::', 96, [[12, 13, 14, 15]]],
  // RFC 8215: whoever runs the translator chooses the length (RFC 6052, 2.2).
  ['64:ff9b:1::', 48, [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]]], // biome-ignore format: a table
  // 6to4.
  ['2002::', 16, [[2, 3, 4, 5]]],
];
const carriersRead = carriers.map(([prefix, bits, places]) => ({ network: parseIpAddress(prefix)!, bits, places }));
/** Teredo: the client's address, inverted. */
const teredo = parseIpAddress('2001::')!;
/** ISATAP (RFC 5214): behind any prefix. */
const isIsatap = (bytes: Uint8Array): boolean =>
  (bytes[8]! & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;

/** Every address a packet to this one may end at: itself, and those of IPv4 it carries. A mapped one is IPv4 and nothing else. */
export function reachedAddresses(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length !== 16) return [bytes];
  if (isInNetwork(bytes, mappedPrefix16, 96)) return [bytes.subarray(12)];
  const at = (places: readonly number[]): Uint8Array => Uint8Array.from(places, (place) => bytes[place]!);
  const carried = carriersRead
    .filter(({ network, bits }) => isInNetwork(bytes, network, bits))
    .flatMap(({ places }) => places.map(at));
  if (isInNetwork(bytes, teredo, 32)) carried.push(bytes.subarray(12).map((byte) => byte ^ 0xff));
  if (isIsatap(bytes)) carried.push(bytes.subarray(12));
  // No address begins with 0: these are ::, ::1, and places of other lengths.
  return [bytes, ...carried.filter((address) => address[0] !== 0)];
}
