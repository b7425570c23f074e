export * from './acceptor.ts';
export * from './browser-front.ts';
export * from './client-memory.ts';
export * from './connector.ts';
export * from './default-capabilities.ts';
export * from './domain-mapper.ts';
export {
  channelFrames,
  dataFrame,
  indicationFrame,
  mcsFrame,
  requestFrame,
  SERVER_USER_ID,
  type Step,
  x224Frame,
} from './frames.ts';
export * from './front.ts';
export * from './hold.ts';
export * from './splice.ts';
export * from './target.ts';
