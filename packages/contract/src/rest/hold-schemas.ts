/** Legal holds. */
import { z } from 'zod';
import { sessionIdSchema, sessionStatuses } from '../models.ts';
import { count, pagination, queryInteger, reasonText, timestamp } from './fields.ts';

const reference = reasonText.max(200).describe('Number of the matter, as those who handle it call it.');
const holdId = z.uuid();

export const legalHoldSchema = z.strictObject({
  hold_id: holdId,
  reference: z.string(),
  reason: z.string(),
  set_by: z.string(),
  set_at: timestamp,
});

export const setHoldRequest = z.strictObject({
  reference,
  reason: reasonText,
  hold_id: holdId
    .optional()
    .describe('Of the caller’s making: sent again, it is the same hold; once cleared, it is not set again.'),
});
export const heldAnswer = z.strictObject({ session_id: sessionIdSchema, hold: legalHoldSchema });

export const clearHoldRequest = z.strictObject({ hold_id: holdId, reason: reasonText });
export const clearedHold = z.strictObject({
  session_id: sessionIdSchema,
  hold_id: holdId,
  holds_left: count.describe('Holds the session still has.'),
});

export const listHoldsQuery = z.strictObject({
  session_id: sessionIdSchema.optional().describe('Of this session alone.'),
  limit: queryInteger(1, 100, 50),
  offset: queryInteger(0, 1_000_000_000, 0),
});
export const holdList = z.strictObject({
  sessions: z.array(
    z.strictObject({
      session_id: sessionIdSchema,
      name: z.string(),
      status: z.enum(sessionStatuses),
      created_at: timestamp,
      holds: z.array(legalHoldSchema),
    }),
  ),
  pagination,
});
