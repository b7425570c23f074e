export * from './doors.ts';
export * from './environment.ts';
export * from './keyed-queue.ts';
export * from './log-files.ts';
export * from './service-http.ts';
export * from './variables.ts';
