/** One row of the route table. */
import type { z } from 'zod';
import type { ErrorName } from '../errors.ts';
import type { RateLimitClass } from '../rate-limits.ts';
import type { Permission } from '../roles.ts';
import type { RestOperation } from './operations.ts';

export interface RestRoute extends RestOperation {
  summary: string;
  tag: 'sessions' | 'targets' | 'recording' | 'chunks' | 'pipeline' | 'evidence' | 'alerts' | 'people' | 'system';
  /** One of them is enough; none: whoever is signed in; null: open to everyone. */
  permissions: readonly Permission[] | null;
  rateLimit: RateLimitClass | null;
  query?: z.ZodType;
  body?: z.ZodType;
  /** The body is a file, read as it comes by the handler. */
  upload?: { contentType: string; bytesMax: number };
  answer: { status: 200 | 201; schema: z.ZodType } | { status: 200; contentType: string };
  errors: readonly ErrorName[];
}
