import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type IndexEvent, type IndexFound, textsOf } from '@lucid-sessions/recording/session-index';
import { eventually } from '@lucid-sessions/testkit';
import { indexesOf, Shelf, sessionId } from './support/shelf.ts';

const wish = { inputs: true, logon: true, foundMax: 10_000 };
const whens = (found: readonly { timeUs: number }[]): number[] =>
  found.map(({ timeUs }) => timeUs).sort((a, b) => a - b);

/** A shelf whose keys can be destroyed, and that tells what was read. */
async function shelfWith(): Promise<{ shelf: Shelf; wrapped: { is: boolean }; asked: string[] }> {
  const shelf = await Shelf.of('xorg-rdesktop-drive', 40);
  const wrapped = { is: true };
  const asked: string[] = [];
  const { port } = shelf;
  const calls = {
    ...port,
    getWraps: async (request: { sessionId: string }) => (wrapped.is ? port.getWraps(request) : { wraps: [] }),
    getSidecar: async (request: { sessionId: string; name: string }) => {
      asked.push(request.name);
      return port.getSidecar(request);
    },
  };
  Object.defineProperty(shelf, 'port', { value: calls });
  return { shelf, wrapped, asked };
}

test('a search finds what the index tells, whole or in pieces, and says what is not indexed yet', async (t) => {
  const { shelf } = await shelfWith();
  const indexes = indexesOf(shelf);
  t.after(() => indexes.dispose());
  const first = await indexes.search(sessionId, { ...wish, text: 'drive' });
  assert.deepEqual([first.found, first.searchedChunks, first.chunks], [[], 0, shelf.shown]);
  // It is made behind the answer.
  let second = first;
  await eventually('the index to be made', async () => {
    second = await indexes.search(sessionId, { ...wish, text: '.txt' });
    return second.searchedChunks === second.chunks;
  });
  const events: IndexEvent[] = [];
  for await (const segment of indexes.segments(sessionId)) events.push(...segment.events);
  const plain = (part: string) =>
    events.filter((event) => textsOf(event).some((text) => text.toLowerCase().includes(part)));
  const words = [...new Set(events.flatMap(textsOf).flatMap((text) => text.toLowerCase().split(/\W+/)))];
  const parts = words.filter((word) => word.length > 1).slice(0, 40);
  assert.ok(parts.length > 5);
  for (const part of [...parts, 'nowhere at all']) {
    const { found, searchedChunks } = await indexes.search(sessionId, { ...wish, text: part });
    assert.equal(searchedChunks, shelf.shown);
    assert.deepEqual(whens(found), whens(plain(part)), part);
    assert.ok(found.every(({ excerpt }: IndexFound) => excerpt.length > 0));
  }
});

test('a recording that was looked through is passed over unread where its filter says so, but not when its keys are gone', async (t) => {
  const { shelf, wrapped, asked } = await shelfWith();
  const indexes = indexesOf(shelf);
  t.after(() => indexes.dispose());
  for await (const _ of indexes.segments(sessionId));
  await indexes.search(sessionId, { ...wish, text: 'drive' });
  asked.length = 0;
  const { found, searchedChunks } = await indexes.search(sessionId, { ...wish, text: 'surely not in there' });
  assert.deepEqual([found, searchedChunks, asked], [[], shelf.shown, []]);
  wrapped.is = false;
  const gone = { name: 'recordNotFound' };
  const named = async (text: string) =>
    indexes.search(sessionId, { ...wish, text }).then(
      () => 'found',
      (thrown: { errorName?: string; name: string }) => thrown.errorName ?? thrown.name,
    );
  assert.equal(await named('surely not in there'), await named('drive'), JSON.stringify(gone));
  assert.notEqual(await named('drive'), 'found');
});

test('a spoiled index is no answer and no error: what can be read of it is searched', async (t) => {
  const { shelf } = await shelfWith();
  const indexes = indexesOf(shelf);
  t.after(() => indexes.dispose());
  for await (const _ of indexes.segments(sessionId));
  shelf.sidecars.delete('index-whole');
  const spoiled = shelf.sidecars.get('index-000002')!;
  spoiled[spoiled.length - 20]! ^= 1;
  const { searchedChunks, chunks } = await indexes.search(sessionId, { ...wish, text: 'drive' });
  assert.deepEqual([searchedChunks, chunks], [1, shelf.shown]);
});
