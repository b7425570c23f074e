export * from './environment.ts';
export * from './log-files.ts';
export * from './service-http.ts';
