export * from './job-queue.ts';
export * from './journal-store.ts';
