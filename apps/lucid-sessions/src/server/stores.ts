/** Where metadata, journal, jobs and what is agreed on are kept: SESSION_METADATA_DB says it by its scheme. */
import { resolve } from 'node:path';
import { EnvironmentError } from '@lucid-sessions/kit';
import { type Coordination, type JobQueue, type JournalStore, MemoryCoordination } from '@lucid-sessions/pipeline';
import { SqliteThread } from '@lucid-sessions/sqlite';
import type { MetadataStore } from '@lucid-sessions/storage';
import { accessProblem, checkFile } from './data-access.ts';
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
}

interface Scheme {
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

/** The file of `sqlite:PATH`; null: it is another store. */
export function sqlitePath(metadataDb: string): string | null {
  const path = /^sqlite:(.+)$/.exec(metadataDb)?.[1];
  return path === undefined ? null : resolve(path);
}

const sqlite: Scheme = {
  async check({ metadataDb, directory }, users) {
    if (users.has('storage')) await checkFile('SESSION_METADATA_DB', sqlitePath(metadataDb)!);
    if (users.has('pipeline'))
      for (const path of [directory.pipelineJobs, directory.pipelineJournal]) await checkFile('LUCID_DATA_DIR', path);
  },
  open({ metadataDb, directory }) {
    const metadata = sqlitePath(metadataDb)!;
    let thread: SqliteThread | undefined;
    const opening = () => {
      // A commit waits for the disk: not in the thread that relays.
      thread ??= new SqliteThread();
      return thread;
    };
    return {
      isEmbedded: true,
      metadata: () => opened('SESSION_METADATA_DB', metadata, () => opening().metadata(metadata)),
      queue: () => opened('LUCID_DATA_DIR', directory.pipelineJobs, () => opening().jobQueue(directory.pipelineJobs)),
      journal: () =>
        opened('LUCID_DATA_DIR', directory.pipelineJournal, () => opening().journal(directory.pipelineJournal)),
      coordination: async () => new MemoryCoordination(),
    };
  },
};

const schemes: Readonly<Record<string, Scheme>> = { sqlite };

function schemeOf({ metadataDb }: StorePlace): Scheme {
  const scheme = schemes[/^([a-z]+):./.exec(metadataDb)?.[1] ?? ''];
  if (scheme === undefined) throw new EnvironmentError('SESSION_METADATA_DB', 'must be sqlite:PATH');
  return scheme;
}

export const checkStores = (place: StorePlace, users: ReadonlySet<StoreUser>): Promise<void> =>
  schemeOf(place).check(place, users);

export const storesOf = (place: StorePlace): Stores => schemeOf(place).open(place);
