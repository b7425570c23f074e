/** What the Session API answers, as its route table says. */
import type { RestAnswer, RestBody } from '@lucid-sessions/contract/rest-client';

export type Session = RestAnswer<'getSession'>;
export type SessionList = RestAnswer<'listSessions'>;
export type Pagination = SessionList['pagination'];
/** As far as the console reads it. */
export type Chunk = Omit<RestAnswer<'getChunk'>, 'storage_path' | 'file_sha256' | 'status' | 'processing_info'> & {
  status: string;
};
export type ChunkList = { chunks: Chunk[]; pagination: Pagination };
export type AuditList = RestAnswer<'listAudit'>;
export type SearchQuestion = RestBody<'searchRecordings'>;
export type FoundRecordings = RestAnswer<'searchRecordings'>;
export type AuditEntry = AuditList['events'][number];

/** Answers whose fields are shown as they come. */
export type Facts = Record<string, unknown>;
