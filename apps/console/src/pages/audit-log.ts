/** The whole audit log: who did what to what, when, and whether it succeeded. */
import { query } from '../api/client.ts';
import type { AuditEntry, AuditList } from '../api/types.ts';
import { act, answerPlace, doneNotice } from '../ui/act.ts';
import {
  type AuditFilters,
  auditFilterFields,
  auditFilterOf,
  isFilteredAudit,
  readAuditFilters,
  wantedSuccess,
} from '../ui/audit-filters.ts';
import { fill, h, setText } from '../ui/dom.ts';
import { offerDownload } from '../ui/download.ts';
import { formatBytes } from '../ui/format.ts';
import { icon } from '../ui/icons.ts';
import { explain, failure, isAbort, type Page, type PageContext } from '../ui/page.ts';
import { table } from '../ui/parts.ts';
import { auditColumns } from './audit.ts';

const pageSize = 50;
/** Read at most for one press, where the page itself looks for an outcome. */
const readSize = 500;
const readsMax = 4;

interface Place {
  offset: number;
  /** The newest entry's time when the first page was read: reading the log adds entries to it, and no page may shift by them. */
  as_of?: string | undefined;
}

function readPlace(): Place {
  const parameters = new URLSearchParams(location.search);
  const offset = Number(parameters.get('offset') ?? 0);
  const isOffset = Number.isSafeInteger(offset) && offset > 0;
  return isOffset ? { offset, as_of: parameters.get('as_of') || undefined } : { offset: 0 };
}

const countOf = (total: number): string => `${total.toLocaleString('en')} ${total === 1 ? 'entry' : 'entries'}`;

/** Behind an entry by less than the API tells times apart. */
const justAfter = (timestamp: string): string => new Date(Date.parse(timestamp) + 1).toISOString();

