import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { EnvironmentError } from '@lucid-sessions/kit/environment';
import { accessProblem } from './data-access.ts';

const secretBytesMax = 64 * 1024;

/** A secret's file is readable by others, or is no secret. The message names the file and the mend, never its content. */
export class SecretFileError extends Error {
  override readonly name = 'SecretFileError';
}

/** The secret in `path`. Refuses a file that group or others can read (POSIX), an empty one and one over 64 KiB. */
export function readSecretFile(path: string): string {
  const { mode, size } = statSync(path);
  if (process.platform !== 'win32' && (mode & 0o077) !== 0)
    throw new SecretFileError(`${path} can be read by others: run chmod 600 ${path}`);
  if (!(size >= 1 && size <= secretBytesMax))
    throw new SecretFileError(`${path} holds no secret: remove it to have it made again`);
  return readFileSync(path, 'utf8').trim();
}

/** A file a variable names and nobody can read: told with the variable. */
export function unreadable(variable: string, path: string, error: unknown): unknown {
  const why = accessProblem(error) ?? (error instanceof SecretFileError ? error.message : null);
  return why === null ? error : new EnvironmentError(variable, `names ${path}, which can't be read: ${why}`);
}

/** The secret in a file that a variable names. */
export function readConfiguredSecret(variable: string, path: string): string {
  try {
    return readSecretFile(path);
  } catch (error) {
    throw unreadable(variable, path, error);
  }
}

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
