/** Rules and alerts as the REST API gives them. */
import { z } from 'zod';
import { alertIdPattern, alertRuleFields, alertRulesMax, alertSeverities } from '../alerts.ts';
import { sessionIdSchema } from '../models.ts';
import { count, queryInteger, timestamp } from './fields.ts';

const ruleId = z.uuid();

export const alertRuleRequest = alertRuleFields;
export const alertRuleView = alertRuleFields.extend({
  rule_id: ruleId,
  created_at: timestamp,
  created_by: z.string(),
  changed_at: timestamp,
});
export const alertRuleList = z.strictObject({ rules: z.array(alertRuleView).max(alertRulesMax) });
export const removedAlertRule = z.strictObject({ rule_id: ruleId, removed: z.literal(true) });

export const alertView = z.strictObject({
  alert_id: z.string().regex(alertIdPattern),
  session_id: sessionIdSchema,
  session_name: z.string(),
  host: z.string(),
  person: z.string().nullable().describe('Who worked there, as far as the session says.'),
  rule_id: ruleId,
  rule_name: z.string().describe('As it was called then.'),
  severity: z.enum(alertSeverities),
  at: timestamp.describe('When it happened, by the recorder’s clock.'),
  time_us: count.describe('µs since the session began.'),
  chunk: count
    .nullable()
    .describe('`sequence_number` of the chunk that holds the moment. Null: it is of the session’s beginning.'),
  more: count.describe('Further ones of this rule in the same chunk.'),
  ended_session: z.boolean().describe('The session was ended because of it.'),
  recording_url: z.string().describe('The moment, in the console.'),
});

export const listAlertsQuery = z.strictObject({
  session_id: sessionIdSchema.optional(),
  after: z
    .string()
    .regex(/^(?:\d{16}-[0-9a-f]{16})?$/)
    .default('')
    .describe('`next` of the page before.'),
  limit: queryInteger(1, 500, 100),
});
export const alertList = z.strictObject({
  alerts: z.array(alertView).describe('Latest first.'),
  next: z.string().nullable(),
});
