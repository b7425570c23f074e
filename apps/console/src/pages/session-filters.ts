/** The filters and the order of the list of sessions, as fields, and as the address and the API have them. */
import type { ReplayState, SessionOutcome, SessionStatus } from '@lucid-sessions/contract';
import { type SessionSort, sessionOrderOf, sessionSorts } from '@lucid-sessions/contract/session-list';
import type { SessionFilter } from '../api/client.ts';
import { h } from '../ui/dom.ts';
import { chosen, dayField, labelled, whenTyped } from '../ui/filter-fields.ts';
import { icon } from '../ui/icons.ts';

const filterNames = [
  'search',
  'status',
  'user',
  'client',
  'target',
  'tag',
  'project',
  'environment',
  'from',
  'to',
  'duration_min',
  'duration_max',
  'size_min',
  'size_max',
  'outcome',
  'replay',
  'sort',
  'order',
] as const;
type FilterName = (typeof filterNames)[number];
export type Filters = { [N in FilterName]?: string | undefined };

/** What is asked beside text, status and order, and folded away until it is wanted. */
const folded = filterNames.filter((name) => !['search', 'status', 'sort', 'order'].includes(name));
export const isFiltered = (filters: Filters): boolean =>
  filterNames.some((name) => name !== 'sort' && name !== 'order' && Boolean(filters[name]));

export function readFilters(query: string): Filters {
  const parameters = new URLSearchParams(query);
  return Object.fromEntries(filterNames.map((name) => [name, parameters.get(name) || undefined]));
}

/** What the API doesn't know is the API's to refuse. */
export const filterOf = (filters: Filters): SessionFilter => filters as SessionFilter;

/** In the order of a session's life. */
const statuses: Readonly<Record<SessionStatus, string>> = {
  created: 'created',
  starting: 'starting',
  recording: 'recording',
  paused: 'paused',
  stopped: 'stopped',
  processing: 'processing',
  completed: 'completed',
  failed: 'failed',
  deleted: 'deleted',
};
const outcomes: Readonly<Record<SessionOutcome, string>> = {
  whole: 'whole',
  recovered: 'recovered',
  gap: 'incomplete',
  refused: 'refused',
  never_connected: 'never connected',
};
const replays: Readonly<Record<ReplayState, string>> = {
  drawn: 'all can be seen',
  parts: 'parts can be seen',
  nothing: 'nothing can be seen',
  unexamined: 'not examined',
};
const sortWords: Readonly<Record<SessionSort, string>> = {
  created: 'Made',
  started: 'Started',
  name: 'Name',
  status: 'Status',
  user: 'User',
  client: 'Client',
  target: 'Target',
  project: 'Project',
  tag: 'Label',
  duration: 'Duration',
  size: 'Stored',
  outcome: 'Outcome',
  replay: 'What can be seen',
};

export const orderOf = ({ sort, order }: Filters) =>
  sessionOrderOf({
    ...(sort !== undefined && { sort: sort as SessionSort }),
    ...(order !== undefined && { descending: order === 'desc' }),
  });

interface Unit {
  /** What the API counts in one of the field's. */
  readonly size: number;
  readonly name: string;
}
const minutes: Unit = { size: 60, name: 'min' };
const megabytes: Unit = { size: 1e6, name: 'MB' };
const inUnit = (value: string | undefined, { size }: Unit): string => (value ? String(Number(value) / size) : '');
const fromUnit = (value: string, { size }: Unit): string =>
  value === '' ? '' : String(Math.round(Number(value) * size));

/** `present` are the filters of the list at any time. `change` is told of what is typed when the typing pauses. Ends with `signal`. */
export function filterFields(
  present: () => Filters,
  change: (changes: Filters) => void,
  signal: AbortSignal,
): HTMLElement {
  const filters = present();
  const later = (changed: (value: string) => Filters) => whenTyped(signal, (value) => change(changed(value)));
  const now = (changed: (value: string) => Filters) => (event: Event) => change(changed(chosen(event)));
  const text = (name: FilterName, label: string, placeholder = '') =>
    labelled(
      label,
      h('input', {
        type: 'search',
        placeholder,
        value: filters[name],
        on: { input: later((value) => ({ [name]: value })) },
      }),
    );
  const amount = (name: FilterName, label: string, unit: Unit) =>
    labelled(
      `${label}, ${unit.name}`,
      h('input', {
        type: 'number',
        min: 0,
        step: 'any',
        value: inUnit(filters[name], unit),
        on: { input: later((value) => ({ [name]: fromUnit(value, unit) })) },
      }),
    );
  const day = (name: FilterName, label: string, time: string) =>
    dayField(label, filters[name], time, (instant) => change({ [name]: instant }));
  const choice = (name: FilterName, values: Readonly<Record<string, string>>, any: string, attributes = {}) =>
    h(
      'select',
      { ...attributes, on: { change: now((value) => ({ [name]: value })) } },
      h('option', { value: '' }, any),
      Object.entries(values).map(([value, word]) => h('option', { value, selected: filters[name] === value }, word)),
    );
  const search = h('input', {
    type: 'search',
    'aria-label': 'Search sessions by name, id, host, owner or tag',
    'aria-keyshortcuts': '/',
    placeholder: 'Search name, id, host, owner, tag   ( / )',
    value: filters.search,
    on: { input: later((value) => ({ search: value })) },
  });
  const sort = h(
    'select',
    {
      'aria-label': 'Sort by',
      on: { change: now((value) => ({ sort: value, order: '' })) },
    },
    sessionSorts.map((name) =>
      h(
        'option',
        { value: name === 'created' ? '' : name, selected: (filters.sort ?? 'created') === name },
        `Sort by ${sortWords[name].toLowerCase()}`,
      ),
    ),
  );
  const turn = h(
    'button',
    {
      type: 'button',
      'aria-label': 'Turn the order round',
      title: 'Turn the order round',
      on: { click: () => change({ order: orderOf(present()).descending ? 'asc' : 'desc' }) },
    },
    '↑↓',
  );
  return h(
    'div',
    { class: 'filters', role: 'search' },
    h('div', { class: 'search' }, icon('search'), search),
    choice('status', statuses, 'Any status', { 'aria-label': 'Status' }),
    h('div', { class: 'order' }, sort, turn),
    h(
      'details',
      { class: 'more-filters', open: folded.some((name) => filters[name]) },
      h('summary', {}, 'More filters'),
      h(
        'div',
        { class: 'filter-fields' },
        text('user', 'User', 'whole name'),
        text('client', 'Client', 'name or address'),
        text('target', 'Target', 'host or host:port'),
        text('tag', 'Label'),
        text('project', 'Project'),
        text('environment', 'Environment'),
        day('from', 'From', '00:00:00'),
        day('to', 'To', '23:59:59.999'),
        amount('duration_min', 'Length from', minutes),
        amount('duration_max', 'Length to', minutes),
        amount('size_min', 'Size from', megabytes),
        amount('size_max', 'Size to', megabytes),
        labelled('Outcome', choice('outcome', outcomes, 'Any')),
        labelled('Replay', choice('replay', replays, 'Any')),
      ),
    ),
  );
}
