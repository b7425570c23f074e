export * from './sqlite-database.ts';
export * from './sqlite-job-queue.ts';
export * from './sqlite-journal-store.ts';
export * from './sqlite-metadata-store.ts';
export { SqliteThread, type SqliteThreadOptions } from './sqlite-thread.ts';
