/** Secrets in files, as people and Docker's and Kubernetes' secrets put them: which may be read, and variables that name them. */
import { readFileSync, statSync } from 'node:fs';
import { type Environment, EnvironmentError } from './environment.ts';

const reasons: Record<string, string> = {
  EACCES: 'this user may not: change its owner or mode, or run as its owner',
  EPERM: 'this user may not: change its owner or mode, or run as its owner',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
  ENOTDIR: 'a part of the path is a file, not a directory',
  EISDIR: 'it is a directory, not a file',
  ENAMETOOLONG: 'the path is too long',
  ELOOP: 'its links lead in a circle',
  ENOENT: 'there is no such place',
};

/** Why a path can't be used, for a person; null when the reason is none of the file system's. */
export function accessProblem(error: unknown): string | null {
  return reasons[String((error as NodeJS.ErrnoException).code)] ?? null;
}

const secretBytesMax = 64 * 1024;

/** A secret's file is readable by others, or is no secret. The message names the file and the mend, never its content. */
export class SecretFileError extends Error {
  override readonly name = 'SecretFileError';
}

/**
 * Whose a file is: `own` was made here, for this user alone; `given` is mounted or put there by somebody, whose group may be this
 * user's.
 */
export type SecretOwner = 'own' | 'given';

/** Where Docker mounts secrets for one container, readable by all who run in it. */
const dockerSecrets = '/run/secrets/';

/** Throws SecretFileError for a file that others can read or write (POSIX). */
export function checkSecretMode(path: string, mode: number, owner: SecretOwner): void {
  // Windows keeps rights in access lists that these bits do not show.
  if (process.platform === 'win32') return;
  const forbidden = owner === 'own' ? 0o077 : path.startsWith(dockerSecrets) ? 0o022 : 0o027;
  if ((mode & forbidden) === 0) return;
  const mend = owner === 'own' ? `chmod 600 ${path}` : `chmod 640 ${path} (defaultMode: 0440 of a Kubernetes secret)`;
  throw new SecretFileError(`${path} can be read by others: run ${mend}`);
}

/** The secret in `path`, without white space around it. Refuses a file that others can read, an empty one and one over 64 KiB. */
export function readSecretFile(path: string, owner: SecretOwner = 'own'): string {
  const found = statSync(path);
  if (found.isDirectory()) throw Object.assign(new Error(`${path} is a directory`), { code: 'EISDIR' });
  const { mode, size } = found;
  checkSecretMode(path, mode, owner);
  if (!(size >= 1 && size <= secretBytesMax))
    throw new SecretFileError(
      owner === 'own'
        ? `${path} holds no secret: remove it to have it made again`
        : `${path} holds no secret: it must be 1 to ${secretBytesMax} bytes`,
    );
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
    return readSecretFile(path, 'given');
  } catch (error) {
    throw unreadable(variable, path, error);
  }
}

/** Variables that hold a secret, or an address with one in it: each may be given as a file instead, by its name and `_FILE`. */
export const secretVariables = [
  'LUCID_SERVICE_SECRET',
  'LUCID_JWT_SECRET',
  'LUCID_JWT_PUBLIC_KEY',
  'SESSION_METADATA_DB',
  'REDIS_URL',
  'LUCID_EVM_RPC_URL',
  'LUCID_WEBHOOK_SECRET',
] as const;

/** `environment` with what the files of `secretVariables` hold, and without the variables that name them. */
export function withSecretFiles(environment: Environment): Environment {
  const read: Environment = { ...environment };
  for (const variable of secretVariables) {
    const fileVariable = `${variable}_FILE`;
    const path = environment[fileVariable];
    delete read[fileVariable];
    if (path === undefined || path === '') continue;
    if (environment[variable])
      throw new EnvironmentError(fileVariable, `and ${variable} are both set: leave one of them out`);
    read[variable] = readConfiguredSecret(fileVariable, path);
  }
  return read;
}

/** Names of variables whose value is a secret, ours and those of libraries, and of files that hold one and nothing else. */
const secretName = /(?:SECRET|TOKEN|PASSWORD|SECRET_ACCESS_KEY)$/;
const secretFileName = /(?:SECRET|TOKEN|PASSWORD|SECRET_ID|EVM_KEY)_FILE$/;

/** Every secret that `environment` holds or names a file of: whole values, and of addresses what only their owner knows. */
export function secretValues(environment: Environment): string[] {
  const found: string[] = [];
  for (const [variable, value = ''] of Object.entries(environment)) {
    if (secretName.test(variable)) found.push(value);
    else if (/^OTEL_EXPORTER_OTLP_(?:TRACES_)?HEADERS$/.test(variable))
      found.push(...value.split(',').map((header) => decoded(header.slice(header.indexOf('=') + 1).trim())));
    else if (secretFileName.test(variable)) found.push(...secretIn(value));
    else if (/(?:_URL|_DB|_PROXY|_ENDPOINT)$/i.test(variable)) found.push(...secretsOfAddress(value));
  }
  return found.filter((value) => value !== '');
}

function secretIn(path: string): string[] {
  try {
    const { size } = statSync(path);
    return size <= secretBytesMax ? [readFileSync(path, 'utf8').trim()] : [];
  } catch {
    // Whoever needs it says so.
    return [];
  }
}

/** Password, and in path and query what providers of nodes take for a key. */
function secretsOfAddress(address: string): string[] {
  const [, password = ''] = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@:]*:([^/?#]*)@/i.exec(address) ?? [];
  const long = /^https?:/i.test(address)
    ? [...address.matchAll(/[/=&?]([\w-]{20,})/g)].map(([, part = '']) => part)
    : [];
  return [password, decoded(password), ...long];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
