export type { ContentKind, ContentPiece, ContentSink } from './contents.ts';
export {
  type IndexEvent,
  type IndexEventKind,
  type KeepPolicy,
  keepPolicies,
  type Side,
  textsOf,
  withoutInputs,
} from './events.ts';
export { SessionIndexer, type SessionIndexerOptions, type SessionIndexerState } from './indexer.ts';
export { type KeyName, keyName, modifierNames } from './key-names.ts';
export { compressState, decompressState, packState, unpackState } from './pack-state.ts';
export {
  type ActivitySecond,
  decodeIndexSegment,
  EVENTS_PER_SEGMENT_MAX,
  encodeIndexSegment,
  INDEX_VERSION,
  type IndexSegment,
} from './segment.ts';
export { ResumableSha256 } from './sha256.ts';
