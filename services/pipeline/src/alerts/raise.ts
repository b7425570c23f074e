/** An alert: a row of the audit log's chain, whose head is logged, then what it ends, then what people list. */
import { createHash } from 'node:crypto';
import {
  type Alert,
  alertDaysKept,
  alertIdOf,
  alertSeverities,
  chunkIdOf,
  isLucidError,
  type SessionDocument,
  sessionAlertsMax,
} from '@lucid-sessions/contract';
import { stop } from '../commands.ts';
import { type Context, editSession } from '../context.ts';
import { onSession } from '../session-work.ts';
import type { KnownRule } from './known-rules.ts';

export interface Moment {
  /** Null: the session's beginning. */
  chunkIndex: number | null;
  timeUs: number;
  atUs: number;
  more: number;
}

const dayUs = 86_400_000_000;

/** Who works there, as far as anybody knows. */
export const personOf = ({ came_by, client_user, rdp_config, created_by }: SessionDocument): string | null =>
  came_by?.user || client_user || rdp_config.username || created_by;

/** The same rule and moment is the same alert, whoever finds it again. */
function idOf(sessionId: string, { ruleId }: KnownRule, { timeUs, atUs }: Moment): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([ruleId, sessionId, timeUs]))
    .digest('hex');
  return alertIdOf(atUs, hash);
}

async function endSession(context: Context, sessionId: string, { name }: KnownRule): Promise<boolean> {
  try {
    await stop(context, sessionId, `ended by the rule “${name}”`);
    return true;
  } catch (thrown) {
    if (isLucidError(thrown, 'notInThisState') || isLucidError(thrown, 'sessionNotFound')) return false;
    throw thrown;
  }
}

/** False: it had been raised. After a crash anywhere in here it is done once more, to the same end. */
export async function raise(
  context: Context,
  session: SessionDocument,
  rule: KnownRule,
  moment: Moment,
): Promise<boolean> {
  const { storage } = context.deps;
  const { session_id: sessionId } = session;
  const { chunkIndex, timeUs, atUs, more } = moment;
  const id = idOf(sessionId, rule, moment);
  if ((await storage.getEntry({ kind: 'alert', id })).entry !== null) return false;
  // What matched is in the recording alone: this row goes to a SIEM in clear.
  await storage.appendAudit({
    eventId: `alert_raised:${id}`,
    timestampUs: context.deps.nowUs(),
    eventType: 'alert_raised',
    userId: null,
    resourceId: sessionId,
    ipAddress: null,
    userAgent: null,
    success: true,
    errorMessage: null,
    details: {
      alert_id: id,
      rule_id: rule.ruleId,
      rule: rule.name,
      severity: rule.severity,
      at_us: atUs,
      time_us: timeUs,
      chunk_id: chunkIndex === null ? null : chunkIdOf(sessionId, chunkIndex),
      ends_session: rule.end_session,
    },
  });
  const ended = rule.end_session && (await endSession(context, sessionId, rule));
  const value: Alert = {
    rule_id: rule.ruleId,
    rule_name: rule.name,
    severity: rule.severity,
    chunk_index: chunkIndex,
    time_us: timeUs,
    at_us: atUs,
    more,
    ended_session: ended,
    session_name: session.name,
    host: session.rdp_config.host,
    person: personOf(session),
  };
  const entry = { kind: 'alert', id, owner: sessionId, version: 1, untilUs: atUs + alertDaysKept * dayUs } as const;
  return (await storage.putEntry({ ...entry, value: { ...value } })).stored;
}

/** Counted anew, so that it is right however often it is done. */
export async function summarise(context: Context, sessionId: string): Promise<void> {
  const { entries } = await context.deps.storage.listEntries({
    kind: 'alert',
    owner: sessionId,
    after: '',
    limit: sessionAlertsMax,
  });
  if (entries.length === 0) return;
  const found = new Set(entries.map(({ value }) => (value as unknown as Alert).severity));
  const highest = alertSeverities.findLast((severity) => found.has(severity)) ?? 'low';
  await onSession(context, sessionId, (context) =>
    editSession(context, sessionId, (session) => ({ ...session, alerts: { count: entries.length, highest } })),
  );
}
