/** Keytab files of MIT and Heimdal, version 0x502. */
import type { EncryptionKey } from '@lucid-sessions/rdp/kerberos';

export interface KeytabEntry {
  realm: string;
  /** Parts of the principal with `/` between them. */
  name: string;
  version: number;
  key: EncryptionKey;
}

const entriesMax = 10_000;

/** Throws Error for what is no keytab. */
export function parseKeytab(bytes: Buffer): KeytabEntry[] {
  if (bytes.length < 2 || bytes.readUInt16BE(0) !== 0x502) throw new Error('it is no keytab of version 0x502');
  const found: KeytabEntry[] = [];
  try {
    for (let at = 2; at + 4 <= bytes.length; ) {
      const size = bytes.readInt32BE(at);
      if (found.length === entriesMax) throw new RangeError('too many');
      // A negative size is what a key that was taken out leaves.
      if (size > 0) found.push(readEntry(bytes.subarray(at + 4, at + 4 + size)));
      at += 4 + Math.abs(size);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new Error('it is damaged, or no keytab');
  }
  return found;
}

function readEntry(bytes: Buffer): KeytabEntry {
  let at = 0;
  const u16 = (): number => {
    at += 2;
    return bytes.readUInt16BE(at - 2);
  };
  const counted = (): Buffer => {
    const length = u16();
    at += length;
    if (at > bytes.length) throw new RangeError('a length');
    return bytes.subarray(at - length, at);
  };
  const parts = u16();
  const realm = counted().toString();
  const name = Array.from({ length: parts }, () => counted().toString()).join('/');
  // Behind name type and time.
  at += 8;
  const shortVersion = bytes.readUInt8(at);
  at += 1;
  const etype = u16();
  const value = Uint8Array.from(counted());
  const version = at + 4 <= bytes.length ? bytes.readUInt32BE(at) || shortVersion : shortVersion;
  return { realm, name, version, key: { etype, value } };
}

/** The newest keys of one principal. */
export function keysOf(entries: readonly KeytabEntry[], realm: string, name: string): EncryptionKey[] {
  const own = entries.filter((entry) => entry.realm === realm && entry.name === name);
  const newest = Math.max(...own.map(({ version }) => version));
  return own.filter(({ version }) => version === newest).map(({ key }) => key);
}
