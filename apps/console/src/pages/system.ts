import { may } from '../api/credentials.ts';
import type { Facts } from '../api/types.ts';
import { type Child, fill, h } from '../ui/dom.ts';
import { formatBytes, formatClock, humanise } from '../ui/format.ts';
import { heldSessions } from '../ui/hold-panel.ts';
import { failure, isAbort, type Page, type PageContext, repeat } from '../ui/page.ts';
import { facts } from '../ui/parts.ts';

const refreshMs = 10_000;

/** Health of the services and what the system holds. */
export function systemPage({ api, claims, signal }: PageContext): Page {
  const seesHolds = may(claims, 'audit:read') || may(claims, 'sessions:hold');
  const health = h('div', { class: 'grid-cards' });
  const statistics = h('div', { class: 'grid-cards' });

  const show = async (into: HTMLElement, answer: Promise<Facts>, render: (answer: Facts) => Child): Promise<void> => {
    try {
      fill(into, render(await answer));
    } catch (error) {
      if (!isAbort(error)) fill(into, failure(error));
    }
  };
  void repeat(refreshMs, signal, async () => {
    await Promise.all([
      show(health, api.health(signal), healthTiles),
      show(statistics, api.rest.systemStatistics({ signal }), statisticsTiles),
    ]);
  });
  return {
    title: 'System',
    content: [
      h('h1', {}, 'System'),
      h('h2', {}, 'Services'),
      health,
      h('h2', {}, 'Statistics'),
      statistics,
      seesHolds && [h('h2', {}, 'Legal holds'), heldSessions(api, signal)],
    ],
  };
}

const healthTone: Record<string, string> = { healthy: 'good', degraded: 'warn', unhealthy: 'bad' };

function badge(status: unknown): HTMLElement {
  const text = String(status ?? 'unknown');
  return h('span', { class: `status ${healthTone[text] ?? ''}` }, text);
}

const isFacts = (value: unknown): value is Facts =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function healthTiles(answer: Facts): Child {
  const services = isFacts(answer.services) ? answer.services : {};
  const parts: [string, unknown][] = [
    ...Object.entries(services),
    ['database', answer.database],
    ['disk', answer.storage],
  ];
  return [
    tile(
      'All together',
      badge(answer.status),
      rows(answer, ['status', 'services', 'database', 'storage', 'timestamp']),
    ),
    parts
      .filter(([, part]) => part !== undefined)
      .map(([name, part]) =>
        tile(
          humanise(name),
          badge(isFacts(part) ? part.status : part),
          isFacts(part) ? rows(part, ['status', 'service']) : null,
        ),
      ),
  ];
}

export function statisticsTiles(answer: Facts): Child {
  return Object.entries(answer)
    .filter((entry): entry is [string, Facts] => isFacts(entry[1]))
    .map(([name, group]) => tile(humanise(name.replace(/_stats$/, '')), null, rows(group, [])));
}

function tile(name: string, mark: Child, body: Child = null): HTMLElement {
  return h(
    'section',
    { class: 'card tile' },
    h('div', { class: 'heading' }, h('h3', { class: 'grow' }, name), mark),
    body,
  );
}

function rows(group: Facts, leftOut: readonly string[]): Child {
  const shown = Object.entries(group).filter(
    ([name, value]) => !leftOut.includes(name) && value !== null && value !== '',
  );
  return facts(
    shown.map(([name, value]) => [humanise(name.replace(/_(?:bytes|seconds)$/, '')), amountOf(name, value)]),
  );
}

/** A number by the unit its name ends in; anything nested as name: value. */
export function amountOf(name: string, value: unknown): string {
  if (typeof value === 'number') {
    if (/_?bytes$/.test(name)) return formatBytes(value);
    if (/_seconds$/.test(name)) return formatClock(value);
    return Number.isInteger(value) ? value.toLocaleString('en') : value.toFixed(2);
  }
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (isFacts(value))
    return Object.entries(value)
      .map(([key, part]) => `${key}: ${amountOf(key, part)}`)
      .join(', ');
  return String(value);
}
