/** `sessions list`: a page, all of them, or what changes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ReplayState, SessionOutcome, SessionSort, SessionStatus } from '@lucid-sessions/contract';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, type Colours, exitCodes, formatBytes, formatDuration, type Output, table } from '../cli/output.ts';
import { type SessionAnswer, statusOf } from './sessions.ts';

export interface ListOptions {
  status?: string;
  project?: string;
  environment?: string;
  search?: string;
  user?: string;
  client?: string;
  target?: string;
  tag?: string;
  /** RFC 3339. */
  since?: string;
  until?: string;
  outcome?: SessionOutcome;
  replay?: ReplayState;
  /** Seconds. */
  longer?: number;
  shorter?: number;
  /** Bytes. */
  larger?: number;
  smaller?: number;
  sort?: SessionSort;
  order?: 'asc' | 'desc';
  limit: number;
  offset: number;
  all?: boolean;
  watch?: boolean;
  /** Seconds. */
  every: number;
}

type Page = RestAnswer<'listSessions'>;

const pageMax = 100;
const header = ['SESSION', 'STATUS', 'NAME', 'TARGET', 'STARTED', 'LENGTH', 'STORED'];
const colours: Colours = {
  recording: 'cyan',
  paused: 'yellow',
  processing: 'yellow',
  completed: 'green',
  failed: 'red',
};

const cellsOf = (session: SessionAnswer): string[] => [
  session.session_id,
  statusOf(session),
  session.name,
  `${session.rdp_config.host}:${session.rdp_config.port}`,
  session.started_at ?? '-',
  formatDuration(session.statistics.duration_seconds),
  formatBytes(session.statistics.size_bytes),
];

async function pageOf(api: ApiClient, options: ListOptions): Promise<Page> {
  const { status, since, until, longer, shorter, larger, smaller, ...more } = options;
  const { all = false, watch: _watch, every: _every, ...query } = more;
  // What is no status is the server's to say.
  const filter = {
    ...query,
    from: since,
    to: until,
    duration_min: longer,
    duration_max: shorter,
    size_min: larger,
    size_max: smaller,
    status: status as SessionStatus | undefined,
  };
  if (!all) return api.rest.listSessions({ query: filter });
  const first = await api.rest.listSessions({ query: { ...filter, limit: pageMax } });
  const found = new Map(first.sessions.map((session) => [session.session_id, session]));
  let page = first;
  // A session that begins meanwhile moves the others on by one: who was seen is not listed twice.
  for (let offset = options.offset + pageMax; page.pagination.has_next; offset += pageMax) {
    page = await api.rest.listSessions({ query: { ...filter, limit: pageMax, offset } });
    for (const session of page.sessions) found.set(session.session_id, session);
  }
  return { ...page, sessions: [...found.values()] };
}

function shownOf({ sessions, pagination }: Page): string {
  const shown = `${sessions.length} of ${pagination.total} sessions`;
  return sessions.length === 0 ? shown : `${table(header, sessions.map(cellsOf))}\n${shown}`;
}

export async function listSessions(api: ApiClient, output: Output, options: ListOptions): Promise<void> {
  if (options.all === true && options.offset > 0)
    throw new CliError('--all and --offset exclude each other', exitCodes.usage);
  if (options.watch === true) return watchSessions(api, output, options);
  const page = await pageOf(api, options);
  output.result(page, shownOf(page), colours);
}

/** Until somebody stops it. */
async function watchSessions(api: ApiClient, output: Output, options: ListOptions): Promise<void> {
  let known = new Map<string, string>();
  for (;;) {
    const page = await pageOf(api, options);
    if (output.isRead && !output.json) output.redraw(shownOf(page), colours);
    else {
      const seen = page.sessions.map(
        (session) => [session.session_id, cellsOf(session).slice(1, 4).join('  ')] as const,
      );
      for (const session of page.sessions.toReversed()) {
        const line = cellsOf(session).slice(1, 4).join('  ');
        if (known.get(session.session_id) !== line)
          output.line(session, `${new Date().toISOString()}  ${session.session_id}  ${line}`);
      }
      known = new Map(seen);
    }
    await sleep(options.every * 1000);
  }
}
