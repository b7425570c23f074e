export * from './certificate.ts';
export * from './client.ts';
export * from './desktop.ts';
export * from './keyboard.ts';
