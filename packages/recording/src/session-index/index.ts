export type { ContentKind, ContentPiece, ContentSink } from './contents.ts';
export {
  checkedEvent,
  type IndexEvent,
  type IndexEventKind,
  type KeepPolicy,
  keepPolicies,
  type Side,
  textsOf,
  withoutInputs,
  withoutLogon,
} from './events.ts';
export { SessionIndexer, type SessionIndexerOptions, type SessionIndexerState } from './indexer.ts';
export {
  encodeKeyframe,
  KEYFRAMES_MAX,
  type KeyframeBase,
  type KeyframeHead,
  type KeyframePlace,
  keyframeBase,
  keyframeHead,
  keyframeName,
  keyframeState,
  type OpenedKeyframe,
  openKeyframe,
  openKeyframes,
} from './keyframe.ts';
export {
  decodeKeyframeList,
  emptyKeyframeList,
  encodeKeyframeList,
  type KeyframeList,
  type KeyframesEnd,
  type ListedKeyframe,
} from './keyframe-list.ts';
export { deltaLength } from './pack-delta.ts';
export { compressState, decompressState, packState, unpackState } from './pack-state.ts';
export { type IndexFound, type IndexSearch, searchedPart, searchIndexText, searchSegments } from './search.ts';
export {
  type ActivitySecond,
  decodeIndexSegment,
  decodeWholeIndex,
  EVENTS_PER_SEGMENT_MAX,
  encodeIndexSegment,
  encodeWholeIndex,
  INDEX_VERSION,
  type IndexSegment,
  SEGMENT_BYTES_MAX,
  segmentHeadOf,
  segmentsOfText,
  WHOLE_BYTES_MAX,
} from './segment.ts';
export { ResumableSha256 } from './sha256.ts';
export { TextFilter, textFilterOf } from './text-filter.ts';
