import { coordinationSuite, jobQueueSuite, journalStoreSuite } from '@lucid-sessions/pipeline/suites';
import { metadataStoreSuite, sessionListSuite } from '@lucid-sessions/storage/suites';
import { PostgresCoordination, PostgresJobQueue, PostgresJournalStore, postgresMetadataStore } from '../src/index.ts';
import { databaseAt, serverForTests } from './support.ts';

const server = await serverForTests();
if (server !== null) {
  const empty = () => databaseAt(server.url());
  metadataStoreSuite('postgres', async () => postgresMetadataStore(await empty()));
  sessionListSuite('postgres', async () => postgresMetadataStore(await empty()));
  jobQueueSuite('postgres', async () => new PostgresJobQueue(await empty()));
  journalStoreSuite('postgres', async () => new PostgresJournalStore(await empty()));
  coordinationSuite('postgres', async () => new PostgresCoordination(await empty()));
}
