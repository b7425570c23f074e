export * from './doors.ts';
export * from './environment.ts';
export * from './keyed-queue.ts';
export * from './line.ts';
export * from './log-files.ts';
export * from './service-http.ts';
export * from './token-bucket.ts';
export * from './variables.ts';
