export { type ConnectOptions, connectRedis, evictionProblem } from './redis-connection.ts';
export { RedisJobWaker, type RedisJobWakerOptions } from './redis-job-waker.ts';
export { RedisRateLimiter, type RedisRateLimiterOptions } from './redis-rate-limiter.ts';
export { parseRedisUrl, type RedisAddress, type RedisNode } from './redis-url.ts';
