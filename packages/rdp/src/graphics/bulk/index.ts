export { BulkDecompressor, type BulkSnapshot } from './bulk-decompressor.ts';
export { packetAtFront, packetCompressed, packetFlushed } from './flags.ts';
export { type HistorySnapshot, MppcDecompressor } from './mppc.ts';
export { NcrushDecompressor, type NcrushSnapshot } from './ncrush.ts';
export { XcrushDecompressor, type XcrushSnapshot } from './xcrush.ts';
export { type HistoryDepth, ZgfxDecompressor, type ZgfxSnapshot, zgfxOutputBytesMax } from './zgfx.ts';
