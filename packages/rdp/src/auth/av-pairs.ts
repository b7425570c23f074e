import type { Codec } from '@lucid-sessions/wire';

/** AvId, [MS-NLMP] 2.2.2.1. */
export const AvId = {
  eol: 0,
  nbComputerName: 1,
  nbDomainName: 2,
  dnsComputerName: 3,
  dnsDomainName: 4,
  dnsTreeName: 5,
  flags: 6,
  timestamp: 7,
  singleHost: 8,
  targetName: 9,
  channelBindings: 10,
} as const;

/** Bit of MsvAvFlags: the AUTHENTICATE message has a MIC. */
export const AV_FLAG_MIC = 2;

export interface AvPair {
  id: number;
  value: Uint8Array;
}

/** AV_PAIRs up to MsvAvEOL, and whatever bytes stand behind it. */
export interface AvPairs {
  pairs: AvPair[];
  /** Windows puts 0 to 24 bytes there; they are hashed like everything else. */
  trailing: Uint8Array;
}

/** Windows sends ten. */
const PAIRS_MAX = 64;

export const avPairs: Codec<AvPairs> = {
  name: 'AV_PAIR list',
  decode(reader) {
    const pairs: AvPair[] = [];
    for (;;) {
      const id = reader.u16le();
      const value = reader.copy(reader.u16le());
      if (id === AvId.eol) {
        if (value.length > 0) throw reader.error('invalid', 'MsvAvEOL with a value');
        return { pairs, trailing: reader.copy(reader.remaining) };
      }
      if (pairs.length === PAIRS_MAX) throw reader.error('limit', 'too many AV pairs');
      pairs.push({ id, value });
    }
  },
  encode({ pairs, trailing }, writer) {
    for (const { id, value } of pairs) writer.u16le(id).u16le(value.length).slice(value);
    writer.u16le(AvId.eol).u16le(0).slice(trailing);
  },
};

/** The first pair with this id. */
export const avValue = (pairs: readonly AvPair[], id: number): Uint8Array | undefined =>
  pairs.find((pair) => pair.id === id)?.value;

/** MsvAvFlags; 0 where there are none. */
export function avFlags(pairs: readonly AvPair[]): number {
  const value = avValue(pairs, AvId.flags);
  return value?.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true) : 0;
}
