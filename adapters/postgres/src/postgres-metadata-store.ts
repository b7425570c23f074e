import type { MetadataStore } from '@lucid-sessions/storage';
import { chunkRows } from './postgres-chunks.ts';
import type { PostgresDatabase } from './postgres-database.ts';
import { entryRows } from './postgres-entries.ts';
import { recordRows } from './postgres-records.ts';
import { sessionRows } from './postgres-sessions.ts';

export function postgresMetadataStore(database: PostgresDatabase): MetadataStore {
  database.share();
  return {
    ...sessionRows(database),
    ...chunkRows(database),
    ...recordRows(database),
    ...entryRows(database),
    async ping() {
      await database.rows('SELECT 1');
    },
    dispose: () => database.dispose(),
  };
}
