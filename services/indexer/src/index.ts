export type { AlertKeeper } from './alerts/session-alerts.ts';
export { contentBytesMax } from './content-items.ts';
export type { IndexerPlatform } from './platform.ts';
export { SessionIndexes, type SessionIndexesOptions } from './session-indexes.ts';
export type { KeyframePolicy } from './session-keyframes.ts';
