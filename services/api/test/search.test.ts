/** One question to many recordings: whose it asks, what it tells, and what it leaves behind. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { LucidError, type SearchedRecording } from '@lucid-sessions/contract';
import { readRecordOf } from '@lucid-sessions/evidence';
import type { IndexSearch } from '@lucid-sessions/recording/session-index';
import { type ApiWorld, apiWorld } from './world.ts';

let world: ApiWorld;
let sessions: string[];
let asked: string[];
let searched: (sessionId: string, search: IndexSearch) => Promise<SearchedRecording>;
const nothing: SearchedRecording = { found: [], more: false, searchedChunks: 3, chunks: 3 };
const hit: SearchedRecording = {
  ...nothing,
  found: [{ timeUs: 1_500_000, kind: 'typed', excerpt: 'DROP TABLE users' }],
};

before(async () => {
  const sessionIndexes = {
    search: (sessionId: string, search: IndexSearch) => {
      asked.push(sessionId);
      return searched(sessionId, search);
    },
  };
  world = await apiWorld({}, { sessionIndexes: sessionIndexes as never });
  sessions = [];
  for (let count = 0; count < 4; count += 1) sessions.unshift(await world.record());
  await world.create();
});
beforeEach(() => {
  asked = [];
  searched = async () => hit;
});
after(() => world.dispose());

interface Answer {
  recordings: { session_id: string; hits: { time_us: number; excerpt: string }[]; created_at: string }[];
  searched: number;
  not_indexed: number;
  on_request: number;
  unreadable: number;
  complete: boolean;
  continue_at: string | null;
}
const body = { text: 'drop table', reason: 'case 17', inputs: true };
async function search(changes: Record<string, unknown> = {}, roles: string[] = ['auditor']) {
  const answer = await world.call('searchRecordings', { body: { ...body, ...changes }, roles });
  return { status: answer.status, error: answer.body.error, said: answer.body as unknown as Answer };
}
const idsOf = ({ said }: { said: Answer }) => said.recordings.map(({ session_id }) => session_id);
const audited = async (eventType: string) =>
  (await world.deps.storage.listAudit({ eventType, limit: 10, offset: 0 })).events;

test('recordings are searched newest first, and what was found leads to its moment', async () => {
  const all = await search();
  assert.deepEqual(idsOf(all), sessions);
  assert.deepEqual(all.said.recordings[0]!.hits, [{ time_us: 1_500_000, kind: 'typed', excerpt: 'DROP TABLE users' }]);
  assert.deepEqual([all.said.searched, all.said.complete, all.said.continue_at], [4, true, null]);
  searched = async (sessionId) => (sessionId === sessions[2] ? hit : nothing);
  assert.deepEqual(idsOf(await search()), [sessions[2]]);
});

test('a question that is cut short says where it goes on', async () => {
  const first = await search({ recordings_max: 3 });
  assert.deepEqual(idsOf(first), sessions.slice(0, 3));
  assert.equal(first.said.complete, false);
  const rest = await search({ recordings_max: 3, to: first.said.continue_at });
  assert.deepEqual(idsOf(rest), [sessions[3]]);
  assert.equal(rest.said.complete, true);
});

test('only recordings that are meant are opened', async () => {
  const { session } = await world.deps.storage.getSession({ sessionId: sessions[1]! });
  assert.deepEqual(idsOf(await search({ from: session!.created_at, to: session!.created_at })), [sessions[1]]);
  assert.deepEqual(asked, [sessions[1]]);
  assert.deepEqual(idsOf(await search({ user: 'NOBODY' })), []);
  assert.deepEqual(idsOf(await search({ user: 'ADA' })), sessions);
  assert.deepEqual(idsOf(await search({ host: 'elsewhere' })), []);
  assert.deepEqual(idsOf(await search({ host: session!.rdp_config.host.toUpperCase() })), sessions);
  assert.deepEqual(idsOf(await search({ status: 'failed' })), []);
  assert.deepEqual(idsOf(await search({ project: 'other' })), []);
});

test('who may not see inputs can not search them; the reason is demanded, the text is written nowhere', async () => {
  const refused = await search({}, ['session_viewer']);
  assert.deepEqual([refused.status, asked], [403, []]);
  assert.equal((await audited('permission_denied'))[0]?.details.reason, 'case 17');
  let seen: IndexSearch | null = null;
  searched = async (_, what) => {
    seen = what;
    return nothing;
  };
  assert.equal((await search({ inputs: false }, ['session_viewer'])).status, 200);
  assert.deepEqual([seen!.inputs, seen!.logon], [false, false]);
  for (const wrong of [
    { reason: undefined },
    { reason: ' ' },
    { text: 'x' },
    { inputs: false, logon: true },
    { extra: 1 },
  ])
    assert.equal((await search(wrong)).status, 400, JSON.stringify(wrong));
  searched = async () => hit;
  await search({ logon: true });
  const [event] = await audited('recordings_searched');
  assert.deepEqual(event!.details, {
    reason: 'case 17',
    inputs: true,
    logon: true,
    searched: 4,
    not_indexed: 0,
    on_request: 0,
    unreadable: 0,
    found: 4,
  });
  assert.equal(JSON.stringify(await audited('recordings_searched')).includes('drop'), false);
  const { records } = await world.deps.storage.getRecords({ sessionId: sessions[0]!, kind: 'custody' });
  const last = readRecordOf('custody', records.at(-1)!.record).body;
  assert.deepEqual([last.action, last.detail], ['view', 'found by a search of inputs: case 17']);
});

test('a recording that can not be read, or is not indexed yet, is counted and keeps no other from being found', async () => {
  searched = async (sessionId) => {
    if (sessionId === sessions[0]) throw new LucidError('recordNotFound', 'no key');
    if (sessionId === sessions[1]) throw new Error('something else');
    return sessionId === sessions[2] ? { ...hit, searchedChunks: 1 } : hit;
  };
  const answer = await search();
  assert.deepEqual(idsOf(answer), sessions.slice(2));
  assert.deepEqual([answer.said.searched, answer.said.not_indexed, answer.said.unreadable], [2, 1, 2]);
});

test('what is shown on request only is not shown by a search', async () => {
  const { session } = await world.deps.storage.getSession({ sessionId: sessions[3]! });
  const closed = { ...session!, recording_config: { ...session!.recording_config, viewing: 'approval' as const } };
  const expectedVersion = session!.version;
  const swap = { session: { ...closed, version: expectedVersion + 1 }, expectedVersion };
  assert.equal((await world.deps.storage.replaceSession(swap)).replaced, true);
  const answer = await search();
  assert.deepEqual(idsOf(answer), sessions.slice(0, 3));
  assert.deepEqual([asked.includes(sessions[3]!), answer.said.on_request, answer.said.searched], [false, 1, 3]);
});

test('one search at a time', async () => {
  const held = Promise.withResolvers<SearchedRecording>();
  const begun = Promise.withResolvers<void>();
  searched = () => {
    begun.resolve();
    return held.promise;
  };
  const first = search();
  await begun.promise;
  assert.equal((await search()).status, 503);
  held.resolve(nothing);
  assert.equal((await first).status, 200);
  searched = async () => {
    throw new LucidError('unavailable', 'the index thread ended');
  };
  assert.equal((await search()).status, 503);
  searched = async () => nothing;
  assert.equal((await search()).status, 200);
});
