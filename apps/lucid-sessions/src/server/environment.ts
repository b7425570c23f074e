/** Where everything lives in LUCID_DATA_DIR, and the secrets an embedded installation makes for itself on first start. */
import { chmodSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type ServiceName, serviceNames } from '@lucid-sessions/contract/service-callers';
import type { Environment } from '@lucid-sessions/kit/environment';
import { hasProof, readServiceProof } from '@lucid-sessions/kit/service-proof';
import { isBucket, readDataDir, readKeyPlace, readLogPath } from '@lucid-sessions/kit/variables';
import { loadOrCreateSecret } from './secret-file.ts';

export { type ServiceName, serviceNames };

/** One of each per data directory; processors share sessions by leases, APIs keep nothing. */
export const aloneServices: readonly ServiceName[] = ['storage', 'pipeline', 'recorder'];

export interface DataDirectory {
  root: string;
  keys: string;
  /** Somebody put them there (LUCID_KEYS_PATH): none is made. */
  keysGiven: boolean;
  log: string;
  pipelineJobs: string;
  pipelineJournal: string;
  serviceSecret: string;
  jwtSecret: string;
  adminToken: string;
}

export function dataDirectory(environment: Environment): DataDirectory {
  const root = resolve(readDataDir(environment));
  const keys = readKeyPlace(environment);
  const logPath = readLogPath(environment);
  return {
    root,
    keys: resolve(keys.path),
    keysGiven: keys.given,
    log: logPath === null || isBucket(logPath) ? join(root, 'log') : resolve(logPath),
    pipelineJobs: join(root, 'pipeline-jobs.db'),
    pipelineJournal: join(root, 'pipeline-journal.db'),
    serviceSecret: join(root, 'secrets', 'service'),
    jwtSecret: join(root, 'secrets', 'jwt'),
    adminToken: join(root, 'secrets', 'admin-token'),
  };
}

/** Folders of an installation that was begun when they could be looked into by others. */
export function closeFolders(paths: readonly string[]): void {
  // Windows keeps rights in access lists that these bits do not show.
  if (process.platform === 'win32') return;
  for (const path of paths) {
    const facts = statSync(path, { throwIfNoEntry: false });
    if (facts?.isDirectory() && (facts.mode & 0o077) !== 0) chmodSync(path, facts.mode & 0o7700);
  }
}

/** Secrets nobody set, by variable: where the data directory keeps what is made for them. */
function ownSecrets(
  environment: Environment,
  directory: DataDirectory,
  services: ReadonlySet<ServiceName>,
): Record<string, string> {
  const { LUCID_SERVICE_SECRET, LUCID_JWT_SECRET, LUCID_JWT_PUBLIC_KEY, LUCID_JWT_JWKS_URL } = environment;
  const asksUsers = services.has('api');
  return {
    ...(LUCID_SERVICE_SECRET || hasProof(readServiceProof(environment))
      ? {}
      : { LUCID_SERVICE_SECRET: directory.serviceSecret }),
    ...(!asksUsers || LUCID_JWT_SECRET || LUCID_JWT_PUBLIC_KEY || LUCID_JWT_JWKS_URL
      ? {}
      : { LUCID_JWT_SECRET: directory.jwtSecret }),
  };
}

/** `environment` with the data directory made absolute and the secrets nobody set: made once, kept in 0600 files. */
export function withOwnSecrets(
  environment: Environment,
  directory: DataDirectory,
  services: ReadonlySet<ServiceName> = new Set(serviceNames),
): Environment {
  const made = Object.entries(ownSecrets(environment, directory, services));
  return {
    ...environment,
    LUCID_DATA_DIR: directory.root,
    ...Object.fromEntries(made.map(([variable, path]) => [variable, loadOrCreateSecret(path)])),
  };
}

/** Folders of the data directory that these services use; none: they need no data directory. */
export function dataFolders(
  environment: Environment,
  directory: DataDirectory,
  services: ReadonlySet<ServiceName>,
): string[] {
  const makesSecrets = Object.keys(ownSecrets(environment, directory, services)).length > 0;
  const folders = [
    ...(directory.keysGiven ? [] : ['keys']),
    ...(makesSecrets ? ['secrets'] : []),
    ...(services.has('recorder') ? ['spool'] : []),
    ...(aloneServices.some((name) => services.has(name)) ? ['locks'] : []),
  ];
  const isLogHere = services.has('pipeline') && !isBucket(readLogPath(environment) ?? '');
  return [...folders.map((name) => join(directory.root, name)), ...(isLogHere ? [directory.log] : [])];
}
