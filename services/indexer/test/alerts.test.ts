/** Rules over the index of a session: what they say, of which moment, and that they say it again the same. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  type AlertCondition,
  type AlertHit,
  type AlertProgress,
  type AlertRules,
  type AlertsFound,
  alertsPerChunkMax,
  noAlertProgress,
} from '@lucid-sessions/contract';
import { type IndexEvent, type IndexSegment, textsOf } from '@lucid-sessions/recording/session-index';
import { eventually } from '@lucid-sessions/testkit';
import fc from 'fast-check';
import { isUsualTime } from '../src/alerts/judge-hours.ts';
import { patternProblem } from '../src/alerts/judge-pattern.ts';
import { judgeSegment } from '../src/alerts/judge-segment.ts';
import { indexesOf, Shelf, sessionId } from './support/shelf.ts';

const secondUs = 1_000_000;
const minuteUs = 60 * secondUs;
/** A Wednesday, 12:00 UTC. */
const noonUs = Date.UTC(2026, 6, 1, 12) * 1000;

type Rule = AlertRules['rules'][number];
const ruleOf = (condition: AlertCondition, sinceUs = 0): Rule => ({ ruleId: randomUUID(), condition, sinceUs });
const patternOf = (pattern: string, more: object = {}): Rule =>
  ruleOf({
    kind: 'pattern',
    pattern,
    in: ['typed', 'clipboard', 'windows', 'files'],
    match_case: false,
    before_logon: false,
    ...more,
  });

const typed = (timeUs: number, text: string | null, atLogon = false): IndexEvent => ({
  ...{ kind: 'typed', timeUs, untilUs: timeUs, text, keys: 1, erased: 0, entered: true, approximate: false, atLogon },
});
const written = (timeUs: number, bytes: number): IndexEvent => ({
  ...{
    kind: 'drive_written',
    timeUs,
    drive: 'C',
    path: '\\out\\report.xlsx',
    offset: 0,
    bytes,
    size: null,
    sha256: null,
  },
});

function segmentOf(events: IndexEvent[], more: Partial<IndexSegment> = {}): IndexSegment {
  const activity = [{ second: 0, serverBytes: 1, clientBytes: 1, updates: 1, inputs: 0 }];
  return { chunkIndex: 0, last: false, untilUs: events.at(-1)?.timeUs ?? 0, dropped: 0, activity, events, ...more };
}

const judge = (events: IndexEvent[], rules: Rule[], progress = noAlertProgress) =>
  judgeSegment(segmentOf(events), noonUs, rules, progress);
const momentsOf = ({ hits }: { hits: readonly AlertHit[] }) => hits.map(({ timeUs }) => timeUs);

test('a pattern finds what was typed, copied, shown as a title and named as a file, and where it was told to look alone', () => {
  const events: IndexEvent[] = [
    typed(1, 'drop table users;'),
    { kind: 'clipboard_text', timeUs: 2, from: 'client', text: 'DROP  TABLE x', characters: 13, sha256: null },
    { kind: 'window', timeUs: 3, what: 'opened', windowId: 1, title: 'Drop table - SQL' },
    { kind: 'drive_open', timeUs: 4, drive: 'C', path: '\\drop table.sql', opened: true, forWriting: false },
    { kind: 'drive_renamed', timeUs: 5, drive: 'C', path: 'a', newPath: 'drop table' },
    typed(6, null),
    typed(7, 'select 1'),
  ];
  assert.deepEqual(momentsOf(judge(events, [patternOf('drop\\s+table')])), [1, 2, 3, 4, 5]);
  assert.deepEqual(momentsOf(judge(events, [patternOf('drop\\s+table', { in: ['windows'] })])), [3]);
  assert.deepEqual(momentsOf(judge(events, [patternOf('drop\\s+table', { match_case: true })])), [1, 4, 5]);
});

test('what may be a password is held against no pattern that does not ask for it', () => {
  assert.deepEqual(judge([typed(1, 'swordfish', true)], [patternOf('.')]).hits, []);
  assert.deepEqual(momentsOf(judge([typed(1, 'swordfish', true)], [patternOf('.', { before_logon: true })])), [1]);
});

test('many in one chunk raise a few alerts, the last of which says how many more there were', () => {
  const events = Array.from({ length: 50 }, (_, at) => typed(at, 'sudo'));
  const { hits } = judge(events, [patternOf('sudo')]);
  assert.equal(hits.length, alertsPerChunkMax);
  assert.deepEqual(
    hits.map(({ more }) => more),
    [...new Array<number>(alertsPerChunkMax - 1).fill(0), 50 - alertsPerChunkMax],
  );
});

