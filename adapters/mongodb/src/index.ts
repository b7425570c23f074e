export { type ChainDoc, MongoChains } from './mongo-chains.ts';
export type { ChunkDoc } from './mongo-chunk-rows.ts';
export { MongoCoordination } from './mongo-coordination.ts';
export { checkMongoUrl, MongoDatabase, type MongoDatabaseOptions } from './mongo-database.ts';
export { MongoJobQueue } from './mongo-job-queue.ts';
export { MongoJournalStore } from './mongo-journal-store.ts';
export { MongoMetadataStore } from './mongo-metadata-store.ts';
export { mongoCollections } from './mongo-schema.ts';
