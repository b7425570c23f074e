/** Requests a user may send per minute, by kind of work. */
export const rateLimitsPerMinute = {
  create: 10,
  read: 100,
  update: 50,
  delete: 5,
  chunks: 1000,
  pipeline: 20,
  statistics: 60,
  pictures: 300,
  bulk: 5,
} as const;
export type RateLimitClass = keyof typeof rateLimitsPerMinute;
export type RateLimits = Record<RateLimitClass, number>;
