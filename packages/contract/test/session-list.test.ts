import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  noStatistics,
  type SessionDocument,
  sessionOrderOf,
  sessionPlacesOf,
  sessionSorts,
  sessionWordsOf,
} from '../src/index.ts';

const session = {
  name: 'N'.repeat(300),
  status: 'completed',
  created_at: '2026-01-01T00:00:00.000Z',
  started_at: null,
  created_by: 'Eve',
  rdp_config: { host: '[FD00::1]', port: 3390, username: 'Ada', domain: 'LAB' },
  metadata: { owner: 'corp\\Bob', tags: ['b', 'A', 'b'] },
  statistics: { ...noStatistics, duration_seconds: 1.5, size_bytes: 7 },
} as unknown as SessionDocument;

test('a session is found by each of its names, in any case, and by none of their parts', () => {
  const came = {
    client_name: 'PC1',
    client_address: 'fd00::7',
    came_by: { way: 'browser', user: 'Zoe' },
    target_id: 'T-1',
  } as const;
  const words = sessionWordsOf({ ...session, client_user: 'X\\Ada', ...came });
  assert.deepEqual(new Set(words.user), new Set(['ada', 'lab\\ada', 'x\\ada', 'corp\\bob', 'bob', 'eve', 'zoe']));
  assert.deepEqual(words.client, ['pc1', 'fd00::7']);
  assert.deepEqual(words.target, ['fd00::1', '[fd00::1]:3390', 't-1']);
  assert.deepEqual(words.tag, ['b', 'a']);
  const bare = sessionWordsOf({
    ...session,
    created_by: null,
    metadata: {},
    rdp_config: { ...session.rdp_config, host: 'h' },
  });
  assert.deepEqual([bare.client, bare.target, bare.tag], [[], ['h', 'h:3390'], []]);
});

test('a session has a place in every order, also where there is nothing to order it by', () => {
  const places = sessionPlacesOf(session);
  assert.deepEqual(Object.keys(places).sort(), [...sessionSorts].sort());
  assert.deepEqual(
    { ...places, name: places.name.length },
    {
      ...{
        created: session.created_at,
        started: session.created_at,
        name: 100,
        status: 'completed',
        user: 'ada',
        client: '',
      },
      ...{ target: '[fd00::1]', project: '', tag: 'a', duration: 1.5, size: 7, outcome: '', replay: '' },
    },
  );
  const begun = { ...session, started_at: '2026-01-02T00:00:00.000Z', client_user: 'bob', client_address: '10.0.0.7' };
  const { started, user, client } = sessionPlacesOf(begun);
  assert.deepEqual([started, user, client], ['2026-01-02T00:00:00.000Z', 'bob', '10.0.0.7']);
});

test('times, lengths and sizes go down by themselves, texts up', () => {
  assert.deepEqual(sessionOrderOf({}), { sort: 'created', descending: true });
  assert.deepEqual(sessionOrderOf({ sort: 'size' }), { sort: 'size', descending: true });
  assert.deepEqual(sessionOrderOf({ sort: 'name' }), { sort: 'name', descending: false });
  assert.deepEqual(sessionOrderOf({ sort: 'name', descending: true }), { sort: 'name', descending: true });
});
