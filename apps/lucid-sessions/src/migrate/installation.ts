/** An installation's stores, opened for a move; nobody else may be at work on them. */
import { entryKinds } from '@lucid-sessions/contract';
import type { Environment } from '@lucid-sessions/kit';
import type { JobQueue, JournalStore } from '@lucid-sessions/pipeline';
import { type ChunkStore, type MetadataStore, readStorageEnv } from '@lucid-sessions/storage';
import { chunkPlace, openChunkStore } from '../server/chunk-stores.ts';
import { type DataDirectory, dataDirectory } from '../server/environment.ts';
import { storesOf } from '../server/stores.ts';

export interface Installation {
  environment: Environment;
  directory: DataDirectory;
  /** As CHUNK_STORAGE_PATH says it. */
  chunkPath: string;
  metadataDb: string;
  metadata: MetadataStore;
  queue: JobQueue;
  journal: JournalStore;
  chunks: ChunkStore;
  close(): Promise<void>;
}

export async function openInstallation(environment: Environment, say: (line: string) => void): Promise<Installation> {
  const directory = dataDirectory(environment);
  // Storage's own reading of them; its secret plays no part here.
  const { metadataDb, chunkStoragePath } = readStorageEnv({
    ...environment,
    LUCID_DATA_DIR: directory.root,
    LUCID_SERVICE_SECRET: 'x'.repeat(32),
  });
  const opened: { dispose(): Promise<void> }[] = [];
  const close = async () => {
    for (const store of opened.splice(0).reverse()) await store.dispose();
  };
  const keep = <T extends { dispose(): Promise<void> }>(store: T): T => {
    opened.push(store);
    return store;
  };
  try {
    const stores = storesOf({ metadataDb, directory, environment, say });
    return {
      environment,
      directory,
      chunkPath: chunkStoragePath,
      metadataDb,
      metadata: keep(await stores.metadata()),
      queue: keep(await stores.queue()),
      journal: keep(await stores.journal()),
      chunks: keep(await openChunkStore(environment, chunkPlace(chunkStoragePath))),
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

export const pageSize = 500;

/** All pages of a list that is walked by what its entries are called. */
export async function* pagesOf<T>(
  list: (after: string, limit: number) => Promise<T[]>,
  nameOf: (entry: T) => string,
): AsyncGenerator<T> {
  for (let after = ''; ; ) {
    const page = await list(after, pageSize);
    yield* page;
    if (page.length < pageSize) return;
    after = nameOf(page.at(-1)!);
  }
}

export const storedSessions = ({ metadata }: Installation) =>
  pagesOf(
    (after, limit) => metadata.listStored(after, limit),
    ({ session }) => session.session_id,
  );

/** Sessions and journals: a journal is written before its session. */
export async function journalIds({ journal }: Installation): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of pagesOf(
    (after, limit) => journal.list(after, limit),
    (each) => each,
  ))
    ids.push(id);
  return ids;
}

/** People and what they use, ended or not. */
export async function* storedEntries({ metadata }: Pick<Installation, 'metadata'>) {
  for (const kind of entryKinds)
    yield* pagesOf(
      (after, limit) => metadata.listEntries({ kind, after, limit }, 0),
      ({ id }) => id,
    );
}
