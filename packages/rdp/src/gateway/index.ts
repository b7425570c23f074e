export * from './errors.ts';
export * from './packet.ts';
export * from './server.ts';
