export * from './chunk-schemas.ts';
export { patchOf } from './fields.ts';
export * from './index-schemas.ts';
export * from './openapi.ts';
export * from './operations.ts';
export * from './rest-client.ts';
export * from './routes.ts';
export * from './session-schemas.ts';
export * from './system-schemas.ts';
