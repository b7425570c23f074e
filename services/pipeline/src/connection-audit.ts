/** What the audit log says of RDP connections: each that joined a session, was lost or ended, and each that did not get in. */
import type { AuditEvent, ConnectionAttempt } from '@lucid-sessions/contract';
import type { Context, PipelineDeps } from './context.ts';
import type { Journal } from './ports.ts';

const textMax = 500;

type ConnectionEvent = Pick<AuditEvent, 'eventId' | 'timestampUs' | 'eventType' | 'resourceId' | 'ipAddress'> & {
  details: Record<string, unknown>;
  errorMessage?: string;
};

async function append(deps: Pick<PipelineDeps, 'storage'>, { errorMessage, ...event }: ConnectionEvent): Promise<void> {
  await deps.storage.appendAudit({
    userId: null,
    userAgent: null,
    success: errorMessage === undefined,
    errorMessage: errorMessage?.slice(0, textMax) ?? null,
    ...event,
  });
}

const clientOf = ({ clientName, clientUser }: Journal) => ({ client_name: clientName, client_user: clientUser });

/** The event's id comes from what it tells: the same report again is the same event. */
export const auditStarted = (
  context: Context,
  journal: Journal,
  joined: { atUs: number; connectionId: string; clientAddress: string; targetAddress: string; reconnects: boolean },
): Promise<void> =>
  append(context.deps, {
    eventId: `connection_started:${joined.connectionId}`,
    timestampUs: joined.atUs,
    eventType: 'connection_started',
    resourceId: journal.sessionId,
    ipAddress: joined.clientAddress,
    details: {
      ...clientOf(journal),
      target_address: joined.targetAddress,
      recorder_id: journal.recorderId,
      reconnected: joined.reconnects,
    },
  });

export const auditLost = (context: Context, journal: Journal, atUs: number, message: string): Promise<void> =>
  append(context.deps, {
    eventId: `connection_lost:${journal.connectionId ?? journal.sessionId}`,
    timestampUs: atUs,
    eventType: 'connection_lost',
    resourceId: journal.sessionId,
    ipAddress: journal.clientAddress,
    details: { ...clientOf(journal), message },
  });

export const auditEnded = (
  context: Context,
  journal: Journal,
  end: { atUs: number; reason: string; message: string },
): Promise<void> =>
  append(context.deps, {
    eventId: `connection_ended:${journal.sessionId}:${end.reason}:${end.atUs}`,
    timestampUs: end.atUs,
    eventType: journal.imported ? 'import_ended' : 'connection_ended',
    resourceId: journal.sessionId,
    ipAddress: journal.clientAddress,
    details: { ...clientOf(journal), reason: end.reason, message: end.message.slice(0, textMax) },
  });

export const auditAttempt = (deps: Pick<PipelineDeps, 'storage'>, attempt: ConnectionAttempt): Promise<void> =>
  append(deps, {
    eventId: `connection_attempt:${attempt.connectionId}`,
    timestampUs: attempt.atUs,
    eventType: attempt.outcome === 'refused' ? 'connection_refused' : 'connection_failed',
    resourceId: attempt.sessionId,
    ipAddress: attempt.clientAddress,
    errorMessage: attempt.message,
    details: {
      outcome: attempt.outcome,
      reason: attempt.reason,
      client_name: attempt.clientName,
      count: attempt.count,
    },
  });
