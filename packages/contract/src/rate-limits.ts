/** Requests a user may send per minute, by kind of work: far above what a person at the console or a loop over the command line does. */
export const rateLimitsPerMinute = {
  create: 60,
  read: 1000,
  update: 300,
  delete: 60,
  chunks: 1000,
  pipeline: 120,
  statistics: 600,
  pictures: 300,
  bulk: 30,
  /** By address, not by user: nobody is signed in yet. */
  sign_in: 30,
  /** The same, for what a page asks before anybody is signed in. */
  open: 600,
} as const;
export type RateLimitClass = keyof typeof rateLimitsPerMinute;
export type RateLimits = Record<RateLimitClass, number>;
