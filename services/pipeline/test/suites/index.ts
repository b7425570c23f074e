export * from './coordination.ts';
export * from './job-queue.ts';
export * from './journal-store.ts';
