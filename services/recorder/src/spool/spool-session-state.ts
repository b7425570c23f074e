import type { OpenSegment } from './open-segment.ts';
import type { SegmentContents } from './segment-reader.ts';
import type { SessionEnd } from './spool-messages.ts';

/** A closed segment that still needs its receipt. */
export interface ClosedSegment {
  index: number;
  path: string;
  fileBytes: number;
  final: boolean;
  /** Its payload, when it is in a chunk slot already. */
  ready: { slot: number; contents: SegmentContents } | null;
}

/** What the spool knows of one session. */
export interface SpooledSession {
  /** The relaying thread's name for it; -1 after a recovery. */
  number: number;
  sessionId: string;
  /** Which of the session's recordings it is; 0: not known. */
  recording: number;
  directory: string;
  current: OpenSegment | null;
  /** In order; the first is the next to be sent to the processor. */
  closed: ClosedSegment[];
  nextIndex: number;
  framesAccepted: number;
  framesDurable: number;
  end: SessionEnd | null;
  finalClosed: boolean;
  inFlight: boolean;
  /** The final chunk has its receipt. */
  sealed: boolean;
  attempts: number;
  retryAtUs: number;
  /** The last segment that was stored, kept as long as none is behind it: an empty directory would say nothing. */
  keptPath: string | null;
  /** Set while frames can't be persisted. */
  lost: { fromUs: number; framesLost: number; reason: string; retryAtUs: number } | null;
}

export function newSession(number: number, sessionId: string, recording: number, directory: string): SpooledSession {
  return {
    number,
    sessionId,
    recording,
    directory,
    current: null,
    closed: [],
    nextIndex: 0,
    framesAccepted: 0,
    framesDurable: 0,
    end: null,
    finalClosed: false,
    inFlight: false,
    sealed: false,
    attempts: 0,
    retryAtUs: 0,
    keptPath: null,
    lost: null,
  };
}
