import type { SessionSort } from '@lucid-sessions/contract';
import { query } from '../api/client.ts';
import { may } from '../api/credentials.ts';
import type { Session, SessionList } from '../api/types.ts';
import { connectLink, isConnectable } from '../ui/connect-link.ts';
import { type Child, fill, h, setText } from '../ui/dom.ts';
import { formatBytes, formatClock } from '../ui/format.ts';
import { icon } from '../ui/icons.ts';
import { explain, failure, isAbort, type Page, type PageContext, repeat } from '../ui/page.ts';
import { type Column, instant, sessionBadge, table } from '../ui/parts.ts';
import { waitingApprovals } from '../ui/waiting-approvals.ts';
import { isAnonymous } from '../ui/who-came.ts';
import { savedFilters } from './saved-filters.ts';
import { type Filters, filterFields, filterOf, isFiltered, orderOf, readFilters } from './session-filters.ts';

const pageSize = 25;
const refreshMs = 5000;

/** The filters live in the address, so that a list can be shared and the back button works. */
interface Filter extends Filters {
  offset: number;
}

function readFilter(): Filter {
  const offset = Number(new URLSearchParams(location.search).get('offset') ?? 0);
  return { ...readFilters(location.search), offset: Number.isInteger(offset) && offset >= 0 ? offset : 0 };
}

const columnsFor = (
  mayConnect: boolean,
  sorted: (sort: SessionSort) => NonNullable<Column<Session>['sorted']>,
): readonly Column<Session>[] => [
  { name: 'Status', sorted: sorted('status'), cell: sessionBadge },
  {
    name: 'Session',
    sorted: sorted('name'),
    cell: (session) =>
      h(
        'div',
        {},
        h('a', { class: 'session-name', href: `/sessions/${session.session_id}` }, session.name),
        h('div', { class: 'muted mono' }, session.session_id),
      ),
  },
  { name: 'User', sorted: sorted('user'), cell: userCell },
  {
    name: 'Target',
    sorted: sorted('target'),
    cell: (session) => [target(session), isAnonymous(session) && h('div', { class: 'muted small' }, 'anonymous')],
  },
  { name: 'Project', sorted: sorted('project'), cell: (session) => origin(session) },
  { name: 'Started', sorted: sorted('started'), cell: startedCell },
  {
    name: 'Duration',
    sorted: sorted('duration'),
    number: true,
    cell: (session) => (session.started_at ? formatClock(session.statistics.duration_seconds) : '–'),
  },
  {
    name: 'Stored',
    sorted: sorted('size'),
    number: true,
    cell: (session) => (session.statistics.size_bytes > 0 ? formatBytes(session.statistics.size_bytes) : '–'),
  },
  ...(mayConnect ? [{ name: 'Connect', cell: connectCell }] : []),
];

/** Who came, or is to come; below it from where. */
function userCell({
  came_by,
  client_user,
  client_name,
  client_address,
  rdp_config,
  metadata,
  created_by,
}: Session): Child {
  const user = came_by?.user || client_user || rdp_config.username || metadata.owner || created_by;
  const client = [client_name, client_address].filter(Boolean).join(' · ');
  return h('div', {}, user || '–', client !== '' && h('div', { class: 'muted small' }, client));
}

/** What never began says when it was made instead. */
const startedCell = ({ started_at: startedAt, created_at: createdAt }: Session): Child =>
  startedAt === null ? h('span', { class: 'muted' }, 'made ', instant(createdAt)) : instant(startedAt);

/** Whoever has left comes back by the session's own page. */
const connectCell = (session: Session): Child =>
  (session.status === 'created' || session.status === 'starting') && isConnectable(session) && connectLink(session);

export function target(session: Session): string {
  const { username, host, port } = session.rdp_config;
  return `${username ? `${username}@` : ''}${host}${port === 3389 ? '' : `:${port}`}`;
}

function origin(session: Session): Child {
  const { project, environment, tags = [] } = session.metadata;
  const place = [project, environment].filter(Boolean).join(' · ');
  return h(
    'div',
    {},
    place || (tags.length === 0 ? '–' : ''),
    tags.length > 0 &&
      h(
        'div',
        { class: 'tags' },
        tags.map((tag) => h('span', { class: 'tag' }, tag)),
      ),
  );
}

