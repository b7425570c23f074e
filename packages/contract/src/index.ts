export * from './errors.ts';
export * from './models.ts';
export * from './ports.ts';
export * from './rate-limits.ts';
export * from './roles.ts';