test('what happened before a rule was made is not its business', () => {
  const events = [typed(1 * secondUs, 'sudo'), typed(9 * secondUs, 'sudo')];
  const rule = { ...patternOf('sudo'), sinceUs: noonUs + 5 * secondUs };
  assert.deepEqual(momentsOf(judge(events, [rule])), [9 * secondUs]);
});

test('a pattern that others hang on is done, and one that is none is refused in words', () => {
  const { hits } = judge([typed(1, `${'a'.repeat(16_000)}!`)], [patternOf('^(a+)+$'), patternOf('(a|aa)+$')]);
  assert.deepEqual(hits, []);
  assert.equal(patternProblem('(a+)+$'), null);
  for (const wrong of ['(', 'a{9999}', '(?=a)', '(a)\\1', '((a{100}){100}){100}'])
    assert.match(patternProblem(wrong) ?? '', /error parsing regexp/, wrong);
});

test('texts beyond what one chunk may cost are passed over and counted', () => {
  const text = 'x'.repeat(16_000);
  const events = Array.from({ length: 100 }, (_, at) => typed(at, text));
  const { hits, skipped } = judge([...events, typed(100, 'sudo')], [patternOf('sudo')]);
  assert.equal(skipped, 100 - Math.floor(1_000_000 / 16_000));
  assert.deepEqual(momentsOf({ hits }), [100]);
});

test('a pattern of many instructions, each of which every character may go through, looks at less', () => {
  const events = Array.from({ length: 60 }, (_, at) => typed(at, 'ab '.repeat(1000)));
  const { hits, skipped } = judge([...events, typed(60, 'x')], [patternOf('((\\p{L}?){1000})x')]);
  assert.ok(skipped > 50, `${skipped} of 60 were passed over`);
  assert.deepEqual(momentsOf({ hits }), [60]);
});

const usual = (more: object): Extract<AlertCondition, { kind: 'hours' }> => ({
  ...{ kind: 'hours', time_zone: 'UTC', days: [1, 2, 3, 4, 5], from: '08:00', to: '18:00', ...more },
});
const utc = (text: string): number => Date.parse(text) * 1000;

test('the usual time is by the clock of its zone, on the days it names, over midnight and over the change of summer time', () => {
  const cases: [object, string, boolean][] = [
    [{}, '2026-07-01T07:59:59Z', false],
    [{}, '2026-07-01T08:00:00Z', true],
    [{}, '2026-07-01T18:00:00Z', false],
    [{}, '2026-07-04T12:00:00Z', false],
    [{ time_zone: 'Europe/Berlin' }, '2026-07-01T06:00:00Z', true],
    [{ time_zone: 'Europe/Berlin' }, '2026-12-01T06:00:00Z', false],
    [{ time_zone: 'Asia/Kolkata' }, '2026-07-01T02:30:00Z', true],
    // A night that begins on a Friday goes on into Saturday; one that begins on a Saturday is none.
    [{ from: '22:00', to: '06:00' }, '2026-07-04T05:00:00Z', true],
    [{ from: '22:00', to: '06:00' }, '2026-07-05T05:00:00Z', false],
    [{ from: '00:00', to: '00:00' }, '2026-07-01T23:59:59Z', true],
    [{ from: '00:00', to: '00:00' }, '2026-07-05T00:00:00Z', false],
  ];
  for (const [more, at, expected] of cases)
    assert.equal(isUsualTime(usual(more), utc(at)), expected, `${at} ${JSON.stringify(more)}`);
});

test('unusual hours are told once: at the beginning, or when somebody goes on past their end', () => {
  const rule = ruleOf(usual({ to: '12:30' }));
  const late = ruleOf(usual({ from: '13:00' }));
  const row = (minute: number, inputs: number) => ({
    second: minute * 60,
    serverBytes: 1,
    clientBytes: 1,
    updates: 1,
    inputs,
  });
  const first = judgeSegment(
    segmentOf([], { activity: [row(0, 0), row(10, 3)] }),
    noonUs,
    [rule, late],
    noAlertProgress,
  );
  assert.deepEqual(first.hits, [{ ruleId: late.ruleId, timeUs: 0, atUs: noonUs, more: 0 }]);
  const segment = segmentOf([], {
    chunkIndex: 1,
    untilUs: 41 * minuteUs,
    activity: [row(29, 1), row(31, 0), row(32, 1), row(40, 1)],
  });
  const second = judgeSegment(segment, noonUs + 29 * minuteUs, [rule, late], first.progress);
  assert.deepEqual(second.hits, [
    { ruleId: rule.ruleId, timeUs: 32 * minuteUs, atUs: noonUs + 32 * minuteUs, more: 0 },
  ]);
  assert.deepEqual(
    judgeSegment({ ...segment, chunkIndex: 2 }, noonUs + 29 * minuteUs, [rule, late], second.progress).hits,
    [],
  );
});

