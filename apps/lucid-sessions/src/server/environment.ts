/** Where everything lives in LUCID_DATA_DIR, and the secrets an embedded installation makes for itself on first start. */
import { chmodSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Environment } from '@lucid-sessions/kit/environment';
import { readDataDir } from '@lucid-sessions/kit/variables';
import { loadOrCreateSecret } from './secret-file.ts';

export const serviceNames = ['storage', 'processor', 'pipeline', 'recorder', 'api'] as const;
export type ServiceName = (typeof serviceNames)[number];

export interface DataDirectory {
  root: string;
  keys: string;
  log: string;
  pipelineJobs: string;
  pipelineJournal: string;
  serviceSecret: string;
  jwtSecret: string;
  adminToken: string;
  /** Directories in it that are made as they are needed. */
  parts: readonly string[];
}

export function dataDirectory(environment: Environment): DataDirectory {
  const root = resolve(readDataDir(environment));
  return {
    root,
    keys: join(root, 'keys'),
    log: join(root, 'log'),
    pipelineJobs: join(root, 'pipeline-jobs.db'),
    pipelineJournal: join(root, 'pipeline-journal.db'),
    serviceSecret: join(root, 'secrets', 'service'),
    jwtSecret: join(root, 'secrets', 'jwt'),
    adminToken: join(root, 'secrets', 'admin-token'),
    parts: ['keys', 'log', 'secrets', 'spool', 'locks'].map((name) => join(root, name)),
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

/** `environment` with the data directory made absolute and the secrets nobody set: made once, kept in 0600 files. */
export function withOwnSecrets(environment: Environment, directory: DataDirectory): Environment {
  const set = (variable: string, path: string): Record<string, string> =>
    environment[variable] ? {} : { [variable]: loadOrCreateSecret(path) };
  const hasJwtKey = Boolean(environment.LUCID_JWT_PUBLIC_KEY || environment.LUCID_JWT_JWKS_URL);
  return {
    ...environment,
    LUCID_DATA_DIR: directory.root,
    ...set('LUCID_SERVICE_SECRET', directory.serviceSecret),
    ...(hasJwtKey ? {} : set('LUCID_JWT_SECRET', directory.jwtSecret)),
  };
}
