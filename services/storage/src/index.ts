export * from './census.ts';
export * from './checks.ts';
export * from './config.ts';
export * from './http.ts';
export * from './leaf.ts';
export * from './recovery.ts';
export * from './service.ts';
export * from './stores.ts';