test('what leaves the target within minutes is added up over chunks, and told again only when the minutes have passed', () => {
  const rule = ruleOf({ kind: 'volume', of: 'bytes', through: ['drives'], more_than: 100, minutes: 2 });
  const files = ruleOf({ kind: 'volume', of: 'files', through: ['clipboard', 'drives'], more_than: 1, minutes: 1 });
  const first = judge([written(0, 60)], [rule, files]);
  assert.deepEqual(first.hits, []);
  const second = judge([written(1 * minuteUs, 50), written(1 * minuteUs + 1, 500)], [rule, files], first.progress);
  assert.deepEqual(momentsOf(second), [1 * minuteUs, 1 * minuteUs + 1]);
  const third = judge([written(2 * minuteUs, 500), written(3 * minuteUs, 1)], [rule], second.progress);
  assert.deepEqual(momentsOf(third), [3 * minuteUs]);
});

test('however a session is cut into chunks, volumes are told of the same moments', () => {
  const rule = ruleOf({ kind: 'volume', of: 'bytes', through: ['drives'], more_than: 1000, minutes: 5 });
  const events = fc
    .array(fc.tuple(fc.nat(30 * 60), fc.nat(600)), { maxLength: 40 })
    .map((all) => all.sort(([a], [b]) => a - b).map(([second, bytes]) => written(second * secondUs, bytes)));
  fc.assert(
    fc.property(events, fc.array(fc.nat(40), { maxLength: 6 }), (all, cuts) => {
      const places = [0, ...cuts.map((cut) => Math.min(cut, all.length)).sort((a, b) => a - b), all.length];
      let progress: AlertProgress = noAlertProgress;
      const moments: number[] = [];
      for (const [at, from] of places.slice(0, -1).entries()) {
        const judged = judge(all.slice(from, places[at + 1]), [rule], progress);
        moments.push(...momentsOf(judged));
        progress = JSON.parse(JSON.stringify(judged.progress)) as AlertProgress;
      }
      // Further ones of a chunk are counted in its last.
      assert.deepEqual(moments, momentsOf(judge(all, [rule])));
    }),
    { numRuns: 200 },
  );
});

test('a session that is followed is judged chunk by chunk, and after a restart from where it was', async (t) => {
  const shelf = await Shelf.of('xorg-rdesktop-drive', 40);
  const rule = patternOf('\\.txt');
  const found: AlertsFound[] = [];
  const keeper = {
    alertRules: async () => ({
      rules: [rule],
      next: found.length === 0 ? 0 : found.at(-1)!.chunkIndex + 1,
      progress: found.at(-1)?.progress ?? noAlertProgress,
    }),
    alertsFound: async (request: AlertsFound) => void found.push(request),
  };
  const all = shelf.shown;
  shelf.shown = Math.floor(all / 2);
  const first = indexesOf(shelf, undefined, keeper);
  first.follow(sessionId);
  await eventually('the first half to be judged', async () => found.length === shelf.shown);
  await first.dispose();
  shelf.shown = all;
  const second = indexesOf(shelf, undefined, keeper);
  t.after(() => second.dispose());
  second.follow(sessionId);
  await eventually('the rest to be judged', async () => found.length === all);
  assert.deepEqual(
    found.map(({ chunkIndex }) => chunkIndex),
    Array.from({ length: all }, (_, at) => at),
  );
  const events: IndexEvent[] = [];
  for await (const segment of second.segments(sessionId)) events.push(...segment.events);
  const named = events.filter((event) => 'path' in event && textsOf(event).some((text) => text.includes('.txt')));
  assert.ok(named.length > 0);
  const hits = found.flatMap((one) => one.hits);
  assert.equal(hits.length + hits.reduce((sum, { more }) => sum + more, 0), named.length);
  assert.ok(hits.every(({ timeUs }) => named.some((event) => event.timeUs === timeUs)));
});
