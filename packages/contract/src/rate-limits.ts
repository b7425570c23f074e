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
  /** By address, not by user: nobody is signed in yet. */
  sign_in: 30,
  /** The same, for what a page asks before anybody is signed in. */
  open: 600,
} as const;
export type RateLimitClass = keyof typeof rateLimitsPerMinute;
export type RateLimits = Record<RateLimitClass, number>;
