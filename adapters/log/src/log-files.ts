import { narrowing } from '@lucid-sessions/evidence';
import { type LogFiles, logFilesIn } from './log-copy.ts';

/**
 * Reads files of a log that another part of the program writes: each is replaced as a whole, so no lock is needed. A partial
 * tile that has grown since is cut from the larger one. The caller checks paths first (`serveLog` does).
 */
export function logReader(files: LogFiles): (path: string) => Promise<Uint8Array | null> {
  const tiles = narrowing(files);
  return async (path) => (path === 'checkpoint' ? files(path) : tiles(path));
}

export const logFileReader = (directory: string) => logReader(logFilesIn(directory));
