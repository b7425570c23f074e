/** One server for the tests of a file; each store has a database of its own. */
import { after, test } from 'node:test';
import { MongoStandIn, peersMissing, skipUnlessPeers } from '@lucid-sessions/testkit';
import { MongoDatabase, type MongoDatabaseOptions } from '../src/index.ts';

export interface Mongo {
  server: MongoStandIn;
  /** Of a database that nobody has used yet, unless an address is given. */
  open(url?: string, options?: MongoDatabaseOptions): Promise<MongoDatabase>;
}

/** Runs `work`, which declares the tests; without a server one test says that they were skipped. */
export async function withMongo(name: string, work: (mongo: Mongo) => void): Promise<void> {
  if (peersMissing('mongo').length > 0) {
    test(name, (t) => {
      skipUnlessPeers(t, 'mongo');
    });
    return;
  }
  const server = await MongoStandIn.start();
  const opened: MongoDatabase[] = [];
  after(async () => {
    for (const database of opened) await database.close();
    await server.stop();
  });
  const open = async (url = server.freshUrl(), options: MongoDatabaseOptions = {}) => {
    const database = await MongoDatabase.open(url, options);
    opened.push(database);
    return database;
  };
  work({ server, open });
}
