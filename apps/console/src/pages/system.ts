import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { may } from '../api/credentials.ts';
import type { Facts } from '../api/types.ts';
import { append, type Child, fill, h } from '../ui/dom.ts';
import { formatBytes, formatClock, humanise } from '../ui/format.ts';
import { heldSessions } from '../ui/hold-panel.ts';
import { failure, isAbort, type Page, type PageContext, repeat } from '../ui/page.ts';
import { facts, instant } from '../ui/parts.ts';
import { gauge, type Reading } from '../ui/readings.ts';

type Statistics = RestAnswer<'systemStatistics'>;
type Policy = RestAnswer<'getPolicy'>;

const refreshMs = 10_000;

/** Health of the services and what the system holds. */
export function systemPage({ api, claims, signal }: PageContext): Page {
  const seesHolds = may(claims, 'audit:read') || may(claims, 'sessions:hold');
  const health = h('div', { class: 'grid-cards' });
  const statistics = h('div', { class: 'grid-cards' });

  const show = async <A>(into: HTMLElement, answer: Promise<A>, render: (answer: A) => Child): Promise<void> => {
    try {
      fill(into, render(await answer));
    } catch (error) {
      if (!isAbort(error)) fill(into, failure(error));
    }
  };
  const gauges = h('div', { class: 'grid-cards' });
  const read = gaugesOf(gauges);
  const seen = (answer: Statistics): Child => {
    read(answer);
    return statisticsTiles(answer);
  };
  const trust = h('div', { class: 'grid-cards' });
  const seesKeys = may(claims, 'evidence:read') || may(claims, 'chunks:read');
  void repeat(refreshMs, signal, async () => {
    await Promise.all([
      show(health, api.health(signal), healthTiles),
      show(statistics, api.rest.systemStatistics({ signal }), seen),
    ]);
  });
  if (seesKeys) void show(trust, api.rest.getPolicy({ signal }), trustTiles);
  return {
    title: 'System',
    content: [
      h('h1', {}, 'System'),
      h('h2', {}, 'Services'),
      health,
      h('h2', {}, 'Seen since this page was opened'),
      h(
        'p',
        { class: 'muted small' },
        'Read every 10 seconds while the page is in sight, and forgotten when it is left: no history is stored. The API does not serve how long a frame takes until it is durable, how old keys in use are, the room kept in reserve and the last checkpoint of the log; metrics say whether the reserve is held and how far log and witnesses are.',
      ),
      gauges,
      h('h2', {}, 'Statistics'),
      statistics,
      seesKeys && [h('h2', {}, 'Keys and witnesses'), trust],
      seesHolds && [h('h2', {}, 'Legal holds'), heldSessions(api, signal)],
    ],
  };
}

/** Takes what is read into the gauges, which stand in `host` once there is something to show. */
function gaugesOf(host: HTMLElement): (answer: Statistics) => void {
  const number = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 2 });
  const live = gauge('Running sessions', number);
  const free = gauge('Free room', formatBytes);
  const waiting = gauge('Jobs waiting', number);
  const pace = gauge('From a closed chunk to a stored one', (seconds) => `${number(seconds)} s`);
  return ({ system_stats: system, performance_stats: performance, storage_stats: storage }) => {
    const reading = (value: number): Reading => ({ at: Date.now(), value });
    live.add(reading(system.sessions_live), `of at most ${number(system.sessions_max)}`);
    if (storage !== null) {
      const percent = storage.total_bytes > 0 ? (storage.free_bytes * 100) / storage.total_bytes : 0;
      free.add(reading(storage.free_bytes), `${percent.toFixed(1)} % of ${formatBytes(storage.total_bytes)}`);
    }
    if (performance !== null) {
      const { jobs_running: running, jobs_failed: failed } = performance;
      waiting.add(reading(performance.jobs_waiting), `${number(running)} running, ${number(failed)} failed`);
      pace.add(
        reading(performance.average_chunk_seconds),
        `on average of ${number(performance.chunks_stored_since_start)} chunks since the start`,
      );
    }
    if (host.childElementCount === 0)
      append(host, [
        live.element,
        storage !== null && free.element,
        performance !== null && [waiting.element, pace.element],
      ]);
  };
}

function trustTiles({ identity_keys: keys, log_keys: logKeys, tsas = [], witnesses = [] }: Policy): Child {
  const retired = keys.filter(({ valid_to_us: end }) => end !== undefined);
  const last = Math.max(...retired.map(({ valid_to_us: end }) => end ?? 0));
  return [
    tile(
      'Signing keys',
      null,
      facts([
        ['In use', String(keys.length - retired.length)],
        ['Retired', String(retired.length)],
        ['Last retired', retired.length > 0 && instant(new Date(last / 1000).toISOString())],
        ['Keys of the log', String(logKeys.length)],
      ]),
    ),
    tile(
      'Witnesses',
      null,
      facts([
        ['Of the log', witnesses.length === 0 ? 'none' : witnesses.map((key) => h('div', {}, witnessName(key)))],
        ['Time-stamping', tsas.length === 0 ? 'none' : tsas.map(({ name }) => h('div', {}, name))],
      ]),
    ),
  ];
}

/** A verifier key begins with its name (C2SP signed-note). */
const witnessName = (key: string): string => key.split('+')[0] ?? key;

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
