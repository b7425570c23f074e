/** Copies one session's folder: what is written once is not copied again, what is copied is checked against its leaf. */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeLeaf, LEAF_BYTES, LEAF_RECORD_BYTES, type Leaf, toHex } from '@lucid-sessions/evidence';
import { decodeWraps, recordFileName, recordSequence, recordsFolder, wrapsName } from '@lucid-sessions/files';
import { makeDirectoryDurably, readFileOrNull, syncDirectory } from '@lucid-sessions/node';
import { absentAsNull, copyFile, hashFile, writeWhole } from './files.ts';
import type { StoredRecord } from './rows.ts';

export const leavesName = 'leaves.bin';
const chunkName = (index: number): string => `${index}.chunk`;

export interface FolderCopy {
  chunks: number;
  copiedBytes: number;
  /** Chunks that are named and not there. */
  missing: number[];
  /** Chunks that are not what their leaves say, and leaves that are none. */
  damaged: string[];
  /** The copy there is holds another chain under this name. */
  contradicted: boolean;
}

export interface FolderSource {
  source: string;
  target: string;
  /** Chunks the database knows. */
  count: number;
  /** Leaf and seal by its row, where leaves.bin is behind it. */
  rowLeaf: (index: number) => Uint8Array | null;
}

/** Whole leaves and seals of a folder. */
export async function readLeaves(folder: string): Promise<Uint8Array> {
  const bytes = (await readFileOrNull(join(folder, leavesName))) ?? new Uint8Array(0);
  return bytes.subarray(0, bytes.length - (bytes.length % LEAF_RECORD_BYTES));
}

export function leafAt(leaves: Uint8Array, index: number): Leaf {
  const at = index * LEAF_RECORD_BYTES;
  return decodeLeaf(leaves.subarray(at, at + LEAF_BYTES));
}

async function leavesOf({ source, count, rowLeaf }: FolderSource): Promise<Uint8Array> {
  const leaves = await readLeaves(source);
  const rows: Uint8Array[] = [];
  for (let index = leaves.length / LEAF_RECORD_BYTES; index < count; index += 1)
    rows.push(rowLeaf(index) ?? new Uint8Array(0));
  return rows.length === 0 ? leaves : new Uint8Array(Buffer.concat([leaves, ...rows]));
}

export async function copyFolder(from: FolderSource): Promise<FolderCopy> {
  const { source, target } = from;
  const copy: FolderCopy = { chunks: 0, copiedBytes: 0, missing: [], damaged: [], contradicted: false };
  const leaves = await leavesOf(from);
  const before = await readLeaves(target);
  const shared = Math.min(before.length, leaves.length);
  if (before.length > leaves.length || Buffer.compare(before.subarray(0, shared), leaves.subarray(0, shared)) !== 0) {
    copy.contradicted = true;
    return copy;
  }
  await makeDirectoryDurably(target);
  await copyChunks(from, leaves, before.length / LEAF_RECORD_BYTES, copy);
  await copyKept(source, target);
  // Leaves last: a chunk that a leaf of the copy names is there, whole.
  await syncDirectory(target);
  if (leaves.length > before.length) {
    await writeWhole(join(target, leavesName), (file) => file.writeFile(leaves));
    await syncDirectory(target);
  }
  return copy;
}

async function copyChunks(
  { source, target }: FolderSource,
  leaves: Uint8Array,
  known: number,
  copy: FolderCopy,
): Promise<void> {
  const present = new Set(await readdir(target));
  copy.chunks = leaves.length / LEAF_RECORD_BYTES;
  for (let index = 0; index < copy.chunks; index += 1) {
    const name = chunkName(index);
    if (index < known && present.has(name)) continue;
    const leaf = decodedOrNull(leaves, index);
    const wanted = leaf === null ? null : { bytes: leaf.fileBytes, sha256: toHex(leaf.fileSha256) };
    if (wanted === null) copy.damaged.push(`leaf ${index} is none`);
    // Left by a run that was cut off, perhaps of another chain.
    const isThere = present.has(name) && wanted !== null && isSame(await hashFile(join(target, name)), wanted);
    if (isThere) continue;
    const copied = await copyFile(join(source, name), join(target, name));
    if (copied === null) copy.missing.push(index);
    else if (wanted !== null && !isSame(copied, wanted)) copy.damaged.push(`chunk ${index} is not what its leaf says`);
    copy.copiedBytes += copied?.bytes ?? 0;
  }
}

export function decodedOrNull(leaves: Uint8Array, index: number): Leaf | null {
  try {
    return leafAt(leaves, index);
  } catch {
    return null;
  }
}

export const isSame = (a: { bytes: number; sha256: string } | null, b: { bytes: number; sha256: string }): boolean =>
  a !== null && a.bytes === b.bytes && a.sha256 === b.sha256;

/** Records are written once; wraps are replaced, and destroyed where they were destroyed. */
export async function copyKept(source: string, target: string): Promise<void> {
  const names = (await absentAsNull(() => readdir(join(source, recordsFolder)))) ?? [];
  const records = names.filter((name) => recordSequence(name) !== null);
  if (records.length > 0) {
    const folder = join(target, recordsFolder);
    await makeDirectoryDurably(folder);
    const present = new Set(await readdir(folder));
    const fresh = records.filter((name) => !present.has(name));
    for (const name of fresh) await copyFile(join(source, recordsFolder, name), join(folder, name));
    if (fresh.length > 0) await syncDirectory(folder);
  }
  const wraps = await readFileOrNull(join(source, wrapsName));
  if (wraps === null) await rm(join(target, wrapsName), { force: true });
  else if (!(await holds(join(target, wrapsName), wraps)))
    await writeWhole(join(target, wrapsName), (file) => file.writeFile(wraps));
}

/** A record is stored in the database first and beside the chunks a moment later: what the copied database knows already is put there. */
export async function completeRecords(target: string, stored: readonly StoredRecord[]): Promise<void> {
  const folder = join(target, recordsFolder);
  const present = new Set((await absentAsNull(() => readdir(folder))) ?? []);
  const late = stored.filter(({ sequence, record }) => !present.has(recordFileName(sequence, record)));
  if (late.length === 0) return;
  await makeDirectoryDurably(folder);
  for (const { sequence, record } of late)
    await writeWhole(join(folder, recordFileName(sequence, record)), (file) => file.writeFile(record));
  await syncDirectory(folder);
}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  const there = await readFileOrNull(path);
  return there !== null && Buffer.compare(there, bytes) === 0;
}

/** Null where there are none; throws when they can't be read. */
export async function readWraps(folder: string): Promise<ReturnType<typeof decodeWraps>> {
  const bytes = await readFileOrNull(join(folder, wrapsName));
  return bytes === null ? [] : decodeWraps(bytes);
}
