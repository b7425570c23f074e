/** Who gets the reserve of a full disk: whoever looks and deletes, never a recording. */
import { dirname, resolve } from 'node:path';
import type { AuditEvent } from '@lucid-sessions/contract';
import type { FileReserve } from '@lucid-sessions/files';
import { type Environment, isBucket } from '@lucid-sessions/kit';
import type { TransparencyLog } from '@lucid-sessions/pipeline';
import { type MetadataStore, readStorageEnv } from '@lucid-sessions/storage';
import { sqlitePath } from './sqlite-stores.ts';

const recordingsMethods: ReadonlySet<string> = new Set<keyof MetadataStore>([
  'insertSession',
  'appendChunk',
  'completeChunk',
  'acquireLease',
]);

const strangersEvents: ReadonlySet<unknown> = new Set<AuditEvent['eventType']>([
  'connection_refused',
  'connection_failed',
]);

/** Calls that make a recording grow, and what strangers cause: they wait for room instead. */
export function isRecordings(method: string, values: readonly unknown[]): boolean {
  // Anybody can knock at the RDP door: what is told of that must not use up what looking and deleting need.
  if (method === 'appendAudit') return strangersEvents.has((values[0] as Partial<AuditEvent> | null)?.eventType);
  if (method === 'putRecord') return values[1] === 'open';
  if (method === 'putWraps') return Array.isArray(values[1]) && values[1].length > 0;
  return recordingsMethods.has(method);
}

/** A batch of the log is several files: room for them is made before the first. */
export const reservedLog = (log: TransparencyLog, reserve: Pick<FileReserve, 'ensure'>): TransparencyLog => ({
  ...log,
  async append(entry) {
    await reserve.ensure();
    return log.append(entry);
  },
});

/** Where storage writes beside the data directory. */
export function storageDirectories(environment: Environment): string[] {
  const { metadataDb, chunkStoragePath, chunkCopyPath } = readStorageEnv(environment);
  const database = sqlitePath(metadataDb);
  const chunks = [chunkStoragePath, ...(chunkCopyPath === null ? [] : [chunkCopyPath])];
  const directories = chunks.filter((path) => !isBucket(path)).map((path) => resolve(path));
  return [...(database === null ? [] : [dirname(database)]), ...directories];
}

const restoreMs = 5000;

/** Keeps room back again where no storage service does. Answers how to stop. */
export function restoring(reserve: Pick<FileReserve, 'restore'>): () => Promise<void> {
  const timer = setInterval(() => void reserve.restore(), restoreMs);
  timer.unref();
  return async () => clearInterval(timer);
}
