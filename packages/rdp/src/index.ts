export * from './channel/index.ts';
export * from './gateway/index.ts';
export * from './pdu/index.ts';
export * from './sequence/index.ts';
