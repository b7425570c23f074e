export {
  createPalette,
  type InterleavedDepth,
  type Palette,
  type PixelDepth,
  pixelBytes,
  pixelDepth,
  toWord,
} from './color.ts';
export { type BitmapSource, compressionHeaderBytes, decodeBitmap, drawBitmap } from './decode-bitmap.ts';
export { decodeInterleaved } from './interleaved.ts';
export { decodeNsCodec } from './nscodec.ts';
export type { NsCodecOptions } from './nscodec-layout.ts';
export { decodePalette } from './palette.ts';
export { decodePlanar } from './planar.ts';
export type { PlanarOptions } from './planar-header.ts';
export { decodeRaw, type RawLayout } from './raw.ts';
export { combineYCoCg, type YCoCgPlanes } from './ycocg.ts';
