export {
  anchorSessionId,
  BLOCKCHAIN_CORE_BACKEND,
  BlockchainCoreAnchor,
  type BlockchainCoreOptions,
} from './blockchain-core.ts';
export { type OpenBundle, openBundle, writeBundleDirectory, writeBundleTar } from './bundle-files.ts';
export {
  createFileDurably,
  makeDirectoryDurably,
  readFileOrNull,
  syncDirectory,
  writeFileDurably,
} from './durable-file.ts';
export { EmbeddedLog, type EmbeddedLogOptions, type LogProofs } from './embedded-log.ts';
export { type LogHead, type LogHeadStore, SqliteLogHeadStore, type Witnessed } from './embedded-log-head.ts';
export { embeddedLogPort } from './embedded-log-port.ts';
export { checkEvmAnchor, deployEvmContract, EvmAnchor, type EvmAnchorOptions } from './evm/evm-anchor.ts';
export type { EvmChainOptions, EvmFinality } from './evm/evm-chain.ts';
export { FileReserve, type FileReserveOptions, withReserve } from './file-reserve.ts';
export * from './fs-chunk-disk.ts';
export * from './fs-chunk-store.ts';
export * from './fs-direct-file.ts';
export { decodeWraps, encodeWraps, recordSequence, recordsFolder, wrapsName } from './fs-kept-files.ts';
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
export { KeyDirectory, KeyError, type KeyErrorCode, type KeyInfo, type LocalKey } from './key-files.ts';
export { KeyLock } from './key-lock.ts';
export {
  AgeUnwrapper,
  AgeWrapper,
  type KeyUnwrapper,
  type KeyWrapper,
  LocalUnwrapper,
  LocalWrapper,
  makeAgeIdentity,
  rewrapDek,
  unwrapDek,
  WrapError,
  type WrapErrorCode,
  wrapDek,
} from './key-wrappers.ts';
export { checkLogFiles, type LogFiles, logFilesIn, readCheckpoint, rebuildLogHead, tilesOf } from './log-copy.ts';
export { fsLogDisk, type LogDisk } from './log-disk.ts';
export { LogError, type LogErrorCode } from './log-error.ts';
export { logFileReader } from './log-files.ts';
export { LogWitnesses, type LogWitnessesOptions, type WitnessAddress } from './log-witnesses.ts';
export { nodeCrypto } from './node-crypto.ts';
export { nodeDecompressor } from './node-decompressor.ts';
export { makeOwnFolder, ownFileMode, ownFileStream, ownFolderMode, writeOwnFile } from './own-file.ts';
export { encodePng } from './png-file.ts';
export { type ContentItem, contentBytesMax } from './session-index/content-items.ts';
export { SessionIndexes, type SessionIndexesOptions } from './session-index/session-indexes.ts';
export type { KeyframePolicy } from './session-index/session-keyframes.ts';
export * from './sqlite-database.ts';
export * from './sqlite-job-queue.ts';
export * from './sqlite-journal-store.ts';
export * from './sqlite-metadata-store.ts';
export { SqliteThread, type SqliteThreadOptions } from './sqlite-thread.ts';
export { TimestampAnchor, type TimestampAnchorOptions } from './timestamp-anchor.ts';
export { VAULT_TRANSIT_SCHEME, VaultTransit, type VaultTransitOptions } from './vault-transit.ts';
