import { concatBytes, DecodeError, type MaybePromise, Reader, Writer } from '@lucid-sessions/wire';
import { HASH_BYTES } from '../merkle/hash.ts';
import { completeSubtrees, joinSubtrees, type LeafRange } from '../merkle/proof.ts';
import { MerkleTree, merkleRoot } from '../merkle/tree.ts';

/** C2SP tlog-tiles: a tile is up to 256 consecutive hashes of tree level 8·L. */
export const TILE_WIDTH = 256;
const LEVELS_MAX = 7;
/** Entry bundles carry a u16 length before each entry. */
export const LOG_ENTRY_BYTES_MAX = 0xffff;

/** "x001/x234/067" for 1234067. */
function indexPath(index: number): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) as string[];
  return groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
}

const suffix = (width: number): string => (width === TILE_WIDTH ? '' : `.p/${width}`);

export function tilePath(level: number, index: number, width: number): string {
  return `tile/${level}/${indexPath(index)}${suffix(width)}`;
}

export function entriesPath(index: number, width: number): string {
  return `tile/entries/${indexPath(index)}${suffix(width)}`;
}

/** How wide tile `index` of `level` is in a tree of `size` leaves; 0 when it is not there. */
export function tileWidth(level: number, index: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level);
  return Math.max(0, Math.min(TILE_WIDTH, hashes - index * TILE_WIDTH));
}

export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer();
  for (const entry of entries) writer.u16be(entry.length).slice(entry);
  return writer.bytes();
}

/** Throws `DecodeError`. */
export function decodeEntries(bytes: Uint8Array): Uint8Array[] {
  const reader = new Reader(bytes);
  const entries: Uint8Array[] = [];
  while (reader.remaining > 0) {
    if (entries.length === TILE_WIDTH) throw reader.error('limit', 'an entry bundle holds at most 256 entries');
    entries.push(reader.copy(reader.u16be()));
  }
  return entries;
}

function splitHashes(bytes: Uint8Array, width: number): Uint8Array[] {
  if (bytes.length !== width * HASH_BYTES) throw new DecodeError('invalid', 'a tile has not the length its path says');
  return Array.from({ length: width }, (_, i) => bytes.slice(i * HASH_BYTES, (i + 1) * HASH_BYTES));
}

/** A file of the log's directory to be written. */
export interface TileFile {
  path: string;
  bytes: Uint8Array;
}

/** The tile at a path, or null when there is none. */
export type TileReader = (path: string) => MaybePromise<Uint8Array | null>;

/** Finds a partial tile that was removed once it had filled up: in the beginning of the full one. */
export function narrowing(read: TileReader): TileReader {
  return async (path) => {
    const bytes = await read(path);
    const [, full, width] = /^(.*)\.p\/(\d+)$/.exec(path) ?? [];
    if (bytes !== null || full === undefined) return bytes;
    const wide = await read(full);
    if (wide === null) return null;
    if (!full.startsWith('tile/entries/')) return wide.slice(0, Number(width) * HASH_BYTES);
    return encodeEntries(decodeEntries(wide).slice(0, Number(width)));
  };
}

/**
 * The right edge of a tiled log: what must be in memory to append. A value: `append` gives the next one and the files
 * that make it, so a batch can be prepared, committed elsewhere and written afterwards.
 */
export class TileEdge {
  /** Per level, the hashes of its last, not yet full tile. */
  readonly #levels: Uint8Array[][];
  readonly #entries: Uint8Array[];
  readonly #tree: Uint8Array;
  readonly size: number;

  private constructor(levels: Uint8Array[][], entries: Uint8Array[], tree: MerkleTree) {
    this.#levels = levels;
    this.#entries = entries;
    this.#tree = tree.serialize();
    this.size = tree.size;
  }

  static empty(): TileEdge {
    return new TileEdge([], [], MerkleTree.empty());
  }

