export * from './models.ts';
export * from './ports.ts';
