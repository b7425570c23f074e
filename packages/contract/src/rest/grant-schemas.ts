/** Grants of single recordings: somebody is let see one beside what their scope shows. */
import { z } from 'zod';
import { sessionIdSchema } from '../models.ts';
import { userIdPattern } from '../people.ts';
import { grantDaysMax, grantsMax } from '../scope.ts';
import { reasonText, timestamp } from './fields.ts';

export const grantRequest = z.strictObject({
  user_id: z.string().regex(userIdPattern, 'must be a user id').describe('Whose account it is.'),
  days: z.int().min(1).max(grantDaysMax).describe('From now on; granted again, it ends then.'),
  reason: reasonText.describe('Stands in the audit log and in the list.'),
});

export const grantView = z.strictObject({
  session_id: sessionIdSchema,
  user_id: z.string(),
  reason: z.string(),
  granted_by: z.string(),
  granted_at: timestamp,
  expires_at: timestamp,
});
export const grantList = z.strictObject({ grants: z.array(grantView).max(grantsMax) });
export const revokedGrant = z.strictObject({
  session_id: sessionIdSchema,
  user_id: z.string(),
  revoked: z.literal(true),
});
