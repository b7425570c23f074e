export * from './blockchain-core.ts';
export * from './capture.ts';
export * from './certificate.ts';
export * from './client.ts';
export * from './desktop.ts';
export * from './keyboard.ts';
export * from './peers.ts';
