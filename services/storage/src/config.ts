/** Configuration of the storage service. Read once, in main. */
import {
  type Environment,
  EnvironmentError,
  type InternalService,
  readBoolean,
  readDataDir,
  readInternalService,
  readText,
} from '@lucid-sessions/kit';

export interface StorageConfig extends InternalService {
  chunkStoragePath: string;
  metadataDb: string;
  /** The second store; null: chunks are kept once. */
  chunkCopyPath: string | null;
  /** Whose chunks go there: of every session, or of those that want it. */
  copiedSessions: 'all' | 'asked';
  /** Hash every file again before it is stored: on where files arrive over a network. */
  verifyOnPut: boolean;
}

/** What follows the scheme may hold a password. */
export const readMetadataDb = (environment: Environment): string =>
  readText(environment, 'SESSION_METADATA_DB', `sqlite:${readDataDir(environment)}/metadata.db`);

function readCopiedSessions(environment: Environment): 'all' | 'asked' {
  const text = readText(environment, 'CHUNK_COPY_SESSIONS', 'asked');
  if (text === 'all' || text === 'asked') return text;
  throw new EnvironmentError('CHUNK_COPY_SESSIONS', 'must be all, or asked (backup_enabled or archive_enabled)');
}

export function readStorageEnv(environment: Environment): StorageConfig {
  const service = readInternalService(environment, 'SESSION_STORAGE_PORT');
  return {
    ...service,
    chunkStoragePath: readText(environment, 'CHUNK_STORAGE_PATH', `${service.dataDir}/chunks`),
    metadataDb: readMetadataDb(environment),
    chunkCopyPath: readText(environment, 'CHUNK_COPY_PATH', '') || null,
    copiedSessions: readCopiedSessions(environment),
    verifyOnPut: readBoolean(environment, 'LUCID_VERIFY_ON_PUT', true),
  };
}
