import type { IndexFound, IndexSearch } from '@lucid-sessions/recording/session-index';

export interface SearchRequest {
  /** Stored segments, unsealed, in order; `whole`: it is one file with all of them. */
  files: Uint8Array[];
  whole: boolean;
  search: IndexSearch;
  /** Answer with a filter and the whole index, if the recording ended. */
  keep: boolean;
}

export interface SearchResult {
  found: IndexFound[];
  more: boolean;
  /** Segments that could be read; those behind the first one that could not are left out. */
  segments: number;
  /** The last chunk of the recording is among them. */
  last: boolean;
  filter: Uint8Array | null;
  whole: Uint8Array | null;
}
