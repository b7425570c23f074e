export { type PointerMasks, pointerPicture } from './masks.ts';
export { PointerDecoder, type PointerSnapshot } from './pointer-decoder.ts';
