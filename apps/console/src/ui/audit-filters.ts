/** The filters of the audit log, as fields, in the address, and as the API has them. */
import type { AuditFilter } from '../api/client.ts';
import { auditEventGroups } from './audit-events.ts';
import { h } from './dom.ts';
import { chosen, dayField, labelled, whenTyped } from './filter-fields.ts';
import { humanise } from './format.ts';

const filterNames = ['user_id', 'event_type', 'resource_id', 'start_time', 'end_time', 'outcome'] as const;
type FilterName = (typeof filterNames)[number];
export type AuditFilters = { [N in FilterName]?: string | undefined };

const outcomes = { succeeded: 'succeeded', failed: 'failed' } as const;

export function readAuditFilters(query: string): AuditFilters {
  const parameters = new URLSearchParams(query);
  return Object.fromEntries(filterNames.map((name) => [name, parameters.get(name) || undefined]));
}

export const isFilteredAudit = (filters: AuditFilters): boolean => filterNames.some((name) => Boolean(filters[name]));

/** What the API finds by, which knows none for the outcome. What it doesn't know is its own to refuse. */
export const auditFilterOf = ({ outcome: _, ...filters }: AuditFilters): Partial<AuditFilter> =>
  Object.fromEntries(Object.entries(filters).filter(([, value]) => value)) as Partial<AuditFilter>;

/** Whether an entry came out as it is looked for; null: both do. */
export const wantedSuccess = ({ outcome }: AuditFilters): boolean | null =>
  outcome === outcomes.failed ? false : outcome === outcomes.succeeded ? true : null;

/** `change` is told of what is typed when the typing pauses. Ends with `signal`. */
export function auditFilterFields(
  filters: AuditFilters,
  change: (changes: AuditFilters) => void,
  signal: AbortSignal,
): HTMLElement {
  const text = (name: FilterName, label: string, placeholder: string) =>
    labelled(
      label,
      h('input', {
        type: 'search',
        placeholder,
        maxlength: 200,
        value: filters[name],
        on: { input: whenTyped(signal, (value) => change({ [name]: value.trim() })) },
      }),
    );
  const day = (name: FilterName, label: string, time: string) =>
    dayField(label, filters[name], time, (instant) => change({ [name]: instant }));
  const option = (name: FilterName) => (value: string) =>
    h('option', { value, selected: filters[name] === value }, humanise(value));
  const event = h(
    'select',
    { on: { change: (changed) => change({ event_type: chosen(changed) }) } },
    h('option', { value: '' }, 'Any'),
    Object.entries(auditEventGroups).map(([label, types]) => h('optgroup', { label }, types.map(option('event_type')))),
  );
  const outcome = h(
    'select',
    { on: { change: (changed) => change({ outcome: chosen(changed) }) } },
    h('option', { value: '' }, 'Any'),
    Object.values(outcomes).map(option('outcome')),
  );
  return h(
    'div',
    { class: 'filter-fields', role: 'search', 'aria-label': 'Filters of the audit log' },
    text('user_id', 'Who', 'whole name'),
    labelled('Event', event),
    text('resource_id', 'On what', 'whole id'),
    day('start_time', 'From', '00:00:00'),
    day('end_time', 'To', '23:59:59.999'),
    labelled('Outcome', outcome),
  );
}
