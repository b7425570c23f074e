/** What every kind of store there is offers to storage and pipeline. */
import { type Environment, EnvironmentError } from '@lucid-sessions/kit';
import { accessProblem } from '@lucid-sessions/kit/secret-file';
import type { Coordination, JobQueue, JournalStore } from '@lucid-sessions/pipeline';
import type { MetadataStore } from '@lucid-sessions/storage';
import type { DataDirectory } from './environment.ts';

/** Each is opened when it is asked for, once, and disposed of by whoever asked. */
export interface Stores {
  /** Files of this installation: locked, backed up, and helped out by the reserve when their disk is full. */
  readonly isEmbedded: boolean;
  metadata(): Promise<MetadataStore>;
  queue(): Promise<JobQueue>;
  journal(): Promise<JournalStore>;
  coordination(): Promise<Coordination>;
}

/** Who asks: storage keeps metadata, the pipeline the rest. */
export type StoreUser = 'storage' | 'pipeline';

export interface StorePlace {
  /** The value of SESSION_METADATA_DB. */
  metadataDb: string;
  directory: DataDirectory;
  environment: Environment;
  /** What an operator should see; nothing secret. */
  say?: (line: string) => void;
}

export interface Scheme {
  /** Before anything is made. Throws EnvironmentError. */
  check(place: StorePlace, users: ReadonlySet<StoreUser>): Promise<void>;
  open(place: StorePlace): Stores;
}

/** A file that can't be opened is told with its variable. */
export async function opened<T>(variable: string, path: string, opening: () => T | Promise<T>): Promise<T> {
  try {
    return await opening();
  } catch (error) {
    if (error instanceof EnvironmentError) throw error;
    const why = accessProblem(error) ?? (error instanceof Error ? error.message : String(error));
    throw new EnvironmentError(variable, `names ${path}, which can't be opened: ${why}`, { cause: error });
  }
}
