export type { CacheLimits } from './caches.ts';
export { type OrderColors, OrdersDecoder, type OrdersSnapshot } from './orders-decoder.ts';
