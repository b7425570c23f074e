/** Lists of sessions, compared with what filtering and sorting them in memory says. An adapter runs this beside `metadataStoreSuite`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  hasHolds,
  isWithin,
  replayStates,
  type SessionDocument,
  type SessionQuery,
  searchTextOf,
  sessionOrderOf,
  sessionOutcomes,
  sessionPlacesOf,
  sessionSorts,
  sessionStatuses,
  sessionWord,
  sessionWordKinds,
  sessionWordsOf,
} from '@lucid-sessions/contract';
import type { MetadataStore } from '@lucid-sessions/storage';
import fc from 'fast-check';
import { sampleSession } from './sample.ts';

type Filters = Omit<SessionQuery, 'limit' | 'offset'>;

function isIn(query: Filters, session: SessionDocument): boolean {
  const { started, duration, size, outcome, replay } = sessionPlacesOf(session);
  const words = sessionWordsOf(session);
  const within = (value: number | string, min?: number | string, max?: number | string) =>
    (min === undefined || value >= min) && (max === undefined || value <= max);
  const same = <T>(wanted: T | undefined, value: T) => wanted === undefined || wanted === value;
  return (
    (query.status === undefined ? query.held !== undefined || session.status !== 'deleted' : true) &&
    same(query.status, session.status) &&
    same(query.project, session.metadata.project) &&
    same(query.environment, session.metadata.environment) &&
    same<string>(query.outcome, outcome) &&
    same<string>(query.replay, replay) &&
    same(query.held, hasHolds(session)) &&
    within(started, query.from, query.to) &&
    within(duration, query.durationMin, query.durationMax) &&
    within(size, query.sizeMin, query.sizeMax) &&
    (query.search === undefined || searchTextOf(session).includes(query.search.toLowerCase())) &&
    (query.within === undefined || isWithin(query.within, session)) &&
    sessionWordKinds.every((kind) => query[kind] === undefined || words[kind].includes(sessionWord(query[kind])))
  );
}

/** Texts by their bytes in UTF-8. */
const compare = (a: string | number, b: string | number): number =>
  typeof a === 'number' ? a - Number(b) : Buffer.compare(Buffer.from(a), Buffer.from(String(b)));

function inOrder(query: Filters, sessions: readonly SessionDocument[]): string[] {
  const { sort, descending } = sessionOrderOf(query);
  const newestFirst = (a: SessionDocument, b: SessionDocument) =>
    compare(b.created_at, a.created_at) || compare(a.session_id, b.session_id);
  const sorted = sessions.filter((session) => isIn(query, session)).sort(newestFirst);
  if (sort === 'created') return (descending ? sorted : sorted.reverse()).map(({ session_id }) => session_id);
  const way = descending ? -1 : 1;
  return sorted
    .sort((a, b) => way * compare(sessionPlacesOf(a)[sort], sessionPlacesOf(b)[sort]))
    .map(({ session_id }) => session_id);
}

const oneOf = fc.constantFrom;
/** Few words of awkward characters, so that many sessions share them. */
const word = oneOf(
  'ada',
  'ADA',
  'Ada\\x',
  'LAB\\ada',
  'bob',
  'a%b_c',
  `it's "x"`,
  'Straße',
  'İΣ',
  '😀￿',
  'a\nb',
  'ab',
  'x.y*[z]',
  'abcabcd',
);
const time = oneOf('2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.001Z', '2026-02-03T04:05:06.789Z');
const amount = oneOf(0, 1, 1.5, 7, 4_000_000_000);
const bytes = oneOf(0, 1, 7, 4_000_000_000, 2 ** 52);
const hosts = oneOf('Desk.Example', '10.0.0.1', '[fd00::1]', 'fd00::1');

const changesOf = fc.record({
  name: fc.tuple(word, word).map((parts) => parts.join(' ')),
  status: oneOf(...sessionStatuses),
  created_at: time,
  started_at: fc.option(time),
  created_by: fc.option(word),
  target_id: fc.option(oneOf('t1', 't2')),
  rdp_config: fc.record({ host: hosts, username: word, port: oneOf(3389, 3390) }).map(({ username, ...rest }) => ({
    ...sampleSession('x').rdp_config,
    ...rest,
    ...(username === 'bob' ? {} : { username, domain: 'LAB' }),
  })),
  metadata: fc.record(
    { project: oneOf('p1', 'P1'), environment: oneOf('e1', 'e2'), owner: word, tags: fc.array(word, { maxLength: 3 }) },
    { requiredKeys: [] },
  ),
  statistics: fc.record({ duration_seconds: amount, size_bytes: bytes }).map((some) => ({
    ...sampleSession('x').statistics,
    ...some,
  })),
  outcome: fc.option(oneOf(...sessionOutcomes)),
  replay: fc.option(
    oneOf(...replayStates).map((state) => ({ state, detail: 'd', examined_at: '2026-01-01T00:00:00.000Z' })),
  ),
  client_name: fc.option(word),
  client_address: fc.option(oneOf('10.0.0.7', 'fd00::7')),
  client_user: fc.option(word),
  holds: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    fc.constant([{ hold_id: 'h', reference: 'M', reason: 'r', set_by: 'u', set_at: '2026-01-01T00:00:00.000Z' }]),
  ),
});

