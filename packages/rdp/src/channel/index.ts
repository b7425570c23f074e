export * from './clipboard.ts';
export * from './drive.ts';
export * from './dynamic-channel.ts';
export * from './inspected.ts';
export * from './sound.ts';
export * from './static-channel.ts';
export * from './stream-inspector.ts';
