import type { Reader } from '@lucid-sessions/wire';

/** Alternate secondary drawing orders: [MS-RDPEGDI] 2.2.2.2.1.3.1.1. */
export const alternateType = {
  switchSurface: 0x00,
  createOffscreenBitmap: 0x01,
  streamBitmapFirst: 0x02,
  streamBitmapNext: 0x03,
  createNineGridBitmap: 0x04,
  gdiPlusFirst: 0x05,
  gdiPlusNext: 0x06,
  gdiPlusEnd: 0x07,
  gdiPlusCacheFirst: 0x08,
  gdiPlusCacheNext: 0x09,
  gdiPlusCacheEnd: 0x0a,
  window: 0x0b,
  desktopComposition: 0x0c,
  frameMarker: 0x0d,
} as const;

const streamBitmapRevision2 = 0x04;

/** A windowing order without its OrderSize, which counts the control flags and itself: [MS-RDPERP] 2.2.1.3.1.1. */
export const readWindowOrder = (reader: Reader): Reader => reader.sub(Math.max(0, reader.u16le() - 3));

/**
 * Skips an order that is not drawn and returns its name, or null where the type is not defined. Their lengths are told in
 * many ways; without them the orders that follow would be lost too.
 */
export function skipAlternateOrder(reader: Reader, type: number): string | null {
  switch (type) {
    case alternateType.streamBitmapFirst: {
      const flags = reader.u8();
      reader.skip(flags & streamBitmapRevision2 ? 11 : 9);
      reader.skip(reader.u16le());
      return 'streamBitmap';
    }
    case alternateType.streamBitmapNext:
      reader.skip(3);
      reader.skip(reader.u16le());
      return 'streamBitmap';
    case alternateType.createNineGridBitmap:
      reader.skip(23);
      return 'nineGrid';
    case alternateType.gdiPlusFirst:
    case alternateType.gdiPlusEnd:
      return skipCounted(reader, 1, 8, 'gdiPlus');
    case alternateType.gdiPlusNext:
      return skipCounted(reader, 1, 0, 'gdiPlus');
    case alternateType.gdiPlusCacheFirst:
    case alternateType.gdiPlusCacheEnd:
      return skipCounted(reader, 5, 4, 'gdiPlus');
    case alternateType.gdiPlusCacheNext:
      return skipCounted(reader, 5, 0, 'gdiPlus');
    case alternateType.desktopComposition:
      return skipCounted(reader, 1, 0, 'desktopComposition');
    default:
      return null;
  }
}

/** A length of two bytes after `before` bytes, counting what comes `after` further bytes. */
function skipCounted(reader: Reader, before: number, after: number, name: string): string {
  reader.skip(before);
  const length = reader.u16le();
  reader.skip(after + length);
  return name;
}
