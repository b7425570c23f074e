/** A log read from its public files alone: to check a copy of it, and to make its head again where that is gone. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  decodeEntries,
  entriesPath,
  hashLeaf,
  MerkleTree,
  narrowing,
  parseSignedCheckpoint,
  type SignedCheckpoint,
  TILE_WIDTH,
  TileEdge,
  tilePath,
  tileWidth,
} from '@lucid-sessions/evidence';
import { readFileOrNull } from '@lucid-sessions/node';
import { equalBytes, type MaybePromise } from '@lucid-sessions/wire';
import { SqliteLogHeadStore } from './embedded-log-head.ts';
import { LogError } from './log-error.ts';

/** Public files of a log, by their paths below its directory. */
export type LogFiles = (path: string) => MaybePromise<Uint8Array | null>;

export const logFilesIn =
  (directory: string): LogFiles =>
  (path) =>
    readFileOrNull(join(directory, path));

/** Null while the log is empty. Throws `DecodeError`. */
export async function readCheckpoint(files: LogFiles, name = 'checkpoint'): Promise<SignedCheckpoint | null> {
  const bytes = await files(name);
  return bytes === null || bytes.length === 0 ? null : parseSignedCheckpoint(bytes);
}

/** Every tile of a tree of `size` entries. `full` ones never change. */
export function* tilesOf(size: number): Generator<{ path: string; full: boolean }> {
  for (let level = 0; Math.floor(size / TILE_WIDTH ** level) > 0; level += 1)
    for (let index = 0; tileWidth(level, index, size) > 0; index += 1) {
      const width = tileWidth(level, index, size);
      yield { path: tilePath(level, index, width), full: width === TILE_WIDTH };
    }
  for (let index = 0; index * TILE_WIDTH < size; index += 1) {
    const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH);
    yield { path: entriesPath(index, width), full: width === TILE_WIDTH };
  }
}

/** The entries of a log, a bundle at a time. */
export async function* entryBundles(files: LogFiles, size: number): AsyncGenerator<Uint8Array[]> {
  const read = narrowing(files);
  for (let index = 0; index * TILE_WIDTH < size; index += 1) {
    const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH);
    const bytes = await read(entriesPath(index, width));
    const entries = bytes === null ? [] : decodeEntries(bytes);
    if (entries.length !== width) throw new LogError('corrupt', `entries from ${index * TILE_WIDTH} on are missing`);
    yield entries;
  }
}

/**
 * That every entry and tile is the one of the checkpoint, and, with `earlier`, that the log only grew since. Throws `LogError`
 * (`DecodeError` for what is no tile). Signatures are the caller's to check.
 */
export async function checkLogFiles(
  files: LogFiles,
  checkpoint: SignedCheckpoint,
  earlier: SignedCheckpoint | null = null,
): Promise<void> {
  const read = narrowing(files);
  let edge = TileEdge.empty();
  const tree = MerkleTree.empty();
  for await (const entries of entryBundles(files, checkpoint.size)) {
    const hashed = entries.map((bytes) => ({ bytes, leafHash: hashLeaf(bytes) }));
    for (const { leafHash } of hashed) {
      if (tree.size === earlier?.size) sameRoot(tree, earlier);
      tree.append(leafHash);
    }
    const grown = edge.append(hashed);
    edge = grown.edge;
    for (const { path, bytes } of grown.files) {
      // Partial tiles of the way there are gone: they are in the full ones.
      if (path.includes('.p/') && edge.size < checkpoint.size) continue;
      const there = await read(path);
      if (there === null || !equalBytes(there, bytes))
        throw new LogError('corrupt', `the log’s ${path} is missing or another`);
    }
  }
  sameRoot(tree, checkpoint);
  // Partial tiles of the upper levels, which the last entries did not touch.
  if (!equalBytes((await TileEdge.restore(checkpoint.size, read)).root, checkpoint.root))
    throw new LogError('corrupt', 'the tiles of the log are not those of its checkpoint');
  if (earlier !== null && earlier.size >= checkpoint.size) sameRoot(tree, earlier);
}

function sameRoot(tree: MerkleTree, checkpoint: SignedCheckpoint): void {
  if (tree.size !== checkpoint.size || !equalBytes(tree.root(), checkpoint.root))
    throw new LogError('corrupt', `the entries of the log are not those of its checkpoint of ${checkpoint.size}`);
}

/** Makes `head.sqlite` again from the public files. Nobody may have the log open. */
export async function rebuildLogHead(directory: string): Promise<number> {
  const files = logFilesIn(directory);
  const witnessed = await readCheckpoint(files, 'witnessed');
  const bytes = await files('checkpoint');
  const checkpoint = await readCheckpoint(files);
  if (checkpoint === null || bytes === null) return 0;
  await checkLogFiles(files, checkpoint);
  const path = join(directory, 'head.sqlite');
  // The head first: a write-ahead log without one is never taken for that of another.
  for (const name of [path, `${path}-wal`, `${path}-journal`]) await rm(name, { force: true });
  const heads = new SqliteLogHeadStore(path);
  try {
    const root = checkpoint.root;
    for await (const entries of entryBundles(files, checkpoint.size)) {
      const head = heads.load();
      const size = head.size + entries.length;
      // Of a size no checkpoint has, until the last bundle: cut off here, the log is refused as corrupt.
      const last = size === checkpoint.size;
      const next = { size, root, checkpoint: last ? Buffer.from(bytes).toString() : '', staged: [] };
      heads.swap(head, next, entries.map(hashLeaf));
    }
    if (witnessed !== null && witnessed.size <= checkpoint.size)
      heads.putWitnessed({
        size: witnessed.size,
        checkpoint: Buffer.from((await files('witnessed')) ?? []).toString(),
      });
    return checkpoint.size;
  } finally {
    heads.close();
  }
}
