/** Asking to see a recording, agreeing, and the shares of its key. */
import { z } from 'zod';
import { sessionIdSchema } from '../models.ts';
import { viewingLevels, viewingMinutesMax, viewingUses } from '../viewing.ts';
import { timestamp } from './fields.ts';

const words = z
  .string()
  .min(1)
  .max(500)
  .regex(/^(?:[^\p{Cc}]|\n)*\S(?:[^\p{Cc}]|\n)*$/u, 'must be text without control characters');

export const askViewingRequest = z.strictObject({
  reason: words.describe('Why; it is signed into the custody log.'),
  use: z
    .enum(viewingUses)
    .default('window')
    .describe('`once`: one playback, export, live view or extraction. `window`: as many as wanted until it ends.'),
  minutes: z
    .int()
    .min(1)
    .max(viewingMinutesMax)
    .optional()
    .describe('How long it may be seen from when it is granted; the installation may allow less.'),
});

export const viewingSchema = z.strictObject({
  viewing_id: z.uuid(),
  session_id: sessionIdSchema,
  asked_by: z.string(),
  reason: z.string(),
  use: z.enum(viewingUses),
  minutes: z.int(),
  asked_at: timestamp,
  state: z.enum(['waiting', 'granted', 'refused', 'used']),
  approval: z.boolean().describe('Whether a second person has to agree.'),
  decision: z
    .strictObject({ decision: z.enum(['approve', 'refuse']), by: z.string(), reason: z.string(), at: timestamp })
    .nullable(),
  shares: z
    .strictObject({
      threshold: z.int(),
      given: z.array(z.strictObject({ index: z.int(), by: z.string() })),
      holders: z
        .array(z.strictObject({ index: z.int(), recipient: z.string(), wrapped: z.base64() }))
        .describe('What each holder opens with their own identity (docs/format.md, scheme `share`).'),
      unlock_recipients: z
        .array(z.string())
        .describe('age recipients a share is sealed to on its way here; their identities are in memory only.'),
    })
    .nullable()
    .describe('null: the key of this recording is not shared.'),
  granted_at: timestamp.nullable(),
  expires_at: timestamp,
});
export const viewingList = z.strictObject({ viewings: z.array(viewingSchema).max(1000) });
export const sessionViewingList = viewingList.extend({
  needs: z
    .strictObject({
      level: z.enum(viewingLevels),
      threshold: z
        .int()
        .nullable()
        .describe('How many holders of its key have to give their share; null: it is not shared.'),
      minutes_max: z.int(),
    })
    .nullable()
    .describe('What it takes to see this recording, beside the right to; null: nothing.'),
});

export const decideViewingRequest = z.strictObject({
  decision: z.enum(['approve', 'refuse']).describe('Refusing one that was granted takes it back.'),
  reason: words,
});

export const giveShareRequest = z.union([
  z.strictObject({
    share: z.string().min(20).max(300).describe('A share as `lucid-sessions keys open-share` prints it.'),
  }),
  z.strictObject({ box: z.base64().max(16_384).describe('The same, as an age file to all `unlock_recipients`.') }),
]);
