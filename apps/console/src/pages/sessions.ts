import type { SessionStatus } from '@lucid-sessions/contract';
import { query, type SessionFilter } from '../api/client.ts';
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

const pageSize = 25;
const refreshMs = 5000;
const typingPauseMs = 250;

/** Shown in the filter, in the order of a session's life. */
const statuses: readonly SessionStatus[] = [
  'created',
  'starting',
  'recording',
  'paused',
  'stopped',
  'processing',
  'completed',
  'failed',
  'deleted',
];

type Filter = Partial<ReturnType<typeof readFilter>>;

/** The filter lives in the address, so that a list can be shared and the back button works. */
function readFilter(): SessionFilter & { offset: number } {
  const parameters = new URLSearchParams(location.search);
  const offset = Number(parameters.get('offset') ?? 0);
  return {
    search: parameters.get('search') ?? undefined,
    // One the API doesn't know is the API's to refuse.
    status: (parameters.get('status') ?? undefined) as SessionFilter['status'],
    project: parameters.get('project') ?? undefined,
    environment: parameters.get('environment') ?? undefined,
    offset: Number.isInteger(offset) && offset >= 0 ? offset : 0,
  };
}

const columnsFor = (mayConnect: boolean): readonly Column<Session>[] => [
  { name: 'Status', cell: sessionBadge },
  {
    name: 'Session',
    cell: (session) =>
      h(
        'div',
        {},
        h('a', { class: 'session-name', href: `/sessions/${session.session_id}` }, session.name),
        h('div', { class: 'muted mono' }, session.session_id),
      ),
  },
  {
    name: 'Target',
    cell: (session) => [target(session), isAnonymous(session) && h('div', { class: 'muted small' }, 'anonymous')],
  },
  { name: 'Project', cell: (session) => origin(session) },
  { name: 'Started', cell: startedCell },
  {
    name: 'Duration',
    number: true,
    cell: (session) => (session.started_at ? formatClock(session.statistics.duration_seconds) : '–'),
  },
  {
    name: 'Stored',
    number: true,
    cell: (session) => (session.statistics.size_bytes > 0 ? formatBytes(session.statistics.size_bytes) : '–'),
  },
  ...(mayConnect ? [{ name: 'Connect', cell: connectCell }] : []),
];

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
      show(await api.listSessions({ ...filter, limit: pageSize }, signal));
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
      fill(list, emptyList(Object.values(filter).some((value) => typeof value === 'string' && value !== '')));
      fill(pages);
      return;
    }
    fill(list, table('Sessions', columnsFor(mayConnect), answer.sessions));
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

  function change(changes: Filter): void {
    filter = { ...filter, offset: 0, ...changes };
    shown = '';
    history.replaceState(null, '', `/sessions${query({ ...filter, offset: filter.offset || undefined })}`);
    void load();
  }

  void repeat(refreshMs, signal, load);
  const content = [
    h(
      'div',
      { class: 'heading' },
      h('div', { class: 'grow' }, h('h1', {}, 'Sessions'), count),
      mayCreate && h('a', { class: 'button primary', href: '/new' }, icon('plus'), 'New session'),
    ),
    may(claims, 'sessions:approve') && waitingApprovals({ api, claims, signal }),
    filterBar(filter, change, signal),
    list,
    pages,
  ];
  return { title: 'Sessions', content };
}

function filterBar(filter: SessionFilter, change: (changes: Filter) => void, signal: AbortSignal): HTMLElement {
  const typed = (name: 'search' | 'project' | 'environment') => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    return (event: Event): void => {
      clearTimeout(timer);
      const value = (event.target as HTMLInputElement).value;
      // Whoever has gone on to another page meanwhile must not find this one's filter in its address.
      timer = setTimeout(() => !signal.aborted && change({ [name]: value }), typingPauseMs);
    };
  };
  const search = h('input', {
    type: 'search',
    'aria-label': 'Search sessions by name, id, host, owner or tag',
    'aria-keyshortcuts': '/',
    placeholder: 'Search name, id, host, owner, tag   ( / )',
    value: filter.search,
    on: { input: typed('search') },
  });
  const status = h(
    'select',
    {
      'aria-label': 'Status',
      on: {
        change: (event) => change({ status: (event.target as HTMLSelectElement).value as SessionFilter['status'] }),
      },
    },
    h('option', { value: '' }, 'Any status'),
    statuses.map((name) => h('option', { value: name, selected: filter.status === name }, name)),
  );
  const text = (name: 'project' | 'environment', label: string): HTMLElement =>
    h('input', {
      type: 'search',
      'aria-label': label,
      placeholder: label,
      value: filter[name],
      on: { input: typed(name) },
    });
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.key !== '/' || event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement)
        return;
      event.preventDefault();
      search.focus();
      search.select();
    },
    { signal },
  );
  return h(
    'div',
    { class: 'filters', role: 'search' },
    h('div', { class: 'search' }, icon('search'), search),
    status,
    text('project', 'Project'),
    text('environment', 'Environment'),
  );
}

function emptyList(filtered: boolean): HTMLElement {
  return filtered
    ? h('div', { class: 'empty' }, icon('search'), 'No session matches these filters.')
    : h(
        'div',
        { class: 'empty' },
        icon('screen'),
        'Nothing has been recorded yet.',
        h('a', { class: 'button', href: '/new' }, 'Create the first session'),
      );
}
