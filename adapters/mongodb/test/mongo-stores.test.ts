import { coordinationSuite, jobQueueSuite, journalStoreSuite } from '@lucid-sessions/pipeline/suites';
import { metadataStoreSuite, sessionListSuite } from '@lucid-sessions/storage/suites';
import { MongoCoordination, MongoJobQueue, MongoJournalStore, MongoMetadataStore } from '../src/index.ts';
import { withMongo } from './open-mongo.ts';

await withMongo('the stores in MongoDB', ({ open }) => {
  metadataStoreSuite('mongodb', async () => new MongoMetadataStore(await open()));
  sessionListSuite('mongodb', async () => new MongoMetadataStore(await open()));
  jobQueueSuite('mongodb', async () => new MongoJobQueue(await open()));
  journalStoreSuite('mongodb', async () => new MongoJournalStore(await open()));
  coordinationSuite('mongodb', async () => new MongoCoordination(await open()));
});
