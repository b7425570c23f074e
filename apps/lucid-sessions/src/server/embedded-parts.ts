/** The embedded adapters behind the services' ports: SQLite, files, the log in a directory, keys in files. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import {
  AgeWrapper,
  type ChunkDisk,
  EmbeddedLog,
  FsChunkStore,
  KeyDirectory,
  LocalUnwrapper,
  LocalWrapper,
  type SqliteThread,
} from '@lucid-sessions/adapters';
import { type Environment, EnvironmentError, readText } from '@lucid-sessions/contract/http';
import type { ProcessorKeys } from '@lucid-sessions/processor';
import type { ChunkStore, MetadataStore, StorageConfig } from '@lucid-sessions/storage';
import type { DataDirectory } from './environment.ts';

/** The system's wall clock, as it is set and corrected while this runs; µs since 1970. */
export const nowUs = (): number => Date.now() * 1000;

/** Throws EnvironmentError for a metadata store this version has no adapter for. */
export async function openStores(
  config: StorageConfig,
  sqlite: SqliteThread,
  disk?: ChunkDisk,
): Promise<{ metadata: MetadataStore; chunks: ChunkStore }> {
  const match = /^sqlite:(.+)$/.exec(config.metadataDb);
  if (match?.[1] === undefined)
    throw new EnvironmentError(
      'SESSION_METADATA_DB',
      'must be sqlite:PATH (other metadata stores have no adapter in this version)',
    );
  return {
    metadata: await sqlite.metadata(resolve(match[1])),
    chunks: new FsChunkStore({ path: resolve(config.chunkStoragePath), ...(disk === undefined ? {} : { disk }) }),
  };
}

export interface OpenKeys {
  directory: KeyDirectory;
  processor: ProcessorKeys;
}

export async function openKeys(directory: DataDirectory, recipients: readonly string[]): Promise<OpenKeys> {
  const keys = await KeyDirectory.open(directory.keys);
  const local = await keys.localKey();
  return {
    directory: keys,
    processor: {
      identity: await keys.identity(),
      wrappers: [new LocalWrapper(local), ...recipients.map((recipient) => new AgeWrapper(recipient))],
      unwrappers: [new LocalUnwrapper(await keys.localKeys())],
    },
  };
}

/** The log's name in its checkpoints: who runs it. */
export const logOrigin = (environment: Environment): string =>
  readText(environment, 'LUCID_LOG_ORIGIN', `${hostname()}/lucid-sessions`);

export async function openLog(keys: KeyDirectory, directory: DataDirectory, origin: string): Promise<EmbeddedLog> {
  return EmbeddedLog.open({ directory: directory.log, signer: await keys.logSigner(origin) });
}
