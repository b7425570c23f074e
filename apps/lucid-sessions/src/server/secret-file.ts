import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, fsyncSync, linkSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readSecretFile } from '@lucid-sessions/kit/secret-file';

/**
 * The secret in `path`, made by `make` on first use (mode 0600, durable before it is used). Two processes starting at once
 * agree: the file is linked into place, and who comes second reads the first one's.
 */
export function loadOrCreateSecret(
  path: string,
  make: () => string = () => randomBytes(32).toString('base64url'),
): string {
  try {
    return readSecretFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = join(dirname(path), `.${process.pid}-${randomBytes(6).toString('hex')}`);
  writeSecret(temporary, make());
  try {
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    unlinkSync(temporary);
  }
  return readSecretFile(path);
}

/** Writes `secret` to `path`, replacing what is there; 0600 whatever the umask. */
export function writeSecret(path: string, secret: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, 'w', 0o600);
  try {
    chmodSync(path, 0o600);
    writeSync(file, `${secret}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
