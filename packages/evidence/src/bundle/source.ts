import { DecodeError, type MaybePromise } from '@lucid-sessions/wire';

export interface BundleFile {
  name: string;
  bytes: number;
}

/** A file's digest and its first bytes. */
export interface FileDigest {
  sha256: Uint8Array;
  head: Uint8Array;
}

/** Where a bundle is read from: a directory, a tar file, a browser's file. Errors it throws are the medium's. */
export interface BundleSource {
  /** Every file, in any order. */
  list(): MaybePromise<BundleFile[]>;
  /** Exactly `length` bytes from `offset`. */
  read(name: string, offset: number, length: number): MaybePromise<Uint8Array>;
  /** Hash of a whole file and its first bytes, for sources that can tell without handing all of it over. */
  digest?(name: string, headBytes: number): Promise<FileDigest>;
}

/** Bytes that can be read anywhere: an open file, a Blob, an array. */
export interface RandomAccess {
  readonly length: number;
  read(offset: number, length: number): MaybePromise<Uint8Array>;
  digest?(offset: number, length: number, headBytes: number): Promise<FileDigest>;
}

export const BUNDLE_FILES_MAX = 1 << 20;
/** Names are relative, of one alphabet, and never climb. */
export const BUNDLE_NAME = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._-]{1,60}(?:\/[A-Za-z0-9._-]{1,60}){0,2}$/;

/** The whole of a small file. Throws `DecodeError('limit')` when it is not small. */
export async function readWhole(source: BundleSource, file: BundleFile, bytesMax: number): Promise<Uint8Array> {
  if (file.bytes > bytesMax) throw new DecodeError('limit', `${file.name} is larger than ${bytesMax} bytes`);
  return source.read(file.name, 0, file.bytes);
}

/** A bundle in memory. */
export function memoryBundle(files: ReadonlyMap<string, Uint8Array>): BundleSource {
  return {
    list: () => [...files].map(([name, { length }]) => ({ name, bytes: length })),
    read: (name, offset, length) => files.get(name)!.subarray(offset, offset + length),
  };
}
