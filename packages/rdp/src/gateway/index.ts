export * from './errors.ts';
export { gatewayBytes, gatewayText } from './fields.ts';
export * from './packet.ts';
export * from './server.ts';
