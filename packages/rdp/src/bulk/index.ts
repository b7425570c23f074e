export { BulkDecompressor, type BulkSnapshot } from './bulk-decompressor.ts';
export {
  compressionType8K,
  compressionType64K,
  compressionTypeMask,
  compressionTypeRdp6,
  compressionTypeRdp61,
  packetAtFront,
  packetCompressed,
  packetFlushed,
} from './flags.ts';
export { canonicalCodes } from './huffman.ts';
export { type Literal, mppcLiterals, ncrushLiterals } from './literals.ts';
export { type HistorySnapshot, MppcDecompressor } from './mppc.ts';
export { NcrushDecompressor, type NcrushSnapshot } from './ncrush.ts';
export * as ncrushTables from './ncrush-tables.ts';
export { XcrushDecompressor, type XcrushSnapshot } from './xcrush.ts';
export {
  dynamicChannelHistoryBytes,
  graphicsHistoryBytes,
  type HistoryDepth,
  uncompressedSegments,
  ZgfxDecompressor,
  type ZgfxSnapshot,
  zgfxOutputBytesMax,
} from './zgfx.ts';
export { literalTokens, matchTokens } from './zgfx-tokens.ts';
