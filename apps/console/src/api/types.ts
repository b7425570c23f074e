/** What the Session API answers, as far as the console reads it. Fields it doesn't need are not named here. */
import type { SessionDocument } from '@lucid-sessions/contract';

export type Session = Omit<SessionDocument, 'version' | 'pipeline_state'> & { recording_url?: string };

export interface Pagination {
  total: number;
  limit: number;
  offset: number;
  has_next: boolean;
  has_previous: boolean;
}

export interface SessionList {
  sessions: Session[];
  pagination: Pagination;
}

export interface Chunk {
  chunk_id: string;
  session_id: string;
  /** From 1. */
  sequence_number: number;
  timestamp: string;
  status: string;
  size_bytes: number;
  duration_seconds: number;
  /** Null: not known. */
  frame_count: number | null;
  merkle_hash: string;
  compression_ratio: number;
  quality_score: number;
  encryption_key_id: string;
}

export interface ChunkList {
  chunks: Chunk[];
  pagination: Pagination;
}

export interface AuditEntry {
  event_id: string;
  timestamp: string;
  event_type: string;
  user_id: string | null;
  resource_id: string | null;
  ip_address: string | null;
  success: boolean;
  error_message: string | null;
  details: Record<string, unknown>;
}

export interface AuditList {
  events: AuditEntry[];
  pagination?: Pagination;
}

/** Answers whose fields are shown as they come. */
export type Facts = Record<string, unknown>;
