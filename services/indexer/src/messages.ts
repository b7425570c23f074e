import type { ReadingKey } from '@lucid-sessions/evidence';
import type { ReplayTally } from '@lucid-sessions/recording/replay';
import type { ContentPiece, KeepPolicy, KeyframesEnd } from '@lucid-sessions/recording/session-index';
import type { KeyframeWalkStart, MadeKeyframe } from './keyframe-walk.ts';

/** One walk through a recording in the index thread. */
export interface OpenRun {
  kind: 'open';
  run: number;
  /** Packed state to go on from; null at the first chunk. */
  state: Uint8Array | null;
  input: KeepPolicy;
  clipboard: KeepPolicy;
  /** Copy clipboard and drive contents into the answers. */
  collect: boolean;
}

interface ChunkRequest {
  run: number;
  index: number;
  /** Null when the file is missing. */
  file: Uint8Array | null;
  key: ReadingKey | null;
}

/** What is asked of the thread, by kind. */
export interface IndexRequests {
  open: Omit<OpenRun, 'kind'>;
  chunk: ChunkRequest & {
    last: boolean;
    /** Answer with the state behind it. */
    carry: boolean;
  };
  /** A walk that makes keyframes; `close` ends it as it ends a run. */
  walk: KeyframeWalkStart & { run: number };
  walkChunk: ChunkRequest & {
    again: boolean;
    /** Cores this may take, as long as nobody waits for it (`hurry`); null: as fast as it goes. */
    coresMax: number | null;
  };
  /** Draws up to moments somebody looks at; begins at the last of a chain of keyframes, or at the first frame. */
  look: { run: number; chain: Uint8Array[] };
  lookChunk: ChunkRequest & { untilUs: number };
  takePicture: { run: number; pointer: boolean; imported: boolean };
  /** Somebody waits for the run's walk now. */
  hurry: { run: number };
  close: { run: number };
}
export type IndexRequestKind = keyof IndexRequests;
export type IndexRequest = { [K in IndexRequestKind]: { kind: K } & IndexRequests[K] }[IndexRequestKind];

/** What it answers. */
export interface IndexResults {
  open: null;
  chunk: IndexedChunk;
  walk: null;
  walkChunk: WalkedChunk;
  look: null;
  lookChunk: LookedChunk;
  takePicture: TakenPicture;
  hurry: null;
  close: null;
}

export interface LookedChunk {
  /** The moment lies inside the chunk: what comes later of it is still to be drawn. */
  reached: boolean;
  /** Of the last frame drawn. */
  timeUs: number;
  /** Why nothing more can be drawn. */
  problem: string | null;
}

export interface TakenPicture {
  /** Empty where there is no desktop yet. */
  png: Uint8Array;
  /** What decoded H.264; null where there was none. */
  h264: string | null;
}

export interface IndexedChunk {
  /** Encoded, not encrypted. */
  segment: Uint8Array;
  /** Empty where it was not asked for, and behind the last chunk. */
  state: Uint8Array;
  pieces: ContentPiece[];
}

export interface WalkedChunk {
  keyframes: MadeKeyframe[];
  /** No state behind this chunk can be trusted: why. */
  ended: KeyframesEnd | null;
  /** Lean keyframes before here are of no use. */
  usesHistory: boolean;
  /** Processor time it took, programs it started included. */
  usedMs: number;
  /** What could be drawn up to the end of this chunk. */
  replay: ReplayTally;
}
