/** `postgres://…` as SESSION_METADATA_DB: all stores in one database, over one pool of connections. */
import { readFile } from 'node:fs/promises';
import { EnvironmentError } from '@lucid-sessions/kit';
import {
  type PostgresAddress,
  PostgresCoordination,
  PostgresDatabase,
  PostgresJobQueue,
  PostgresJournalStore,
  parsePostgresUrl,
  postgresMetadataStore,
  prepareSchema,
  tellPostgres,
} from '@lucid-sessions/postgres';
import { checkDatabaseFiles, type DatabaseOptions, passwordIn, readDatabaseOptions } from './database-options.ts';
import { opened, type Scheme, type StorePlace, type Stores } from './store-scheme.ts';

interface Configuration extends DatabaseOptions {
  address: PostgresAddress;
}

function readPostgres({ metadataDb, environment }: StorePlace): Configuration {
  let address: PostgresAddress;
  try {
    address = parsePostgresUrl(metadataDb);
  } catch (error) {
    // Its cause is left out: nothing of the address may be seen.
    throw new EnvironmentError('SESSION_METADATA_DB', error instanceof Error ? error.message : 'can not be read');
  }
  return { address, ...readDatabaseOptions(environment) };
}

async function openDatabase(place: StorePlace): Promise<PostgresDatabase> {
  const { address, caPath, passwordPath, connectionsMax, waitMs } = readPostgres(place);
  const database = new PostgresDatabase({
    address,
    connectionsMax,
    ...(caPath === null ? {} : { ca: await readFile(caPath, 'utf8') }),
    // At each new connection, so that a new password needs no restart.
    ...(passwordPath === null ? {} : { password: () => passwordIn(passwordPath) }),
  });
  try {
    const warnings = await prepareSchema(database, { schema: address.schema, waitMs });
    for (const warning of warnings) place.say?.(`database: ${warning}`);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}

export const postgres: Scheme = {
  check: async (place) => checkDatabaseFiles(readPostgres(place)),
  open(place): Stores {
    const name = tellPostgres(readPostgres(place).address);
    let opening: Promise<PostgresDatabase> | undefined;
    const database = () => {
      opening ??= opened('SESSION_METADATA_DB', name, () => openDatabase(place));
      return opening;
    };
    return {
      isEmbedded: false,
      metadata: async () => postgresMetadataStore(await database()),
      queue: async () => new PostgresJobQueue(await database()),
      journal: async () => new PostgresJournalStore(await database()),
      coordination: async () => new PostgresCoordination(await database()),
    };
  },
};
