/** The database thread: opens stores and calls their methods, one after the other. */
import { parentPort } from 'node:worker_threads';
import { toLucidError } from '@lucid-sessions/contract';
import { SqliteJobQueue } from './sqlite-job-queue.ts';
import { SqliteJournalStore } from './sqlite-journal-store.ts';
import { SqliteMetadataStore } from './sqlite-metadata-store.ts';
import type { SqliteAnswer, SqliteRequest } from './sqlite-thread-messages.ts';

type Methods = Record<string, (...values: unknown[]) => Promise<unknown>>;

const opened: Methods[] = [];

const openers = {
  metadata: (path: string) => new SqliteMetadataStore(path),
  job_queue: (path: string) => new SqliteJobQueue(path),
  journal: (path: string) => new SqliteJournalStore(path),
};

async function answer(request: SqliteRequest): Promise<unknown> {
  if (request.kind === 'open') return opened.push(openers[request.storeKind](request.path) as unknown as Methods) - 1;
  const store = opened[request.store]!;
  return store[request.method]!(...request.values);
}

parentPort?.on('message', async ({ call, request }: { call: number; request: SqliteRequest }) => {
  let said: SqliteAnswer;
  try {
    said = { call, result: await answer(request) };
  } catch (thrown) {
    const { code, message, status, details } = toLucidError(thrown);
    said = { call, error: { code, message, status, details } };
  }
  parentPort?.postMessage(said);
});
