import { isIPv4, isIPv6 } from 'node:net';

/** The 4 or 16 bytes of an address as sockets give it; null when it is none. IPv4 in IPv6 stays IPv6. */
export function ipBytes(address: string): Uint8Array | null {
  if (isIPv4(address)) return Uint8Array.from(address.split('.'), Number);
  const bare = address.replace(/%.*$/, '');
  if (!isIPv6(bare)) return null;
  const [head = '', tail = ''] = bare.split('::');
  const front = groupBytes(head);
  const back = groupBytes(tail);
  const bytes = new Uint8Array(16);
  bytes.set(front);
  bytes.set(back, 16 - back.length);
  return bytes;
}

const groupBytes = (text: string): number[] =>
  text === ''
    ? []
    : text.split(':').flatMap((group) => {
        if (group.includes('.')) return group.split('.').map(Number);
        const value = Number.parseInt(group, 16);
        return [value >> 8, value & 0xff];
      });

const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** The IPv4 address in a mapped IPv6 one, the bytes themselves otherwise. */
export const unmapped = (bytes: Uint8Array): Uint8Array =>
  bytes.length === 16 && mappedPrefix.every((byte, at) => bytes[at] === byte) ? bytes.subarray(12) : bytes;
