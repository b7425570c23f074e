export { type OpenBundle, openBundle, writeBundleDirectory, writeBundleTar } from './bundle-files.ts';
export { FileReserve, type FileReserveOptions, withReserve } from './file-reserve.ts';
export * from './fs-chunk-disk.ts';
export * from './fs-chunk-store.ts';
export * from './fs-direct-file.ts';
export { decodeWraps, encodeWraps, recordFileName, recordSequence, recordsFolder, wrapsName } from './fs-kept-files.ts';
