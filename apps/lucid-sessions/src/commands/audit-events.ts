/** `audit list` and `audit send`: the audit log for a person, and once more for a SIEM. */
import type { AuditEvent } from '@lucid-sessions/contract';
import type { Environment } from '@lucid-sessions/kit';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output, table } from '../cli/output.ts';
import { openEventSinks } from '../server/event-sinks.ts';

export interface AuditFilter {
  since?: string;
  until?: string;
  type?: string;
  user?: string;
  session?: string;
}

type AuditAnswer = Awaited<ReturnType<ApiClient['rest']['listAudit']>>;
type AuditQuery = NonNullable<NonNullable<Parameters<ApiClient['rest']['listAudit']>[0]>['query']>;
type AuditRow = AuditAnswer['events'][number];

const pageMax = 500;

function pageOf(api: ApiClient, filter: AuditFilter, limit: number, offset: number): Promise<AuditAnswer> {
  const { since, until, type, user, session } = filter;
  const query = {
    limit,
    offset,
    ...(since === undefined ? {} : { start_time: since }),
    ...(until === undefined ? {} : { end_time: until }),
    ...(type === undefined ? {} : { event_type: type as NonNullable<AuditQuery['event_type']> }),
    ...(user === undefined ? {} : { user_id: user }),
    ...(session === undefined ? {} : { resource_id: session }),
  };
  return api.rest.listAudit({ query });
}

export async function listAudit(api: ApiClient, output: Output, given: AuditFilter & { limit: number }): Promise<void> {
  const events: AuditRow[] = [];
  let total = 0;
  while (events.length < given.limit) {
    const page = await pageOf(api, given, Math.min(pageMax, given.limit - events.length), events.length);
    events.push(...page.events);
    total = page.pagination.total;
    if (page.events.length === 0) break;
  }
  const rows = events.map((event) => [
    event.timestamp,
    event.event_type,
    event.success ? 'done' : 'refused',
    event.user_id ?? '–',
    event.ip_address ?? '–',
    event.resource_id ?? '–',
    event.error_message ?? '',
  ]);
  const shown = table(['TIME', 'TYPE', 'OUTCOME', 'USER', 'ADDRESS', 'OF', 'WHY'], rows);
  const more = total > events.length ? `\n${total - events.length} more: --limit, --since` : '';
  output.result({ events, total }, events.length === 0 ? 'no such events' : `${shown}${more}`);
}

/** Oldest first, from the last page back; what comes meanwhile is the running sender's. */
export async function sendAudit(
  api: ApiClient,
  output: Output,
  environment: Environment,
  given: AuditFilter,
): Promise<void> {
  const sinks = openEventSinks(environment);
  if (sinks.length === 0)
    throw new CliError('nothing says where to: set LUCID_SYSLOG_URL or LUCID_WEBHOOK_URL', exitCodes.usage);
  const filter = { ...given, until: given.until ?? new Date().toISOString() };
  try {
    const { total } = (await pageOf(api, filter, 1, 0)).pagination;
    let sent = 0;
    for (let left = total; left > 0; left -= pageMax) {
      const limit = Math.min(pageMax, left);
      const { events } = await pageOf(api, filter, limit, left - limit);
      const ordered = events.toReversed().map(eventOf);
      for (const sink of sinks) await sink.send(ordered, () => {});
      sent += ordered.length;
      output.progress(`${sent} of ${total} events sent`, sent);
    }
    const to = sinks.map(({ name }) => name);
    output.result({ sent, to }, `${sent} events sent to ${to.join(' and ')}`);
  } finally {
    await Promise.all(sinks.map((sink) => sink.dispose()));
  }
}

const eventOf = (row: AuditRow): AuditEvent => ({
  eventId: row.event_id,
  timestampUs: Date.parse(row.timestamp) * 1000 + Number(/\.\d{3}(\d{3})/.exec(row.timestamp)?.[1] ?? 0),
  eventType: row.event_type,
  userId: row.user_id,
  resourceId: row.resource_id,
  ipAddress: row.ip_address,
  userAgent: row.user_agent,
  success: row.success,
  errorMessage: row.error_message,
  details: row.details,
});
