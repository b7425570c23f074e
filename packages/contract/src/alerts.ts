/** Rules over what happens in sessions, and the alerts they raise. */
import { z } from 'zod';

export const alertSeverities = ['low', 'medium', 'high', 'critical'] as const;
export type AlertSeverity = (typeof alertSeverities)[number];

/** Texts a pattern is looked for in. */
export const alertPlaces = ['typed', 'clipboard', 'windows', 'files'] as const;
export type AlertPlace = (typeof alertPlaces)[number];

/** Ways on which files and texts leave the target. */
export const alertWays = ['clipboard', 'drives', 'printers'] as const;
export type AlertWay = (typeof alertWays)[number];

export const alertRulesMax = 100;
export const alertPatternMax = 500;
/** Of a volume within a session: what went over is kept by the minute. */
export const alertMinutesMax = 240;
/** So many alerts of one rule in one chunk; the last one says how many more there were. */
export const alertsPerChunkMax = 10;
/** So many of one session are counted. */
export const sessionAlertsMax = 1000;
/** An alert is kept so long; the audit log keeps its row. */
export const alertDaysKept = 400;

const line = /^[^\p{Cc}]*$/u;
const atLeastOne = <T extends readonly [string, ...string[]]>(names: T) =>
  z
    .array(z.enum(names))
    .min(1)
    .max(names.length)
    .refine((given) => new Set(given).size === given.length, 'must name each once');
const clockTime = z.string().regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'must be HH:MM');

function isTimeZone(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone }) !== null;
  } catch {
    return false;
  }
}

export const alertConditionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('pattern'),
    pattern: z
      .string()
      .min(1)
      .max(alertPatternMax)
      .regex(line, 'must be one line')
      .describe('A regular expression in the syntax of RE2: no back references, no look-around, linear time.'),
    in: atLeastOne(alertPlaces).default([...alertPlaces]),
    match_case: z.boolean().default(false),
    before_logon: z
      .boolean()
      .default(false)
      .describe(
        'Also in what was typed before the host said who logged on, which may be a password. Some hosts never say.',
      ),
  }),
  z.strictObject({
    kind: z.literal('hours'),
    time_zone: z.string().max(64).refine(isTimeZone, 'must be a time zone such as Europe/Berlin'),
    days: z
      .array(z.int().min(1).max(7))
      .min(1)
      .max(7)
      .default([1, 2, 3, 4, 5, 6, 7])
      .describe('Days on which work is as usual: 1 Monday to 7 Sunday.'),
    from: clockTime.describe('Work is as usual from then on; an end before it is of the next day.'),
    to: clockTime,
  }),
  z.strictObject({
    kind: z.literal('volume'),
    of: z.enum(['bytes', 'files']),
    through: atLeastOne(alertWays).default([...alertWays]),
    more_than: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
    minutes: z.int().min(1).max(alertMinutesMax),
  }),
  z.strictObject({
    kind: z.literal('sessions'),
    more_than: z.int().min(1).max(1000).describe('Sessions of one person that began within so many minutes.'),
    minutes: z.int().min(1).max(1440),
  }),
  z.strictObject({
    kind: z.literal('rare_target'),
    by: z.enum(['person', 'anyone']).describe('Who has not used the target: this person, or nobody at all.'),
    days: z.int().min(1).max(3650),
  }),
]);
export type AlertCondition = z.output<typeof alertConditionSchema>;
export type AlertConditionKind = AlertCondition['kind'];

/** Judged where the session's index is made, chunk by chunk; all others when it begins. */
export const indexedConditions = ['pattern', 'hours', 'volume'] as const satisfies readonly AlertConditionKind[];

export const alertRuleFields = z.strictObject({
  name: z.string().trim().min(1).max(100).regex(line, 'must be one line').describe('Told wherever the alert is told.'),
  severity: z.enum(alertSeverities),
  condition: alertConditionSchema,
  end_session: z.boolean().default(false).describe('Ends the session too, if it still runs.'),
  enabled: z.boolean().default(true),
});
export type AlertRuleFields = z.output<typeof alertRuleFields>;

/** As an entry of kind `alert_rule` keeps it, by the rule's id. */
export type AlertRule = AlertRuleFields & { created_us: number; created_by: string; changed_us: number };

/** What is carried from chunk to chunk of a session. */
export interface AlertProgress {
  /** Minute of the session, then bytes and files by clipboard, drives and printers. In order. */
  minutes: number[][];
  /** By rule and its version: the minute it was raised in last. */
  raised: Record<string, number>;
}
export const noAlertProgress: AlertProgress = { minutes: [], raised: {} };

/** What a rule was found to say of a chunk. */
export interface AlertHit {
  ruleId: string;
  /** Since the session's start. */
  timeUs: number;
  /** µs since 1970. */
  atUs: number;
  /** Further ones in this chunk, which raise no alert of their own. */
  more: number;
}

/** As an entry of kind `alert` keeps it; its owner is the session. */
export interface Alert {
  rule_id: string;
  rule_name: string;
  severity: AlertSeverity;
  /** Null: it is of the session's beginning. */
  chunk_index: number | null;
  time_us: number;
  at_us: number;
  more: number;
  ended_session: boolean;
  session_name: string;
  host: string;
  person: string | null;
}

const instantMax = 9_000_000_000_000_000;
/** The id begins so that later ones come first. */
export const alertIdOf = (atUs: number, hash: string): string =>
  `${String(instantMax - atUs).padStart(16, '0')}-${hash.slice(0, 16)}`;
export const alertIdPattern = /^\d{16}-[0-9a-f]{16}$/;
