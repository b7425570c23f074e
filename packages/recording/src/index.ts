export {
  CAPTURE_BYTES_MAX,
  type Capture,
  type CaptureRecord,
  decodeCapture,
  encodeCapture,
  openCapture,
} from './capture-file.ts';
export {
  type CompressionName,
  compressionIds,
  compressionName,
  compressionNames,
  type Decompressor,
  portableDecompressor,
} from './compression.ts';
export {
  blankInputs,
  CHUNK_AGE_US_MAX,
  clearInputFlags,
  countFrames,
  eachInput,
  FRAME_BODY_BYTES_MAX,
  FRAME_HEADER_BYTES,
  type Frame,
  type FrameKind,
  frameBytesAt,
  frameFlags,
  frameKinds,
  PAYLOAD_BYTES_MAX,
  PAYLOAD_HEADER_BYTES,
  type PayloadHeader,
  readFrames,
  readPayload,
  readPayloadHeader,
  writeFrameHeader,
  writeFrameTime,
  writePayloadHeader,
} from './frame.ts';
export { FrameWriter } from './frame-writer.ts';
export { decodeNote, encodeNote, type GatewayNote, NOTE_BYTES_MAX } from './note.ts';
export { REPLAY_RULES, type ReplayEnd, type ReplayState, type ReplayTally, replayStateOf } from './replay/state.ts';
export * from './trace.ts';
