/** Primary drawing orders and their fields: [MS-RDPEGDI] 2.2.2.2.1.1.2.1–22. */

/**
 * How a field is sent. `coord` is two bytes, or one to add; `color` three; `bytes7` the rows of a brush; `data1` and
 * `data2` a run of bytes after its length.
 */
export type FieldKind = 'coord' | 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'color' | 'bytes7' | 'data1' | 'data2';

export interface OrderLayout {
  readonly name: string;
  readonly fields: readonly FieldKind[];
}

const rectangle = ['coord', 'coord', 'coord', 'coord'] as const;
const brush = ['color', 'color', 'i8', 'i8', 'u8', 'u8', 'bytes7'] as const;
const multiple = ['u8', 'data2'] as const;
const eightCoords = [...rectangle, ...rectangle] as const;
const glyphs = ['u8', 'u16', 'color', 'color', ...eightCoords, 'coord', 'coord', 'data1'] as const;

export const orderType = {
  dstBlt: 0x00,
  patBlt: 0x01,
  scrBlt: 0x02,
  drawNineGrid: 0x07,
  multiDrawNineGrid: 0x08,
  lineTo: 0x09,
  opaqueRect: 0x0a,
  saveBitmap: 0x0b,
  memBlt: 0x0d,
  mem3Blt: 0x0e,
  multiDstBlt: 0x0f,
  multiPatBlt: 0x10,
  multiScrBlt: 0x11,
  multiOpaqueRect: 0x12,
  fastIndex: 0x13,
  polygonSC: 0x14,
  polygonCB: 0x15,
  polyline: 0x16,
  fastGlyph: 0x18,
  ellipseSC: 0x19,
  ellipseCB: 0x1a,
  glyphIndex: 0x1b,
} as const;

export type OrderName = keyof typeof orderType;

const fieldsOf: Record<OrderName, readonly FieldKind[]> = {
  dstBlt: [...rectangle, 'u8'],
  patBlt: [...rectangle, 'u8', ...brush],
  scrBlt: [...rectangle, 'u8', 'coord', 'coord'],
  drawNineGrid: [...rectangle, 'u16'],
  multiDrawNineGrid: [...rectangle, 'u16', ...multiple],
  lineTo: ['u16', ...rectangle, 'color', 'u8', 'u8', 'u8', 'color'],
  opaqueRect: [...rectangle, 'u8', 'u8', 'u8'],
  saveBitmap: ['u32', ...rectangle, 'u8'],
  memBlt: ['u16', ...rectangle, 'u8', 'coord', 'coord', 'u16'],
  mem3Blt: ['u16', ...rectangle, 'u8', 'coord', 'coord', ...brush, 'u16'],
  multiDstBlt: [...rectangle, 'u8', ...multiple],
  multiPatBlt: [...rectangle, 'u8', ...brush, ...multiple],
  multiScrBlt: [...rectangle, 'u8', 'coord', 'coord', ...multiple],
  multiOpaqueRect: [...rectangle, 'u8', 'u8', 'u8', ...multiple],
  fastIndex: glyphs,
  polygonSC: ['coord', 'coord', 'u8', 'u8', 'color', 'u8', 'data1'],
  polygonCB: ['coord', 'coord', 'u8', 'u8', ...brush, 'u8', 'data1'],
  polyline: ['coord', 'coord', 'u8', 'u16', 'color', 'u8', 'data1'],
  fastGlyph: glyphs,
  ellipseSC: [...rectangle, 'u8', 'u8', 'color'],
  ellipseCB: [...rectangle, 'u8', 'u8', ...brush],
  glyphIndex: [
    ...(['u8', 'u8', 'u8', 'u8', 'color', 'color'] as const),
    ...(['i16', 'i16', 'i16', 'i16', 'i16', 'i16', 'i16', 'i16'] as const),
    ...(['i8', 'i8', 'u8', 'u8', 'bytes7', 'i16', 'i16', 'data1'] as const),
  ],
};

/** Layouts by type number. */
export const orderLayouts: ReadonlyMap<number, OrderLayout & { readonly name: OrderName }> = new Map(
  (Object.keys(orderType) as OrderName[]).map((name) => [orderType[name], { name, fields: fieldsOf[name] }]),
);

/** The last values of an order's fields; fields not sent keep theirs. */
export interface OrderState {
  /** One number a field; unused for `bytes7` and data. Colours as 0xBBGGRR. */
  readonly values: number[];
  extra: Uint8Array;
  data: Uint8Array;
}

export function createOrderState(layout: OrderLayout): OrderState {
  return { values: layout.fields.map(() => 0), extra: new Uint8Array(7), data: new Uint8Array(0) };
}
