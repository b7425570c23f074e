import type { ApiClient } from '../api/client.ts';
import type { AuditEntry } from '../api/types.ts';
import { isOfSession } from '../ui/audit-events.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { humanise } from '../ui/format.ts';
import { failure, isAbort } from '../ui/page.ts';
import { type Column, instant, table } from '../ui/parts.ts';

const pageSize = 50;

export const auditColumns = (linked: boolean): readonly Column<AuditEntry>[] => [
  { name: 'When', cell: (entry) => instant(entry.timestamp) },
  {
    name: 'Event',
    cell: (entry) => [
      humanise(entry.event_type),
      !entry.success && h('div', { class: 'small' }, h('span', { class: 'status bad' }, 'failed')),
    ],
  },
  { name: 'User', cell: (entry) => entry.user_id ?? '–' },
  ...(linked ? [{ name: 'Resource', cell: resource }] : []),
  { name: 'From', cell: (entry) => entry.ip_address ?? '–' },
  {
    name: 'Details',
    cell: (entry) => h('span', { class: 'muted small' }, auditDetails(entry)),
  },
];

function resource({ event_type, resource_id: id }: AuditEntry): Child {
  if (id === null) return '–';
  return isOfSession(event_type)
    ? h('a', { class: 'mono', href: `/sessions/${id}` }, id)
    : h('span', { class: 'mono' }, id);
}

const shown = (value: unknown): string =>
  value === null ? 'none' : typeof value === 'object' ? JSON.stringify(value) : String(value);

/** What an entry says beside who and when; changes as `field: old → new`. */
export function auditDetails({ error_message, details }: Pick<AuditEntry, 'error_message' | 'details'>): string {
  const { changes, ...rest } = details;
  const changed = Object.entries((changes ?? {}) as Record<string, { from: unknown; to: unknown }>);
  return [
    ...(error_message === null ? [] : [error_message]),
    ...Object.entries(rest).map(([name, value]) => `${name}: ${shown(value)}`),
    ...changed.map(([field, { from, to }]) => `${field}: ${shown(from)} → ${shown(to)}`),
  ].join(', ');
}

/** The audit trail of one session, page by page. */
export function auditTrail(api: ApiClient, resourceId: string, signal: AbortSignal): HTMLElement {
  const entries: AuditEntry[] = [];
  const host = h('div', {});
  const more = h('button', { type: 'button', on: { click: () => void load() } }, 'Show more');
  async function load(): Promise<void> {
    more.disabled = true;
    try {
      const filter = { resource_id: resourceId, limit: pageSize, offset: entries.length };
      const answer = await api.listAudit(filter, signal);
      entries.push(...answer.events);
      const whole = answer.events.length < pageSize;
      fill(
        host,
        entries.length === 0
          ? h('p', { class: 'muted' }, 'No entries.')
          : table('Audit trail', auditColumns(false), entries),
        !whole && more,
      );
    } catch (error) {
      if (!isAbort(error)) fill(host, failure(error));
    } finally {
      more.disabled = false;
    }
  }
  void load();
  return host;
}
