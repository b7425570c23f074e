/**
 * What a session's folder keeps beside its chunks, so that chunks and keys alone are enough to open and verify everything:
 *
 * ```
 * wraps.json                     wrapped keys, in the form of a bundle's keys/wraps.json
 * records/<sequence>-<digest>.json   signed records, written once
 * ```
 */
import { createHash } from 'node:crypto';
import { type FileHandle, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type KeyWrap, LucidError } from '@lucid-sessions/contract';
import { encodeJson } from '@lucid-sessions/evidence';
import type { ChunkDisk } from './fs-chunk-disk.ts';

export const wrapsName = 'wraps.json';
/** On its way to be `wraps.json`. In the session's own folder and always of this name, so that shredding finds it. */
export const newWrapsName = 'wraps.json.new';
export const recordsFolder = 'records';

const recordName = /^(\d{8,10})-[0-9a-f]{16}\.json$/;

/** Two records under one sequence, as after an old database was put back, do not meet. */
export function recordFileName(sequence: number, record: Uint8Array): string {
  if (!(Number.isSafeInteger(sequence) && sequence >= 0 && sequence < 1e10))
    throw new LucidError('invalidRequest', 'a record’s sequence is a whole number from 0');
  return `${String(sequence).padStart(8, '0')}-${createHash('sha256').update(record).digest('hex').slice(0, 16)}.json`;
}

/** Null for any other file. */
export function recordSequence(name: string): number | null {
  const digits = recordName.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

export const encodeWraps = (wraps: readonly KeyWrap[]): Uint8Array =>
  encodeJson(
    wraps.map(({ scheme, recipient, keyId, wrapped }) => ({
      scheme,
      recipient,
      key_id: keyId,
      wrapped: Buffer.from(wrapped).toString('base64'),
    })),
  );

export function decodeWraps(bytes: Uint8Array): KeyWrap[] {
  try {
    const list = JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>[];
    return list.map(({ scheme, recipient, key_id: keyId, wrapped }) => {
      if ([scheme, recipient, keyId, wrapped].some((value) => typeof value !== 'string'))
        throw new TypeError('not a wrap');
      return {
        scheme: String(scheme),
        recipient: String(recipient),
        keyId: String(keyId),
        wrapped: new Uint8Array(Buffer.from(String(wrapped), 'base64')),
      };
    });
  } catch (cause) {
    throw new LucidError('storage', 'the wrapped keys beside the chunks can not be read', { cause });
  }
}

const codeOf = (thrown: unknown) => (thrown as { code?: unknown } | null)?.code;

async function openPresent(disk: ChunkDisk, path: string): Promise<FileHandle | null> {
  try {
    return await disk.open(path, 'r+');
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return null;
    throw thrown;
  }
}

/** On copy-on-write and flash storage only the unlinking is sure. */
async function overwrite(file: FileHandle): Promise<void> {
  await file.write(new Uint8Array((await file.stat()).size), 0, undefined, 0);
  await file.datasync();
}

/** Overwrites before it unlinks; needs no room on the disk. */
export async function destroyFile(disk: ChunkDisk, path: string): Promise<boolean> {
  const file = await openPresent(disk, path);
  if (file === null) return false;
  try {
    await overwrite(file);
  } finally {
    await file.close();
  }
  await rm(path, { force: true });
  return true;
}

/** Names a finished file in place of another, whose bytes are then overwritten. */
export async function replaceFile(disk: ChunkDisk, from: string, to: string): Promise<void> {
  const before = await openPresent(disk, to);
  try {
    await rename(from, to);
    if (before !== null) await overwrite(before);
  } finally {
    await before?.close();
  }
}

/** Names in a folder, none where there is no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
}

export const wrapsPaths = (folder: string): string[] => [join(folder, newWrapsName), join(folder, wrapsName)];
