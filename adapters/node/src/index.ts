export * from './bounded-body.ts';
export {
  createFileDurably,
  makeDirectoryDurably,
  readFileOrNull,
  syncDirectory,
  writeFileDurably,
} from './durable-file.ts';
export {
  createFfmpegH264Decoder,
  FfmpegError,
  type FfmpegErrorCode,
  type FfmpegH264Options,
} from './h264-ffmpeg.ts';
export {
  createH264Decoder,
  findH264Decoder,
  type H264Choice,
  type H264Options,
  h264Missing,
  ownH264Decoder,
} from './h264-node.ts';
export { createWebCodecsH264Decoder, loadWebCodecs, webCodecsPackage } from './h264-webcodecs.ts';
export { indexerPlatform } from './indexer-platform-url.ts';
export { nodeCrypto, threadedCrypto } from './node-crypto.ts';
export { nodeDecompressor } from './node-decompressor.ts';
export { makeOwnFolder, ownFileMode, ownFileStream, ownFolderMode, writeOwnFile } from './own-file.ts';
export { encodePng } from './png-file.ts';