export function sessionsPage({ api, claims, signal }: PageContext): Page {
  const mayCreate = may(claims, 'sessions:create');
  const mayConnect = may(claims, 'sessions:start');
  let filter = readFilter();
  const list = h('div', { class: 'card' });
  const pages = h('nav', { class: 'pages', 'aria-label': 'Pages of the list' });
  const count = h('p', { class: 'muted', role: 'status' });

  async function load(): Promise<void> {
    try {
      const { offset, ...filters } = filter;
      show(await api.listSessions({ ...filterOf(filters), limit: pageSize, offset }, signal));
    } catch (error) {
      if (!isAbort(error)) showFailure(error);
    }
  }

  let shown = '';
  function show(answer: SessionList): void {
    const { total, offset, has_next: hasNext, has_previous: hasPrevious } = answer.pagination;
    setText(count, `${total} session${total === 1 ? '' : 's'}`);
    // Replacing an unchanged table would throw away the reader's focus and selection.
    const text = JSON.stringify(answer);
    if (text === shown) return;
    shown = text;
    if (answer.sessions.length === 0) {
      fill(list, emptyList(isFiltered(filter) ? () => replaceFilters('') : null));
      fill(pages);
      return;
    }
    const column = document.activeElement?.closest('th')?.textContent?.split(' ')[0];
    fill(list, table('Sessions', columnsFor(mayConnect, sorted), answer.sessions));
    // Whoever sorted by a column goes on from its heading.
    if (column !== undefined)
      for (const button of list.querySelectorAll<HTMLElement>('th button'))
        if (button.textContent?.split(' ')[0] === column) button.focus();
    const go = (to: number) => () => change({ offset: to });
    fill(
      pages,
      total > pageSize && [
        h('span', { class: 'muted small' }, `${offset + 1}–${offset + answer.sessions.length} of ${total}`),
        h(
          'button',
          { type: 'button', disabled: !hasPrevious, on: { click: go(Math.max(0, offset - pageSize)) } },
          'Previous',
        ),
        h('button', { type: 'button', disabled: !hasNext, on: { click: go(offset + pageSize) } }, 'Next'),
      ],
    );
  }

  /** A list that can't be read again for a moment is worth more than none. */
  function showFailure(error: unknown): void {
    if (shown === '') fill(list, failure(error));
    else setText(count, `This list may be old: ${explain(error)}`);
  }

  /** The other way round where rows are in this order already. */
  const sorted = (sort: SessionSort) => {
    const { sort: present, descending } = orderOf(filter);
    const by = present === sort ? (descending ? 'descending' : 'ascending') : null;
    const other = { ascending: 'desc', descending: 'asc', none: undefined }[by ?? 'none'];
    const toggle = () => {
      change({ sort, order: other });
      fill(
        fields,
        filterFields(() => filter, change, signal),
      );
    };
    return { by, toggle } as const;
  };

  function change(changes: Partial<Filter>): void {
    const asked = Object.entries({ ...filter, offset: 0, ...changes }).map(([name, value]) => [
      name,
      value || undefined,
    ]);
    filter = { offset: 0, ...Object.fromEntries(asked.filter(([, value]) => value !== undefined)) };
    shown = '';
    history.replaceState(null, '', `/sessions${query({ ...filter, offset: filter.offset || undefined })}`);
    void load();
  }
  const presentQuery = () => query({ ...filter, offset: undefined }).slice(1);
  function replaceFilters(text: string): void {
    filter = { offset: 0 };
    change(readFilters(text));
    fill(
      fields,
      filterFields(() => filter, change, signal),
    );
  }
  const fields = h(
    'div',
    {},
    filterFields(() => filter, change, signal),
  );

  document.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== '/' || event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement)
        return;
      event.preventDefault();
      const search = fields.querySelector<HTMLInputElement>('.search input');
      search?.focus();
      search?.select();
    },
    { signal },
  );
  void repeat(refreshMs, signal, load);
  const content = [
    h(
      'div',
      { class: 'heading' },
      h('div', { class: 'grow' }, h('h1', {}, 'Sessions'), count),
      mayCreate && h('a', { class: 'button primary', href: '/new' }, icon('plus'), 'New session'),
    ),
    may(claims, 'sessions:approve') && waitingApprovals({ api, claims, signal }),
    fields,
    savedFilters(api, presentQuery, replaceFilters, signal),
    list,
    pages,
  ];
  return { title: 'Sessions', content };
}

/** `clear` where there are filters. */
function emptyList(clear: (() => void) | null): HTMLElement {
  return clear !== null
    ? h(
        'div',
        { class: 'empty' },
        icon('search'),
        'No session matches these filters.',
        h('button', { type: 'button', on: { click: clear } }, 'Clear the filters'),
      )
    : h(
        'div',
        { class: 'empty' },
        icon('screen'),
        'Nothing has been recorded yet.',
        h('a', { class: 'button', href: '/new' }, 'Create the first session'),
      );
}
