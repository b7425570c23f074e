export * from './pdu/index.ts';
