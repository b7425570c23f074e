/** Where the parts of an installation lie, and where a backup keeps its copies. */
import { join, resolve } from 'node:path';
import { type Environment, EnvironmentError, isBucket, readLogPath } from '@lucid-sessions/kit';
import { readStorageEnv } from '@lucid-sessions/storage';
import { dataDirectory } from '../server/environment.ts';
import { sqlitePath } from '../server/sqlite-stores.ts';

export interface Places {
  root: string;
  /** Databases, in the order in which one tells of the other. */
  metadata: string;
  journal: string;
  jobs: string;
  chunks: string;
  log: string;
  keys: string;
  secrets: string;
  spool: string;
  installation: string;
}

/** Which installation this is: a backup directory takes one only. */
const installationName = 'installation-id';

/** The configured places; nothing is made. */
export function installationPlaces(environment: Environment): Places {
  const directory = dataDirectory(environment);
  // Storage's own reading of them; its secret plays no part here.
  const { metadataDb, chunkStoragePath } = readStorageEnv({
    ...environment,
    LUCID_DATA_DIR: directory.root,
    LUCID_SERVICE_SECRET: 'x'.repeat(32),
  });
  const metadata = sqlitePath(metadataDb);
  if (metadata === null)
    throw new EnvironmentError(
      'SESSION_METADATA_DB',
      'names a database outside of the data directory: back it up with its own tools (docs/operations.md, "An outside database"); this command copies embedded installations',
    );
  if (isBucket(readLogPath(environment) ?? ''))
    throw new EnvironmentError(
      'LUCID_LOG_PATH',
      'names a bucket: its copies are its own versions and replication (docs/operations.md, "The log in a bucket"); this command copies embedded installations',
    );
  if (isBucket(chunkStoragePath))
    throw new EnvironmentError(
      'CHUNK_STORAGE_PATH',
      'names a bucket: its copies are its own versions and replication (docs/operations.md, "Chunks in a bucket"); this command copies embedded installations',
    );
  return {
    root: directory.root,
    metadata,
    journal: directory.pipelineJournal,
    jobs: directory.pipelineJobs,
    chunks: resolve(chunkStoragePath),
    log: directory.log,
    keys: directory.keys,
    secrets: join(directory.root, 'secrets'),
    spool: join(directory.root, 'spool'),
    installation: join(directory.root, installationName),
  };
}

/** A run's own copies below `run`; chunks and full tiles of the log are shared by the runs of a backup directory. */
export function backupPlaces(directory: string, run: string): Places {
  const root = join(directory, run);
  return {
    root,
    metadata: join(root, 'metadata.db'),
    journal: join(root, 'pipeline-journal.db'),
    jobs: join(root, 'pipeline-jobs.db'),
    chunks: join(directory, 'chunks'),
    log: join(root, 'log'),
    keys: join(root, 'keys'),
    secrets: join(root, 'secrets'),
    spool: join(root, 'spool'),
    installation: join(directory, installationName),
  };
}

/** Files the configuration names that lie elsewhere: no backup holds them. */
const outsideFiles = [
  'RDP_TLS_CERT',
  'RDP_TLS_KEY',
  'LUCID_API_TLS_CERT',
  'LUCID_API_TLS_KEY',
  'LUCID_SERVICE_TLS_CERT',
  'LUCID_SERVICE_TLS_KEY',
  'LUCID_SERVICE_TLS_CA',
  'LUCID_SERVICE_KEY',
  'LUCID_SERVICE_KEYS',
  'LUCID_VAULT_TOKEN_FILE',
  'LUCID_CREDENTIALS_VAULT_TOKEN_FILE',
  'LUCID_CREDENTIALS_VAULT_SECRET_ID_FILE',
  'BLOCKCHAIN_ANCHORING_TOKEN_FILE',
  'LUCID_TSA_CERTIFICATE',
  'LUCID_EVM_KEY_FILE',
  'NODE_EXTRA_CA_CERTS',
] as const;
const outsideSecrets = ['LUCID_SERVICE_SECRET', 'LUCID_JWT_SECRET'] as const;

/** What an operator has to keep by other means, in words. */
export function keptElsewhere(environment: Environment): string[] {
  const elsewhere = ['the environment variables this installation is started with'];
  for (const name of outsideFiles) if (environment[name]) elsewhere.push(`the file of ${name}: ${environment[name]}`);
  for (const name of outsideSecrets) if (environment[name]) elsewhere.push(`the value of ${name}`);
  if (environment.LUCID_VAULT_URL)
    elsewhere.push(`the key ${environment.LUCID_VAULT_KEY ?? ''} in Vault at ${environment.LUCID_VAULT_URL}`);
  return elsewhere;
}
