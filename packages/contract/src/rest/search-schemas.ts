/** A search across recordings. Its text can be a secret: it goes in the body, and is written down nowhere. */
import { z } from 'zod';
import { sessionIdSchema, sessionStatuses } from '../models.ts';
import { count, queryTime, reasonText, timestamp } from './fields.ts';

const searchTextMax = 200;
const hitsMax = 1000;

export const searchRequest = z.strictObject({
  text: z.string().min(2).max(searchTextMax).describe('Part of any text of an event, without regard to case.'),
  reason: reasonText.describe('Why somebody looks: stands in the audit log, and in the custody of what was found.'),
  kind: z
    .string()
    .regex(/^[a-z_]{1,40}$/)
    .optional()
    .describe('Events of this kind alone.'),
  inputs: z.boolean().default(false).describe('Also in what was typed and copied: needs `recordings:inputs`.'),
  logon: z
    .boolean()
    .default(false)
    .describe('With `inputs`: also in what was typed before the host said who logged on, which may be a password.'),
  from: queryTime.describe('Sessions that were created at this time or later.'),
  to: queryTime.describe('Sessions that were created before this time, or at it.'),
  user: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('Sessions of this user: at the target, owner, or who created it.'),
  host: z.string().min(1).max(255).optional(),
  project: z.string().max(100).optional(),
  environment: z.string().max(50).optional(),
  status: z.enum(sessionStatuses).optional(),
  recordings_max: z.int().min(1).max(hitsMax).default(100).describe('Recordings with something found.'),
  hits_max: z.int().min(1).max(100).default(10).describe('Of one recording.'),
});

const hit = z.strictObject({
  time_us: count.describe('µs since the session began.'),
  kind: z.string(),
  excerpt: z.string().describe('The text around what was looked for.'),
});

export const searchAnswer = z.strictObject({
  recordings: z
    .array(
      z.strictObject({
        session_id: sessionIdSchema,
        name: z.string(),
        created_at: timestamp,
        host: z.string(),
        user: z.string().nullable().describe('At the target.'),
        recording_url: z.string().describe('Page of the console; `#t=` and seconds lead to a moment.'),
        hits: z.array(hit),
        more: z.boolean().describe('There are more in this recording.'),
      }),
    )
    .describe('Newest first.'),
  searched: count.describe('Recordings that were looked through.'),
  not_indexed: count.describe('Recordings with chunks that are not indexed yet: they are now, so ask again.'),
  on_request: count.describe('Recordings that are shown on request only: they are not searched from here.'),
  unreadable: count.describe('Recordings this host has no key to, or that are damaged.'),
  complete: z.boolean().describe('All recordings of the question were looked at.'),
  continue_at: timestamp
    .nullable()
    .describe('Where it is not complete: `to` of the next question. Recordings of just this time come again.'),
});
