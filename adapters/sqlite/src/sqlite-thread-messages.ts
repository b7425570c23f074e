/** What a service and its database thread say to each other. */
export type SqliteStoreKind = 'metadata' | 'job_queue' | 'journal';

export type SqliteRequest =
  | { kind: 'open'; storeKind: SqliteStoreKind; path: string }
  | { kind: 'call'; store: number; method: string; values: unknown[] };

export type SqliteAnswer =
  | { call: number; result: unknown }
  | { call: number; error: { code: string; message: string; status: number; details: Record<string, unknown> } };
