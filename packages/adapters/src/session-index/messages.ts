import type { ContentPiece, KeepPolicy } from '@lucid-sessions/recording/session-index';

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

export type IndexRequest =
  | OpenRun
  | {
      kind: 'chunk';
      run: number;
      index: number;
      last: boolean;
      /** Null when the file is missing. */
      file: Uint8Array | null;
      dek: Uint8Array | null;
    }
  | { kind: 'close'; run: number };

export interface IndexedChunk {
  /** Encoded, not encrypted. */
  segment: Uint8Array;
  state: Uint8Array;
  pieces: ContentPiece[];
}

export type IndexAnswer = { call: number; result: IndexedChunk | null } | { call: number; error: string };
