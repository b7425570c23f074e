import {
  type BundleSource,
  bundleNames,
  decodeLeaf,
  LEAF_BYTES,
  LEAF_RECORD_BYTES,
  type Leaf,
  openTar,
  readRecordOf,
} from '@lucid-sessions/evidence';

/** A bundle's tar file that is held as a Blob. Throws `DecodeError` when it is none. */
export function openBlob(file: Blob): Promise<BundleSource> {
  return openTar({
    length: file.size,
    read: async (offset, length) => new Uint8Array(await file.slice(offset, offset + length).arrayBuffer()),
  });
}

/** The whole of one file; null where it is not there. */
export async function fileOf(source: BundleSource, name: string): Promise<Uint8Array | null> {
  const file = (await source.list()).find((each) => each.name === name);
  return file === undefined ? null : source.read(name, 0, file.bytes);
}

/** The leaves, in order. Throws `DecodeError`. */
export async function leavesOf(source: BundleSource): Promise<Leaf[]> {
  const bytes = await fileOf(source, bundleNames.leaves);
  const count = Math.floor((bytes?.length ?? 0) / LEAF_RECORD_BYTES);
  return Array.from({ length: count }, (_, at) => {
    const start = at * LEAF_RECORD_BYTES;
    return decodeLeaf(bytes!.subarray(start, start + LEAF_BYTES));
  });
}

/** Which session it is of, and under which DEK; throws `DecodeError` where `open` can't be read. */
export async function openBodyOf(source: BundleSource) {
  const bytes = await fileOf(source, bundleNames.open);
  if (bytes === null) throw new Error('the bundle holds no open record');
  return readRecordOf('open', bytes).body;
}
