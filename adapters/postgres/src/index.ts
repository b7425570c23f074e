export { PostgresCoordination } from './postgres-coordination.ts';
export { PostgresDatabase, type PostgresOptions } from './postgres-database.ts';
export { PostgresJobQueue } from './postgres-job-queue.ts';
export { PostgresJournalStore } from './postgres-journal-store.ts';
export { postgresMetadataStore } from './postgres-metadata-store.ts';
export { prepareSchema } from './postgres-schema.ts';
export { type PostgresAddress, parsePostgresUrl, sslModes, tellPostgres } from './postgres-url.ts';
