import type { ApiClient } from '../api/client.ts';
import type { AuditEntry } from '../api/types.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { humanise } from '../ui/format.ts';
import { failure, isAbort, type Page, type PageContext } from '../ui/page.ts';
import { type Column, instant, table } from '../ui/parts.ts';

const pageSize = 50;

const columns = (linked: boolean): readonly Column<AuditEntry>[] => [
  { name: 'When', cell: (entry) => instant(entry.timestamp) },
  {
    name: 'Event',
    cell: (entry) => h('span', { class: entry.success ? '' : 'status bad' }, humanise(entry.event_type)),
  },
  { name: 'User', cell: (entry) => entry.user_id ?? '–' },
  ...(linked ? [{ name: 'Resource', cell: (entry: AuditEntry): Child => resource(entry.resource_id) }] : []),
  { name: 'From', cell: (entry) => entry.ip_address ?? '–' },
  {
    name: 'Details',
    cell: (entry) => h('span', { class: 'muted small' }, entry.error_message ?? details(entry.details)),
  },
];

function resource(id: string | null): Child {
  return id ? h('a', { class: 'mono', href: `/sessions/${id}` }, id) : '–';
}

function details(values: Record<string, unknown>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(', ');
}

/** The audit trail, of one session or of all, page by page. */
export function auditTrail(api: ApiClient, resourceId: string | null, signal: AbortSignal): HTMLElement {
  const entries: AuditEntry[] = [];
  const host = h('div', {});
  const more = h('button', { type: 'button', on: { click: () => void load() } }, 'Show more');
  async function load(): Promise<void> {
    more.disabled = true;
    try {
      const filter = { ...(resourceId ? { resource_id: resourceId } : {}), limit: pageSize, offset: entries.length };
      const answer = await api.listAudit(filter, signal);
      entries.push(...answer.events);
      const whole = answer.events.length < pageSize;
      fill(
        host,
        entries.length === 0
          ? h('p', { class: 'muted' }, 'No entries.')
          : table('Audit trail', columns(resourceId === null), entries),
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

export function auditPage({ api, signal }: PageContext): Page {
  return {
    title: 'Audit',
    content: [h('h1', {}, 'Audit log'), h('div', { class: 'card' }, auditTrail(api, null, signal))],
  };
}
