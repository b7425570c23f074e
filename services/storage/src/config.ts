/** Configuration of the storage service. Read once, in main. */
import { type Environment, readBoolean, readPort, readSecret, readText } from '@lucid-sessions/kit';

export interface StorageConfig {
  host: string;
  port: number;
  serviceSecret: string;
  dataDir: string;
  chunkStoragePath: string;
  metadataDb: string;
  /** Hash every file again before it is stored: on where files arrive over a network. */
  verifyOnPut: boolean;
}

export function readStorageEnv(environment: Environment): StorageConfig {
  const dataDir = readText(environment, 'LUCID_DATA_DIR', './data');
  return {
    host: readText(environment, 'LUCID_BIND_HOST', '127.0.0.1'),
    port: readPort(environment, 'SESSION_STORAGE_PORT', 8086),
    serviceSecret: readSecret(environment, 'LUCID_SERVICE_SECRET', 32),
    dataDir,
    chunkStoragePath: readText(environment, 'CHUNK_STORAGE_PATH', `${dataDir}/chunks`),
    metadataDb: readText(environment, 'SESSION_METADATA_DB', `sqlite:${dataDir}/metadata.db`),
    verifyOnPut: readBoolean(environment, 'LUCID_VERIFY_ON_PUT', true),
  };
}
