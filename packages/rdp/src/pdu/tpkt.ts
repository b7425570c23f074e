import type { Codec } from '@lucid-sessions/wire';

/** TPKT header size, T.123 section 8. */
export const TPKT_HEADER_BYTES = 4;
export const TPKT_VERSION = 3;

/** T.123 section 8: version 3, a reserved byte, the length of the whole, and one X.224 TPDU. */
export interface Tpkt {
  /** Zero from every peer seen; kept because it is on the wire. */
  reserved: number;
  payload: Uint8Array;
}

export const tpkt: Codec<Tpkt> = {
  name: 'TPKT',
  decode(reader) {
    const version = reader.u8();
    if (version !== TPKT_VERSION) throw reader.error('invalid', `TPKT version ${version}, expected 3`);
    const reserved = reader.u8();
    const length = reader.u16be();
    if (length < TPKT_HEADER_BYTES) throw reader.error('invalid', `TPKT length ${length} is shorter than its header`);
    return { reserved, payload: reader.slice(length - TPKT_HEADER_BYTES) };
  },
  encode(value, writer) {
    writer
      .u8(TPKT_VERSION)
      .u8(value.reserved)
      .u16be(TPKT_HEADER_BYTES + value.payload.length)
      .slice(value.payload);
  },
};
