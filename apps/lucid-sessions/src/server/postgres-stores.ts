/** `postgres://…` as SESSION_METADATA_DB: all stores in one database, over one pool of connections. */
import { readFile } from 'node:fs/promises';
import { type Environment, EnvironmentError, readInteger, readText } from '@lucid-sessions/kit';
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
import { checkFile } from './data-access.ts';
import { opened, type Scheme, type StorePlace, type Stores } from './store-scheme.ts';

const passwordCharsMax = 1024;

interface Configuration {
  address: PostgresAddress;
  caPath: string | null;
  passwordPath: string | null;
  connectionsMax: number;
  waitMs: number;
}

const pathOf = (environment: Environment, variable: string): string | null =>
  readText(environment, variable, '') || null;

function readPostgres({ metadataDb, environment }: StorePlace): Configuration {
  let address: PostgresAddress;
  try {
    address = parsePostgresUrl(metadataDb);
  } catch (error) {
    // Its cause is left out: nothing of the address may be seen.
    throw new EnvironmentError('SESSION_METADATA_DB', error instanceof Error ? error.message : 'can not be read');
  }
  const wait = { min: 0, max: 3600, fallback: 60 };
  return {
    address,
    caPath: pathOf(environment, 'SESSION_METADATA_DB_CA'),
    passwordPath: pathOf(environment, 'SESSION_METADATA_DB_PASSWORD_FILE'),
    connectionsMax: readInteger(environment, 'LUCID_DATABASE_CONNECTIONS', { min: 1, max: 1000, fallback: 10 }),
    waitMs: readInteger(environment, 'LUCID_DATABASE_WAIT_SECONDS', wait) * 1000,
  };
}

/** Read at each new connection, so that a new password needs no restart. */
const passwordIn = (path: string) => async (): Promise<string> =>
  (await readFile(path, 'utf8')).slice(0, passwordCharsMax).replace(/\r?\n[\s\S]*$/, '');

async function openDatabase(place: StorePlace): Promise<PostgresDatabase> {
  const { address, caPath, passwordPath, connectionsMax, waitMs } = readPostgres(place);
  const database = new PostgresDatabase({
    address,
    connectionsMax,
    ...(caPath === null ? {} : { ca: await readFile(caPath, 'utf8') }),
    ...(passwordPath === null ? {} : { password: passwordIn(passwordPath) }),
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
  async check(place) {
    const { caPath, passwordPath } = readPostgres(place);
    if (caPath !== null) await checkReadable('SESSION_METADATA_DB_CA', caPath);
    if (passwordPath !== null) await checkReadable('SESSION_METADATA_DB_PASSWORD_FILE', passwordPath);
  },
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

async function checkReadable(variable: string, path: string): Promise<void> {
  await readFile(path).catch(async (error: unknown) => {
    await checkFile(variable, path);
    throw new EnvironmentError(variable, `names ${path}, which can't be read`, { cause: error });
  });
}
