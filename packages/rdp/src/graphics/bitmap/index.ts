export { createPalette, type Palette, type PixelDepth, pixelBytes, pixelDepth, toWord } from './color.ts';
export { type BitmapSource, compressionHeaderBytes, decodeBitmap } from './decode-bitmap.ts';
export { decodeInterleaved, type InterleavedDepth } from './interleaved.ts';
export { decodeNsCodec, type NsCodecOptions } from './nscodec.ts';
export { decodePalette } from './palette.ts';
export { decodePlanar, type PlanarOptions } from './planar.ts';
export { decodeRaw, type RawLayout } from './raw.ts';
export { combineYCoCg, type YCoCgPlanes } from './ycocg.ts';
