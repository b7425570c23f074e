export * from './avc/index.ts';
export * from './bitmap/index.ts';
export * from './gfx/index.ts';
export { importedText, markImported } from './imported-mark.ts';
export { NotDrawn, type NotDrawnKind, type NotDrawnSnapshot } from './not-drawn.ts';
export { OneColour, type OneColourCount, type OneColourSnapshot } from './one-colour.ts';
export { paintScreen } from './paint-screen.ts';
export * from './pixels.ts';
export { type CompactState, compactState, expandedState } from './predicted-state.ts';
export * from './rfx/index.ts';
export * from './screen.ts';
export { h264MissingKind } from './session/graphics-channel.ts';
export {
  beginsConnection,
  isPreconnection,
  pictureOf,
  type RecordedPdu,
  SessionDecoder,
  type SessionDecoderOptions,
  type SessionSnapshot,
} from './session-decoder.ts';
export * from './windows/index.ts';
