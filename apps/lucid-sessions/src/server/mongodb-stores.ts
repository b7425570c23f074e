/** The stores in MongoDB. Its driver is loaded where it is used: an embedded installation starts without it. */
import { LucidError } from '@lucid-sessions/contract';
import { EnvironmentError } from '@lucid-sessions/kit';
import type { MongoDatabase } from '@lucid-sessions/mongodb';
import { checkDatabaseFiles, passwordIn, readDatabaseOptions } from './database-options.ts';
import type { Scheme, StorePlace } from './store-scheme.ts';

const loaded = () => import('@lucid-sessions/mongodb');

/** Told with its variable, and without its value: that holds a password. */
async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof LucidError)) throw error;
    throw new EnvironmentError('SESSION_METADATA_DB', `names a MongoDB that can't be used: ${error.message}`, {
      cause: error,
    });
  }
}

async function openDatabase({ metadataDb, environment }: StorePlace): Promise<MongoDatabase> {
  const { caPath, passwordPath, connectionsMax, waitMs } = readDatabaseOptions(environment);
  const { MongoDatabase } = await loaded();
  return MongoDatabase.open(metadataDb, {
    poolSize: connectionsMax,
    waitMs,
    ...(caPath === null ? {} : { caFile: caPath }),
    ...(passwordPath === null ? {} : { password: await passwordIn(passwordPath) }),
  });
}

export const mongodb: Scheme = {
  async check({ metadataDb, environment }) {
    await told(async () => (await loaded()).checkMongoUrl(metadataDb));
    await checkDatabaseFiles(readDatabaseOptions(environment));
  },
  open(place) {
    let opening: Promise<MongoDatabase> | undefined;
    const database = () => {
      opening ??= openDatabase(place);
      return told(() => opening!);
    };
    return {
      isEmbedded: false,
      async metadata() {
        return new (await loaded()).MongoMetadataStore(await database());
      },
      async queue() {
        return new (await loaded()).MongoJobQueue(await database());
      },
      async journal() {
        return new (await loaded()).MongoJournalStore(await database());
      },
      async coordination() {
        return new (await loaded()).MongoCoordination(await database());
      },
    };
  },
};
