export * from './pixels.ts';
export * from './screen.ts';
export { type RecordedPdu, SessionDecoder } from './session-decoder.ts';
