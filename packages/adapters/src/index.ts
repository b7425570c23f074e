export * from './fs-chunk-store.ts';
export * from './fs-direct-file.ts';
export { nodeCrypto } from './node-crypto.ts';
export * from './sqlite-database.ts';
export * from './sqlite-metadata-store.ts';
