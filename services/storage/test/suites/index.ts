export * from './chunk-store.ts';
export * from './metadata-store.ts';
export * from './sample.ts';
export * from './session-lists.ts';
export * from './storage-port.ts';