  get root(): Uint8Array {
    return MerkleTree.restore(this.#tree).root();
  }

  /** Reads the edge of a tree of `size` leaves. Throws `DecodeError` when a file is missing or has the wrong length. */
  static async restore(size: number, read: TileReader): Promise<TileEdge> {
    const file = async (path: string): Promise<Uint8Array> => {
      const bytes = await read(path);
      if (bytes === null) throw new DecodeError('invalid', `the log has no file ${path}`);
      return bytes;
    };
    const levels: Uint8Array[][] = [];
    for (let level = 0; Math.floor(size / TILE_WIDTH ** level) > 0; level += 1) {
      const index = Math.floor(size / TILE_WIDTH ** (level + 1));
      const width = tileWidth(level, index, size);
      levels.push(width === 0 ? [] : splitHashes(await file(tilePath(level, index, width)), width));
    }
    const last = Math.floor(size / TILE_WIDTH);
    const width = tileWidth(0, last, size);
    const entries = width === 0 ? [] : decodeEntries(await file(entriesPath(last, width)));
    if (entries.length !== width)
      throw new DecodeError('invalid', 'the last entry bundle has not the entries its path says');
    return new TileEdge(levels, entries, treeOf(levels, size));
  }

  /** Appends entries by their bytes and leaf hashes. */
  append(entries: readonly { bytes: Uint8Array; leafHash: Uint8Array }[]): { edge: TileEdge; files: TileFile[] } {
    const levels = this.#levels.map((hashes) => [...hashes]);
    let bundle = [...this.#entries];
    const tree = MerkleTree.restore(this.#tree);
    const files: TileFile[] = [];
    const touched = new Set<number>();
    for (const { bytes, leafHash } of entries) {
      tree.append(leafHash);
      bundle.push(bytes);
      pushHash(levels, 0, leafHash, tree.size, files, touched);
      if (bundle.length === TILE_WIDTH) {
        files.push({ path: entriesPath(tree.size / TILE_WIDTH - 1, TILE_WIDTH), bytes: encodeEntries(bundle) });
        bundle = [];
      }
    }
    files.push(...partialFiles(levels, bundle, tree.size, touched));
    return { edge: new TileEdge(levels, bundle, tree), files };
  }
}

/** Pushes a hash into a level's edge; a tile it fills is written and its root goes one level up. */
function pushHash(
  levels: Uint8Array[][],
  level: number,
  hash: Uint8Array,
  size: number,
  files: TileFile[],
  touched: Set<number>,
): void {
  if (level > LEVELS_MAX) throw new RangeError('the log is full');
  levels[level] ??= [];
  const hashes = levels[level];
  hashes.push(hash);
  touched.add(level);
  if (hashes.length < TILE_WIDTH) return;
  files.push({
    path: tilePath(level, size / TILE_WIDTH ** (level + 1) - 1, TILE_WIDTH),
    bytes: concatBytes(...hashes),
  });
  levels[level] = [];
  pushHash(levels, level + 1, merkleRoot(hashes), size, files, touched);
}

function partialFiles(levels: Uint8Array[][], bundle: Uint8Array[], size: number, touched: Set<number>): TileFile[] {
  const files: TileFile[] = [];
  levels.forEach((hashes, level) => {
    if (hashes.length === 0 || !touched.has(level)) return;
    const index = Math.floor(size / TILE_WIDTH ** (level + 1));
    files.push({ path: tilePath(level, index, hashes.length), bytes: concatBytes(...hashes) });
  });
  if (bundle.length > 0)
    files.push({ path: entriesPath(Math.floor(size / TILE_WIDTH), bundle.length), bytes: encodeEntries(bundle) });
  return files;
}

/** The tree's peaks are those of each level's edge, highest level first. */
function treeOf(levels: Uint8Array[][], size: number): MerkleTree {
  const writer = new Writer().u64be(BigInt(size));
  for (const hashes of levels.toReversed())
    for (const { start, end } of completeSubtrees({ start: 0, end: hashes.length }))
      writer.slice(merkleRoot(hashes.slice(start, end)));
  return MerkleTree.restore(writer.bytes());
}

/** Hashes of leaf ranges in a tree of `size` leaves, read from its tiles. Throws `DecodeError` when a tile is missing. */
export function tileRangeHash(size: number, read: TileReader): (range: LeafRange) => Promise<Uint8Array> {
  const subtree = async ({ start, end }: LeafRange): Promise<Uint8Array> => {
    let level = 0;
    let [from, count] = [start, end - start];
    while (count >= TILE_WIDTH) {
      level += 1;
      [from, count] = [from / TILE_WIDTH, count / TILE_WIDTH];
    }
    const index = Math.floor(from / TILE_WIDTH);
    const width = tileWidth(level, index, size);
    const bytes = await read(tilePath(level, index, width));
    if (bytes === null) throw new DecodeError('invalid', `the log has no tile ${tilePath(level, index, width)}`);
    const at = from % TILE_WIDTH;
    return merkleRoot(splitHashes(bytes, width).slice(at, at + count));
  };
  return async (range) => joinSubtrees(await Promise.all(completeSubtrees(range).map(subtree)));
}
