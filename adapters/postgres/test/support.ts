/** A server for a file of tests, and databases in it. */
import { after, test } from 'node:test';
import { PostgresServer, type PostgresServerOptions, peersMissing, skipUnlessPeers } from '@lucid-sessions/testkit';
import { PostgresDatabase, type PostgresOptions, parsePostgresUrl, prepareSchema } from '../src/index.ts';

/** Null where there is no PostgreSQL to start: one test says how to get it. */
export async function serverForTests(options: PostgresServerOptions = {}): Promise<PostgresServer | null> {
  if (peersMissing('postgres').length > 0) {
    test('PostgreSQL', (t) => void skipUnlessPeers(t, 'postgres'));
    return null;
  }
  const server = await PostgresServer.start(options);
  after(() => server.stop());
  return server;
}

export async function databaseAt(
  url: string,
  options: Omit<PostgresOptions, 'address'> = {},
): Promise<PostgresDatabase> {
  const address = parsePostgresUrl(url);
  const database = new PostgresDatabase({ address, ...options });
  await prepareSchema(database, { schema: address.schema, waitMs: 30_000 });
  return database;
}
