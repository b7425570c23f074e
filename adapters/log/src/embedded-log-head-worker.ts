/** The thread of a log's head: opens it and calls its methods, one after the other. */
import { parentPort } from 'node:worker_threads';
import { type LogHeadStore, SqliteLogHeadStore } from './embedded-log-head.ts';
import { LogError, type LogErrorCode } from './log-error.ts';

export type LogHeadMethod = Exclude<keyof LogHeadStore, 'isShared'>;

export type LogHeadRequest = { method: 'open'; path: string } | { method: LogHeadMethod; values: unknown[] };

export type LogHeadAnswer = { call: number; result: unknown } | { call: number; error: LogHeadProblem };

/** `code` is the system's, or SQLite's, where there is one. */
export type LogHeadProblem =
  | { kind: 'log'; code: LogErrorCode; message: string }
  | { kind: 'other'; code: unknown; message: string };

type Methods = Record<LogHeadMethod, (...values: unknown[]) => unknown>;

let heads: SqliteLogHeadStore | null = null;

function answer(request: LogHeadRequest): unknown {
  if (request.method !== 'open') return (heads as unknown as Methods)[request.method](...request.values);
  heads = new SqliteLogHeadStore(request.path);
  return null;
}

function problemOf(thrown: unknown): LogHeadProblem {
  if (thrown instanceof LogError) return { kind: 'log', code: thrown.code, message: thrown.message };
  const { code, message = String(thrown) } = thrown as Partial<NodeJS.ErrnoException>;
  return { kind: 'other', code, message };
}

parentPort?.on('message', ({ call, request }: { call: number; request: LogHeadRequest }) => {
  let said: LogHeadAnswer;
  try {
    said = { call, result: answer(request) };
  } catch (thrown) {
    said = { call, error: problemOf(thrown) };
  }
  parentPort?.postMessage(said);
});