/** An absent field is none: no store keeps `undefined`. */
const session = (id: string, changes: object) =>
  JSON.parse(JSON.stringify({ ...sampleSession(id), ...changes })) as SessionDocument;

const searched = fc.tuple(word, fc.nat(3), fc.integer({ min: 1, max: 6 })).map(([text, from, length]) => {
  const part = [...text].slice(from, from + length).join('');
  return part === '' ? text : part;
});
const scopeWord = fc.oneof(
  word.map((name) => `by ${name}`),
  word.map((name) => `label ${name}`),
  oneOf('project p1', 'project P1', 'target t1', 'target t2', 'id s0', 'id s1', 'id s10'),
);
const filters: fc.Arbitrary<Filters> = fc
  .tuple(
    fc.record(
      {
        status: oneOf(...sessionStatuses),
        project: oneOf('p1', 'P1', 'none'),
        environment: oneOf('e1', 'e2'),
        search: fc.oneof(searched, oneOf('desk', 'e', 's1', '-', 'nothing at all')),
        held: fc.constant(true as const),
        user: word,
        client: fc.oneof(word, oneOf('10.0.0.7', 'FD00::7')),
        target: oneOf('desk.example', 'DESK.EXAMPLE:3390', 'fd00::1', '[fd00::1]:3389', '10.0.0.1'),
        tag: word,
        within: fc.array(fc.array(scopeWord, { maxLength: 4 }), { minLength: 1, maxLength: 2 }),
        from: time,
        to: time,
        durationMin: amount,
        durationMax: amount,
        sizeMin: bytes,
        sizeMax: bytes,
        outcome: oneOf(...sessionOutcomes),
        replay: oneOf(...replayStates),
        sort: oneOf(...sessionSorts),
        descending: fc.boolean(),
      },
      { requiredKeys: [] },
    ),
    // Most filters of a query are left out, or nothing would ever be found.
    fc.infiniteStream(fc.nat(5)),
  )
  .map(([query, chances]) => {
    const chance = chances[Symbol.iterator]();
    const kept = Object.entries(query).filter(
      ([name]) => name === 'sort' || name === 'descending' || chance.next().value === 0,
    );
    return Object.fromEntries(kept) as Filters;
  });

/** `open` answers an empty store each time. */
export function sessionListSuite(name: string, open: () => Promise<MetadataStore>, numRuns = 6): void {
  test(`${name}: lists are what filtering and sorting in memory says, page by page`, { timeout: 600_000 }, async () => {
    const many = fc.array(changesOf, { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(
        many,
        many,
        fc.array(filters, { minLength: 30, maxLength: 30 }),
        async (made, changed, queries) => {
          const store = await open();
          try {
            const sessions = made.map((changes, at) => session(`s${at}`, changes));
            for (const each of sessions) assert.equal(await store.insertSession(each, null), true);
            for (const [at, changes] of changed.slice(0, made.length).entries()) {
              sessions[at] = session(`s${at}`, { ...changes, version: 2 });
              assert.equal(await store.replaceSession(sessions[at], 1), true);
              assert.equal(await store.replaceSession({ ...sessions[at], name: 'late' }, 1), false);
            }
            for (const query of queries) {
              const expected = inOrder(query, sessions);
              const ids = async (limit: number, offset: number) => {
                const page = await store.listSessions({ ...query, limit, offset });
                assert.equal(page.total, expected.length, JSON.stringify(query));
                return page.sessions.map(({ session_id }) => session_id);
              };
              assert.deepEqual(await ids(100, 0), expected, JSON.stringify(query));
              for (let offset = 0; offset <= expected.length; offset += 7)
                assert.deepEqual(await ids(7, offset), expected.slice(offset, offset + 7), JSON.stringify(query));
            }
          } finally {
            await store.dispose();
          }
        },
      ),
      // Without shrinking: against a real server that takes minutes.
      { numRuns, endOnFailure: true },
    );
  });
}
