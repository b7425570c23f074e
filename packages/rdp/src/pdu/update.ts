import { counted, list, rest, struct, structWithTail, u16le, type Value } from '@lucid-sessions/wire/struct';

/** updateType of slow-path updates, [MS-RDPBCGR] 2.2.9.1.1.3. */
export const UpdateType = { orders: 0, bitmap: 1, palette: 2, synchronize: 3 } as const;

/** Slow-path graphics update: type, then the same body a fast-path update has, [MS-RDPBCGR] 2.2.9.1.1.3. */
export const slowPathUpdate = struct('slow-path update', { updateType: u16le, data: rest });
export type SlowPathUpdate = Value<typeof slowPathUpdate>;

/** messageType of slow-path pointer updates, [MS-RDPBCGR] 2.2.9.1.1.4. */
export const PointerMessageType = { system: 1, position: 3, color: 6, cached: 7, pointer: 8, large: 9 } as const;

/** Slow-path pointer update, [MS-RDPBCGR] 2.2.9.1.1.4. */
export const slowPathPointer = struct('slow-path pointer', { messageType: u16le, pad2Octets: u16le, data: rest });
export type SlowPathPointer = Value<typeof slowPathPointer>;

/** flags of TS_BITMAP_DATA. */
export const BitmapFlag = { compression: 0x0001, noCompressionHdr: 0x0400 } as const;

const bitmapData = struct('TS_BITMAP_DATA', {
  destLeft: u16le,
  destTop: u16le,
  /** Inclusive. */
  destRight: u16le,
  /** Inclusive. */
  destBottom: u16le,
  /** Also the stride: some servers pad it, the destination rectangle crops. */
  width: u16le,
  height: u16le,
  bitsPerPixel: u16le,
  flags: u16le,
  data: counted(u16le),
});
export type BitmapData = Value<typeof bitmapData>;

/** TS_UPDATE_BITMAP_DATA after its updateType, [MS-RDPBCGR] 2.2.9.1.1.3.1.2. */
export const bitmapUpdate = structWithTail('bitmap update', { rectangles: list('rectangles', u16le, bitmapData) }, {});
export type BitmapUpdate = Value<typeof bitmapUpdate>;
