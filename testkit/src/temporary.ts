/**
 * Directories of tests. They go when the test file's process ends: a test's hooks run in the order they were made, the first that fails
 * skips the rest, and a directory removed by one of them had services that still wrote in it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const paths: string[] = [];

function removeAll(): void {
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    } catch (thrown) {
      process.stderr.write(`${path} was left: ${(thrown as Error).message}\n`);
    }
  }
}

export function removeAtExit(path: string): void {
  if (paths.length === 0) process.once('exit', removeAll);
  paths.push(path);
}

/** `name` is for a person who looks at what a killed run left. */
export function temporaryDirectory(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `lucid-${name}-`));
  removeAtExit(path);
  return path;
}
