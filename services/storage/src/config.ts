/** Configuration of the storage service. Read once, in main. */
import {
  type Environment,
  EnvironmentError,
  type InternalService,
  readBoolean,
  readDataDir,
  readInteger,
  readInternalService,
  readText,
} from '@lucid-sessions/kit';
import type { ScrubSettings } from './scrubber.ts';

export interface StorageConfig extends InternalService {
  chunkStoragePath: string;
  metadataDb: string;
  /** The second store; null: chunks are kept once. */
  chunkCopyPath: string | null;
  /** Whose chunks go there: of every session, or of those that want it. */
  copiedSessions: 'all' | 'asked';
  /** Hash every file again before it is stored: on where files arrive over a network. */
  verifyOnPut: boolean;
  /** Null: stored chunks are read again by `lucid-sessions scrub` alone. */
  scrub: ScrubSettings | null;
}

/** What follows the scheme may hold a password. */
export const readMetadataDb = (environment: Environment): string =>
  readText(environment, 'SESSION_METADATA_DB', `sqlite:${readDataDir(environment)}/metadata.db`);

function readCopiedSessions(environment: Environment): 'all' | 'asked' {
  const text = readText(environment, 'CHUNK_COPY_SESSIONS', 'asked');
  if (text === 'all' || text === 'asked') return text;
  throw new EnvironmentError('CHUNK_COPY_SESSIONS', 'must be all, or asked (backup_enabled or archive_enabled)');
}

function readScrub(environment: Environment): ScrubSettings | null {
  const whole = (variable: string, min: number, max: number, fallback: number) =>
    readInteger(environment, variable, { min, max, fallback });
  const days = whole('LUCID_SCRUB_DAYS', 0, 3650, 30);
  const bytesPerSecondMax = whole('LUCID_SCRUB_MB_PER_SECOND', 1, 1000, 8) * 1024 * 1024;
  const repair = readBoolean(environment, 'LUCID_SCRUB_REPAIR', true);
  return days === 0 ? null : { days, bytesPerSecondMax, repair };
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
    scrub: readScrub(environment),
  };
}
