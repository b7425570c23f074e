export * from './environment.ts';
export * from './service-http.ts';
