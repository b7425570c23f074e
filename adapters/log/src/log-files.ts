import { join } from 'node:path';
import { narrowing } from '@lucid-sessions/evidence';
import { readFileOrNull } from '@lucid-sessions/node';

/**
 * Reads files of a log that another part of the program writes: each is replaced as a whole, so no lock is needed. A partial
 * tile that has grown since is cut from the larger one. The caller checks paths first (`serveLog` does).
 */
export function logFileReader(directory: string): (path: string) => Promise<Uint8Array | null> {
  const read = (path: string): Promise<Uint8Array | null> => readFileOrNull(join(directory, path));
  const tiles = narrowing(read);
  return async (path) => (path === 'checkpoint' ? read(path) : tiles(path));
}
