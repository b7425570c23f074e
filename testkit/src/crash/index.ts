export * from './victim.ts';
export * from './witness.ts';
