/** An audit event and its place in the chain, in the words of docs/format.md (14); stores keep the text of rows as it is. */
import type { AuditEvent } from './ports.ts';

/** As a row of the chain says it. */
export interface ChainedEvent {
  event_id: string;
  timestamp_us: number;
  event_type: string;
  user_id: string | null;
  resource_id: string | null;
  ip_address: string | null;
  user_agent: string | null;
  success: boolean;
  error_message: string | null;
  details: Record<string, unknown>;
}

export const chainedEventOf = (event: AuditEvent): ChainedEvent => ({
  event_id: event.eventId,
  timestamp_us: event.timestampUs,
  event_type: event.eventType,
  user_id: event.userId,
  resource_id: event.resourceId,
  ip_address: event.ipAddress,
  user_agent: event.userAgent,
  success: event.success,
  error_message: event.errorMessage,
  details: event.details,
});

/** Of a stored document: a row of the chain, or, where it is from before there was one, the event itself. */
export function auditEventOf(document: string): AuditEvent {
  const stored = JSON.parse(document) as AuditEvent | { sequence: number; event: ChainedEvent };
  if (!('event' in stored)) return stored;
  const { sequence, event } = stored;
  return {
    eventId: event.event_id,
    timestampUs: event.timestamp_us,
    eventType: event.event_type,
    userId: event.user_id,
    resourceId: event.resource_id,
    ipAddress: event.ip_address,
    userAgent: event.user_agent,
    success: event.success,
    errorMessage: event.error_message,
    details: event.details,
    sequence,
  };
}
