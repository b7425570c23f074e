export * from './bit-writer.ts';
export * from './clearcodec-encoder.ts';
export * from './gfx-messages.ts';
export * from './progressive-encoder.ts';
export * from './rfx-encoder.ts';
export * from './rlgr-encoder.ts';
export * from './test-pictures.ts';
export * from './wavelet-encoder.ts';
