/** `events`: what the index of a recording tells, as lines with their moments. */
import { errorNames } from '@lucid-sessions/contract/errors';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { formatRecordingTime } from './recording-time.ts';

export interface EventsOptions {
  inputs?: boolean;
  logon?: boolean;
  kind?: string;
  search?: string;
  reason?: string;
  limit: number;
}

type EventPage = RestAnswer<'listEvents'>;
type IndexEvent = EventPage['events'][number];

const pageMax = 10_000;

/** What an event says beside time and kind: texts first, then numbers by their names. */
export function eventText(event: IndexEvent): string {
  const { time_us: _time, kind: _kind, ...fields } = event;
  return Object.entries(fields)
    .filter(([, value]) => value !== null && value !== false)
    .map(([name, value]) => {
      if (name === 'text' || name === 'title' || name === 'path' || name === 'keys') return oneLine(String(value));
      return value === true
        ? name
        : `${name}=${typeof value === 'object' ? JSON.stringify(value) : oneLine(String(value))}`;
    })
    .join('  ');
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

export async function showEvents(api: ApiClient, output: Output, id: string, options: EventsOptions): Promise<void> {
  const { reason, limit, inputs = false, logon = false, kind, search } = options;
  const events: IndexEvent[] = [];
  let page: EventPage | null = null;
  while (page === null || (events.length < limit && page.pagination.has_next)) {
    const query = {
      inputs,
      logon,
      kind,
      search,
      limit: Math.min(pageMax, limit - events.length),
      offset: events.length,
    };
    page = await api.rest.listEvents({ params: { session_id: id }, query }).catch(async (error: unknown) => {
      if (page !== null || !isViewingNeeded(error)) throw error;
      await askFor(api, id, reason);
      return api.rest.listEvents({ params: { session_id: id }, query });
    });
    events.push(...page.events);
    if (page.events.length === 0) break;
  }
  const lines = events.map((event) =>
    `${formatRecordingTime(event.time_us)}  ${event.kind}  ${eventText(event)}`.trimEnd(),
  );
  const more = page!.pagination.total - events.length;
  if (more > 0) lines.push(`${more} more: --limit, --kind, --search`);
  if (!page!.complete) lines.push('the recording goes on, or is being indexed: ask again');
  if (page!.dropped > 0) lines.push(`${page!.dropped} events are not in the index: too many in one chunk`);
  const { session_id, complete, dropped } = page!;
  const facts = { session_id, inputs: page!.inputs, logon: page!.logon, complete, dropped };
  output.result({ ...facts, events, total: page!.pagination.total }, lines.length === 0 ? 'nothing' : lines.join('\n'));
}

const isViewingNeeded = (error: unknown): error is CliError =>
  error instanceof CliError && error.code === errorNames.viewingNeeded;

/** Asks to see a recording that is shown on request only. Throws where somebody else has to agree first. */
async function askFor(api: ApiClient, id: string, reason: string | undefined): Promise<void> {
  if (reason === undefined)
    throw new CliError('this recording is shown on request only: say why with --reason', exitCodes.refused, {
      code: errorNames.viewingNeeded,
    });
  const { state, viewing_id } = await api.rest.askViewing({
    params: { session_id: id },
    body: { reason, use: 'once' },
  });
  if (state !== 'granted')
    throw new CliError(
      `asked for (${viewing_id}), and not granted yet: "lucid-sessions viewings list ${id}" tells when it is`,
      exitCodes.refused,
      { code: errorNames.viewingNeeded },
    );
}
