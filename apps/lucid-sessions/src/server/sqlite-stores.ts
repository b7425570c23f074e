/** `sqlite:PATH` as SESSION_METADATA_DB: a file each, in one thread. */
import { resolve } from 'node:path';
import { MemoryCoordination } from '@lucid-sessions/pipeline';
import { SqliteThread } from '@lucid-sessions/sqlite';
import { checkFile } from './data-access.ts';
import { opened, type Scheme } from './store-scheme.ts';

/** The file of `sqlite:PATH`; null: it is another store. */
export function sqlitePath(metadataDb: string): string | null {
  const path = /^sqlite:(.+)$/.exec(metadataDb)?.[1];
  return path === undefined ? null : resolve(path);
}

export const sqlite: Scheme = {
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
