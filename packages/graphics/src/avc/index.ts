export {
  type Avc420BitmapStream,
  type Avc444BitmapStream,
  avc420BitmapStream,
  avc444BitmapStream,
} from './avc-stream.ts';
export { ChromaVotes, type MainChroma } from './chroma-votes.ts';
export {
  decodeAlone,
  type H264Decoder,
  type H264DecoderFactory,
  H264MissingError,
  type YuvFrame,
} from './h264-decoder.ts';
export {
  isIdr,
  nalAccessUnitDelimiter,
  nalIdrSlice,
  nalPps,
  nalSlice,
  nalSps,
  nalType,
  picturesCount,
  splitNals,
} from './h264-nal.ts';
export { readSequenceParameters, type SequenceParameters } from './h264-parameters.ts';
export { inspectAccessUnit, type WebCodecs, WebCodecsH264 } from './webcodecs-h264.ts';
