export { compressState, decompressState, packState, unpackState } from '@lucid-sessions/recording/session-index';
