/** Small parts several pages share. */
import type { SessionStatus } from '@lucid-sessions/contract';
import { standingOf } from '@lucid-sessions/contract/standing';
import type { Session } from '../api/types.ts';
import { type Child, h } from './dom.ts';
import { formatInstant } from './format.ts';

const tones: Record<SessionStatus, string> = {
  created: 'accent',
  starting: 'accent',
  recording: 'bad live',
  paused: 'warn',
  stopped: '',
  processing: 'accent',
  completed: 'good',
  failed: 'bad',
  deleted: '',
};

export const liveStatuses: readonly SessionStatus[] = ['starting', 'recording', 'paused'];

export function statusBadge(status: string): HTMLElement {
  const tone = Object.hasOwn(tones, status) ? tones[status as SessionStatus] : '';
  return h('span', { class: `status ${tone}` }, status);
}

const alertTones = { low: '', medium: 'warn', high: 'bad', critical: 'bad' } as const;

export const severityBadge = (severity: keyof typeof alertTones): HTMLElement =>
  h('span', { class: `status ${alertTones[severity]}` }, severity);

/** What rules have found in a session: a word, not a colour alone. */
export function alertMark({ count, highest }: NonNullable<Session['alerts']>): HTMLElement {
  const words = count === 1 ? `1 alert (${highest})` : `${count} alerts (${highest})`;
  return h('span', { class: `status ${alertTones[highest]}` }, words);
}

/** The status, and beside it what became of the session where the status does not say it. */
export function sessionBadge(session: Session): Child {
  const standing = standingOf(session);
  // Not green: a completed recording and a completed import must not look alike.
  if (session.imported)
    return [h('span', { class: 'status warn' }, 'imported'), h('div', { class: 'muted small' }, session.status)];
  return [
    statusBadge(session.status),
    standing !== null && h('div', { class: 'muted small' }, standing),
    session.alerts && h('div', { class: 'small' }, alertMark(session.alerts)),
  ];
}

const isNothing = (value: Child): boolean =>
  Array.isArray(value)
    ? value.every(isNothing)
    : value === null || value === undefined || value === '' || value === false;

/** Two columns of names and values; rows without a value are left out. */
export function facts(rows: readonly (readonly [string, Child])[]): HTMLElement {
  const shown = rows.filter(([, value]) => !isNothing(value));
  return h(
    'dl',
    { class: 'facts' },
    shown.map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
  );
}

export function instant(rfc3339: string | null | undefined): Child {
  return rfc3339 ? h('time', { datetime: rfc3339, title: rfc3339 }, formatInstant(rfc3339)) : '–';
}

export interface Column<Row> {
  name: string;
  number?: boolean;
  /** Rows can be put in its order; null: they are in another. */
  sorted?: { by: 'ascending' | 'descending' | null; toggle(): void };
  cell(row: Row): Child;
}

const heading = <Row>({ name, sorted }: Column<Row>): Child =>
  sorted === undefined
    ? name
    : h(
        'button',
        { type: 'button', class: 'sort', on: { click: () => sorted.toggle() } },
        name,
        h('span', { 'aria-hidden': true }, { ascending: ' ↑', descending: ' ↓', none: '' }[sorted.by ?? 'none']),
      );

export function table<Row>(caption: string, columns: readonly Column<Row>[], rows: readonly Row[]): HTMLElement {
  const tone = (column: Column<Row>): string | null => (column.number ? 'number' : null);
  return h(
    'div',
    { class: 'table-scroll', tabindex: 0, role: 'region', 'aria-label': caption },
    h(
      'table',
      {},
      h('caption', { class: 'hidden-visually' }, caption),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          columns.map((column) =>
            h('th', { scope: 'col', class: tone(column), 'aria-sort': column.sorted?.by ?? null }, heading(column)),
          ),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map((row) =>
          h(
            'tr',
            { class: 'linked' },
            columns.map((column) => h('td', { class: tone(column) }, column.cell(row))),
          ),
        ),
      ),
    ),
  );
}

export interface Tab {
  name: string;
  /** Called when the tab is shown for the first time. */
  content(panel: HTMLElement): void;
}

/** WAI-ARIA tabs: arrow keys move, the panel is filled when first shown. */
export function tabs(label: string, list: readonly Tab[]): HTMLElement {
  const panels = list.map((_tab, i) =>
    h('div', {
      role: 'tabpanel',
      id: `panel-${i}`,
      'aria-labelledby': `tab-${i}`,
      class: 'tab-panel',
      tabindex: 0,
      hidden: true,
    }),
  );
  const buttons = list.map((tab, i) =>
    h(
      'button',
      { role: 'tab', id: `tab-${i}`, type: 'button', 'aria-controls': `panel-${i}`, on: { click: () => show(i) } },
      tab.name,
    ),
  );
  const filled = new Set<number>();
  function show(index: number): void {
    buttons.forEach((button, i) => {
      button.setAttribute('aria-selected', String(i === index));
      button.tabIndex = i === index ? 0 : -1;
      panels[i]!.hidden = i !== index;
    });
    if (filled.has(index)) return;
    filled.add(index);
    list[index]!.content(panels[index]!);
  }
  const move = (event: Event): void => {
    const key = (event as KeyboardEvent).key;
    const present = buttons.findIndex((button) => button.getAttribute('aria-selected') === 'true');
    const steps: Record<string, number> = {
      ArrowRight: 1,
      ArrowLeft: -1,
      Home: -present,
      End: list.length - 1 - present,
    };
    const step = steps[key];
    if (step === undefined) return;
    event.preventDefault();
    const next = (present + step + list.length) % list.length;
    show(next);
    buttons[next]!.focus();
  };
  show(0);
  return h(
    'section',
    { class: 'card' },
    h('div', { role: 'tablist', 'aria-label': label, on: { keydown: move } }, buttons),
    panels,
  );
}
