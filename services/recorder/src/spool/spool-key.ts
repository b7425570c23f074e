import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname } from 'node:path';

/**
 * The key that wraps every segment's key, made at the first start unless it is `given` (its group may read it then). It must not live on the disk that is copied for
 * backups of the spool: without it a segment is noise.
 */
export function loadSpoolKey(path: string, given = false): Uint8Array {
  try {
    return readKey(path, given);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT' || given) throw error;
  }
  fs.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = fs.openSync(`${path}.new`, 'w', 0o600);
  fs.writeSync(file, randomBytes(32));
  fs.fsyncSync(file);
  fs.closeSync(file);
  // linkSync refuses to replace: two recorders that start at once both use the key of the first.
  try {
    fs.linkSync(`${path}.new`, path);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
  }
  fs.rmSync(`${path}.new`, { force: true });
  const directory = fs.openSync(dirname(path), 'r');
  fs.fsyncSync(directory);
  fs.closeSync(directory);
  return readKey(path, given);
}

/** Throws what `loadSpoolKey` would of a key that is there, and makes none. */
export function checkSpoolKey(path: string, given: boolean): void {
  if (fs.existsSync(path)) readKey(path, given);
}

function readKey(path: string, given: boolean): Uint8Array {
  const key = fs.readFileSync(path);
  if (key.length !== 32)
    throw new Error(`the spool key ${path} must be 32 bytes, it has ${key.length}: restore it or move it away`);
  if ((fs.statSync(path).mode & (given ? 0o027 : 0o077)) !== 0)
    throw new Error(`the spool key ${path} is readable by others: chmod ${given ? '440' : '600'} it`);
  return key;
}