export function auditPage({ api, signal }: PageContext): Page {
  let filters = readAuditFilters(location.search);
  let place = readPlace();
  let asking = new AbortController();
  const list = h('div', { class: 'card' });
  const pages = h('nav', { class: 'pages', 'aria-label': 'Pages of the log' });
  const count = h('p', { class: 'muted', role: 'status' });
  const fields = h('div', {});

  api.onRateLimited = (seconds) =>
    setText(count, `The API limits how often it is asked: it is asked again in ${seconds} s.`);
  signal.addEventListener('abort', () => {
    api.onRateLimited = () => {};
  });

  const button = (label: string, disabled: boolean, click: () => unknown): HTMLElement =>
    h('button', { type: 'button', disabled, on: { click: () => void click() } }, label);

  async function ask(limit: number, { offset, as_of: asOf }: Place): Promise<AuditList> {
    const found = auditFilterOf(filters);
    // Of two ends the earlier one; a time that is none is the API's to refuse.
    const isEarlier = asOf !== undefined && !(Date.parse(String(found.end_time)) < Date.parse(asOf));
    const until = isEarlier ? { end_time: asOf } : {};
    return api.listAudit({ ...found, ...until, limit, offset }, AbortSignal.any([signal, asking.signal]));
  }

  /** What is read now; the read before is given up. */
  let work = showPage;
  /** The address whose entries are shown. */
  let shown: string | null = null;
  async function read(): Promise<void> {
    asking.abort();
    asking = new AbortController();
    const { signal: mine } = asking;
    list.setAttribute('aria-busy', 'true');
    try {
      await work();
    } catch (error) {
      if (isAbort(error) || mine.aborted) return;
      // What was found before is worth more than nothing.
      const isPart = shown === location.search;
      setText(count, isPart ? `There may be more: ${explain(error)}` : '');
      if (!isPart) fill(list, failure(error));
      fill(pages, button('Try again', false, read));
    } finally {
      if (!mine.aborted) list.removeAttribute('aria-busy');
    }
  }

  function showEntries(entries: readonly AuditEntry[]): void {
    shown = location.search;
    const hadFocus = pages.contains(document.activeElement);
    fill(list, entries.length === 0 ? empty() : table('Audit log', auditColumns(true), entries));
    // Whoever went on by keyboard reads on at the new entries.
    if (hadFocus) list.querySelector<HTMLElement>('[tabindex]')?.focus();
  }

  const empty = (): HTMLElement =>
    h(
      'div',
      { class: 'empty' },
      icon('search'),
      isFilteredAudit(filters) ? 'No entry matches these filters.' : 'Nothing is in the log yet.',
      isFilteredAudit(filters) && button('Clear the filters', false, clear),
    );

  async function showPage(): Promise<void> {
    const { events, pagination } = await ask(pageSize, place);
    const { total, offset, has_next: hasNext, has_previous: hasPrevious } = pagination;
    const newest = place.as_of ?? (events[0] && justAfter(events[0].timestamp));
    showEntries(events);
    setText(count, countOf(total));
    const go = (to: number) => () => {
      place = to > 0 ? { offset: to, as_of: newest } : { offset: 0 };
      load();
    };
    fill(
      pages,
      (total > pageSize || hasPrevious) && [
        h('span', { class: 'muted small' }, `${offset + 1}–${offset + events.length} of ${total.toLocaleString('en')}`),
        hasPrevious && button('Newest', false, go(0)),
        button('Newer', !hasPrevious, go(Math.max(0, offset - pageSize))),
        button('Older', !hasNext, go(offset + pageSize)),
      ],
    );
  }

  /** The API finds by no outcome: the page reads on until it has a page of them, or has read its share. */
  function lookFor(success: boolean): () => Promise<void> {
    const found: AuditEntry[] = [];
    let from: Place = { offset: 0 };
    return async () => {
      const enough = found.length + pageSize;
      for (let reads = 0; ; ) {
        const { events, pagination } = await ask(readSize, from);
        const newest = events[0];
        from = {
          offset: from.offset + events.length,
          as_of: from.as_of ?? (newest && justAfter(newest.timestamp)),
        };
        found.push(...events.filter((event) => event.success === success));
        reads += 1;
        const isWhole = !pagination.has_next || events.length === 0;
        if (!isWhole && reads < readsMax && found.length < enough) continue;
        showEntries(found);
        const looked = isWhole
          ? countOf(pagination.total)
          : `the newest ${from.offset.toLocaleString('en')} of ${countOf(pagination.total)}`;
        setText(count, `${found.length.toLocaleString('en')} ${success ? 'succeeded' : 'failed'} among ${looked}`);
        fill(pages, !isWhole && button('Look further back', false, read));
        return;
      }
    };
  }

  function load(): void {
    const success = wantedSuccess(filters);
    work = success === null ? showPage : lookFor(success);
    history.replaceState(null, '', `/audit${query({ ...filters, ...place, offset: place.offset || undefined })}`);
    void read();
  }

  function change(changes: AuditFilters): void {
    const all = Object.entries({ ...filters, ...changes });
    filters = Object.fromEntries(all.map(([name, value]) => [name, value || undefined]));
    place = { offset: 0 };
    load();
  }

  function clear(): void {
    change(readAuditFilters(''));
    showFields();
  }
  const showFields = (): void => fill(fields, auditFilterFields(filters, change, signal));

  const answer = answerPlace();
  const exportLog = h(
    'button',
    { type: 'button', on: { click: () => void act(api, exportLog, answer, takeLog) } },
    icon('download'),
    'Export the log',
  );
  async function takeLog(): Promise<void> {
    const file = await (await api.rest.exportAudit({ signal })).blob();
    offerDownload(file, 'audit.jsonl');
    fill(
      answer,
      doneNotice(
        `The whole log, ${formatBytes(file.size)}. It is checked by `,
        h('code', {}, 'lucid-sessions audit verify audit.jsonl'),
        '.',
      ),
    );
  }

  showFields();
  load();
  return {
    title: 'Audit',
    content: [
      h('div', { class: 'heading' }, h('div', { class: 'grow' }, h('h1', {}, 'Audit log'), count), exportLog),
      h(
        'p',
        { class: 'muted small' },
        'The export is the whole log whatever is filtered here: its chain, and the proof that it is logged, are checked as a whole only.',
      ),
      answer,
      fields,
      list,
      pages,
    ],
  };
}
