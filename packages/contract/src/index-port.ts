import type {
  ContentKind,
  IndexFound,
  IndexSearch,
  IndexSegment,
  KeyframeList,
  Side,
} from '@lucid-sessions/recording/session-index';

/** Something that crossed clipboard or drive, whole or as much of it as is kept. */
export interface ContentItem {
  kind: ContentKind;
  from: Side;
  /** As the peer named it: never a path of ours. */
  name: string;
  /** Since the session's start. */
  timeUs: number;
  bytes: Uint8Array;
  /** Larger than what is put together: bytes behind the bound are left out. */
  cut: boolean;
}

/** What a search found in one recording. */
export interface SearchedRecording {
  /** In order of time. */
  found: IndexFound[];
  /** There is more than was asked for. */
  more: boolean;
  /** Stored chunks that were looked through; the others are being indexed. */
  searchedChunks: number;
  chunks: number;
}

/**
 * The index of sessions and their keyframes, made beside the line from what is stored. Whatever is asked for and missing is made
 * then. Throws `recordNotFound` where this host holds no key to a recording.
 */
export interface IndexPort {
  /** Storage answered that it has a new chunk of this session. Never waits, and may forget. */
  follow(sessionId: string): void;
  /** Up to the last stored chunk, in order. */
  segments(sessionId: string): AsyncIterable<IndexSegment>;
  /** Looks through as much of the index as there is, and makes the rest behind the answer. */
  search(sessionId: string, search: IndexSearch): Promise<SearchedRecording>;
  /** What is wrong with a rule's pattern, in words; null: nothing. */
  patternProblem(pattern: string): string | null;
  /** What crossed clipboard and drives, read from the chunks themselves. */
  contents(sessionId: string): AsyncIterable<ContentItem>;
  keyframes(sessionId: string): Promise<KeyframeList>;
  /** What the client showed at a moment (null: the end of what is stored), drawn here; `h264` names what H.264 was decoded by. */
  picture(
    sessionId: string,
    wish: { timeUs: number | null; pointer: boolean },
  ): Promise<{ png: Uint8Array; timeUs: number; h264: string | null }>;
  /** Sealed, as it is stored; null where it is missing. */
  keyframe(sessionId: string, number: number): Promise<Uint8Array | null>;
  /** Decodes a recording from its beginning to its end and reports the result. */
  examine(sessionId: string): Promise<void>;
  /** How far a recording was walked through. */
  examined(sessionId: string): Promise<{ walkedChunks: number; chunks: number; walking: boolean }>;
  /** Processor time keyframes have taken in this process, in ms. */
  readonly keyframesUsedMs: number;
}
