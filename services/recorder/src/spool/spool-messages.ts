/** What the relaying thread and the spool thread say to each other. All plain values: they cross by structured clone. */
import type { ChunkToSeal, EndReason, RecordingStatistics } from '@lucid-sessions/contract';

/** How a session ended; kept in its last segment so that a crash after the end does not turn it into a crash. */
export interface SessionEnd {
  atUs: number;
  reason: EndReason;
  message: string;
  failed: boolean;
  statistics: RecordingStatistics;
}

/** One batch of whole frames in a slot of the shared pool. */
export interface AppendItem {
  session: number;
  slot: number;
  bytes: number;
  framesCount: number;
  updatesCount: number;
  /** Arrival of the oldest frame, `process.hrtime` in µs: from it the time to durable is measured. */
  oldestUs: number;
}

/**
 * `as_asked`; `not_final`: the chunk was stored before a crash, when it was not the last one yet; `chain_closed`: the chain
 * had its end before the crash, and this empty chunk is not needed.
 */
export type StoredAs = 'as_asked' | 'not_final' | 'chain_closed';

/** Asks for frames of a session that is being recorded. */
export interface LiveRequest {
  id: number;
  sessionId: string;
  /** Number of the first frame wanted. */
  afterFrame: number;
  waitMs: number;
}

/**
 * `stored`: the spool has no such frame any more, `firstFrame` is the first it has; `ended`: there are no more;
 * `unknown`: there is no such session here.
 */
export interface LiveAnswer {
  state: 'recording' | 'ended' | 'stored' | 'unknown';
  /** The chunk the frames are of; an answer never holds frames of two. */
  chunkIndex: number;
  firstFrame: number;
  framesCount: number;
  frames: Uint8Array<ArrayBuffer>;
}

export type SpoolCommand =
  | { kind: 'open'; session: number; sessionId: string; recording: number }
  | { kind: 'append'; items: AppendItem[] }
  /** Closes the segment and opens the next one. */
  | { kind: 'rotate'; session: number; gapBefore: boolean }
  | { kind: 'end'; session: number; end: SessionEnd }
  /** The chunk is stored: its segment may go. */
  | { kind: 'sealed'; sessionId: string; index: number; slot: number; stored: StoredAs }
  | { kind: 'not_sealed'; sessionId: string; index: number; slot: number }
  /** Everything about the session is known elsewhere: its directory may go. */
  | { kind: 'forget'; sessionId: string }
  | { kind: 'statistics' }
  | { kind: 'live'; request: LiveRequest }
  | { kind: 'close' };

/** A closed segment's payload, in slot `slot` of the chunk slots. */
export interface ReadyChunk extends Omit<ChunkToSeal, 'payload'> {
  firstFrameNumber: number;
  payloadBytes: number;
  slot: number;
}

export type SpoolFailureCode = 'spool_full' | 'disk_full' | 'disk_failed';

export interface SpoolStatistics {
  /** Bytes of segments on disk. */
  spooledBytes: number;
  sessionsCount: number;
  closedSegmentsCount: number;
  recordsWritten: number;
  bytesWritten: number;
  syncRounds: number;
  /** Arrival to durable of the latest batches, ms. */
  durableMs: number[];
}

export interface RecoveredSession {
  sessionId: string;
  /** Which of the session's recordings it is; 0: not known. */
  recording: number;
  /** null: it was still recording when the recorder died. */
  end: SessionEnd | null;
  lastWrittenUs: number;
  framesCount: number;
}

export type SpoolEvent =
  | { kind: 'recovered'; sessions: RecoveredSession[]; unreadable: string[] }
  | { kind: 'ready'; chunk: ReadyChunk }
  | { kind: 'failed'; session: number; code: SpoolFailureCode; message: string; fromUs: number }
  | { kind: 'gap'; session: number; fromUs: number; toUs: number; framesLost: number; reason: string }
  /** The final chunk has its receipt. */
  | { kind: 'complete'; sessionId: string; chunksCount: number }
  | { kind: 'statistics'; statistics: SpoolStatistics }
  | { kind: 'live'; id: number; answer: LiveAnswer }
  | { kind: 'closed' };
