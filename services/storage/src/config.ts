/** Configuration of the storage service. Read once, in main. */
import {
  type Environment,
  type InternalService,
  readBoolean,
  readDataDir,
  readInternalService,
  readText,
} from '@lucid-sessions/kit';

export interface StorageConfig extends InternalService {
  chunkStoragePath: string;
  metadataDb: string;
  /** Hash every file again before it is stored: on where files arrive over a network. */
  verifyOnPut: boolean;
}

/** What follows the scheme may hold a password. */
export const readMetadataDb = (environment: Environment): string =>
  readText(environment, 'SESSION_METADATA_DB', `sqlite:${readDataDir(environment)}/metadata.db`);

export function readStorageEnv(environment: Environment): StorageConfig {
  const service = readInternalService(environment, 'SESSION_STORAGE_PORT');
  return {
    ...service,
    chunkStoragePath: readText(environment, 'CHUNK_STORAGE_PATH', `${service.dataDir}/chunks`),
    metadataDb: readMetadataDb(environment),
    verifyOnPut: readBoolean(environment, 'LUCID_VERIFY_ON_PUT', true),
  };
}
