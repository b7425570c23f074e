import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ContentItem, SessionDocument, StoragePort } from '@lucid-sessions/contract';
import { indexerPlatform, nodeCrypto } from '@lucid-sessions/node';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import type { IndexEvent, IndexSegment } from '@lucid-sessions/recording/session-index';
import { readCapture } from '@lucid-sessions/testkit';
import { SessionIndexes } from '../src/index.ts';
import { KeptRuns } from '../src/kept-runs.ts';
import { chunkFile } from './support/chunk-files.ts';

const sessionId = 'session-1';
const dek = new Uint8Array(32).fill(9);
const sealedSession = { sessionId, dek, dekId: new Uint8Array(16) };

function captureFrames(name: string): Frame[] {
  const path = new URL(`../../../testkit/captures/${name}.rdpcap.gz`, import.meta.url).pathname;
  return readCapture(path).records.map((record) => ({
    kind: frameKinds.pdu,
    flags: record.fromServer ? frameFlags.serverToClient : 0,
    channelId: 0,
    timeUs: record.timeMs * 1000,
    body: record.bytes,
  }));
}

/** The calls of storage an index needs, over chunks in memory; `shown` of them are stored so far. */
class Shelf {
  readonly sidecars = new Map<string, Uint8Array>();
  readonly chunks: (Uint8Array | null)[];
  shown: number;
  reads = 0;
  wrapped = true;

  constructor(chunks: Uint8Array[]) {
    this.chunks = chunks;
    this.shown = chunks.length;
  }

  get port(): StoragePort {
    const session = { session_id: sessionId, storage_config: { encryption_enabled: true }, recording_config: {} };
    const calls = {
      getSession: async (request: { sessionId: string }) => ({
        session: request.sessionId === sessionId ? (session as unknown as SessionDocument) : null,
      }),
      getWraps: async () => ({ wraps: this.wrapped ? [{ scheme: 'x', recipient: '', keyId: '', wrapped: dek }] : [] }),
      listChunks: async () => ({ chunks: [], total: this.shown }),
      getChunk: async ({ index }: { index: number }) => ({
        chunk: { flags: index === this.chunks.length - 1 ? 4 : 0 },
      }),
      readChunk: async ({ index }: { index: number }) => {
        this.reads += 1;
        return { file: this.chunks[index] ?? null };
      },
      putSidecar: async ({ name, bytes }: { name: string; bytes: Uint8Array }) => void this.sidecars.set(name, bytes),
      getSidecar: async ({ name }: { name: string }) => ({ bytes: this.sidecars.get(name) ?? null }),
    };
    return calls as unknown as StoragePort;
  }
}

async function shelfOf(name: string, parts: number): Promise<Shelf> {
  const frames = captureFrames(name);
  const step = Math.ceil(frames.length / parts);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < frames.length; at += step)
    chunks.push(await chunkFile(sealedSession, chunks.length, frames.slice(at, at + step)));
  return new Shelf(chunks);
}

const indexesOf = (shelf: Shelf, onError?: (where: string, thrown: unknown) => void) =>
  new SessionIndexes({
    storage: shelf.port,
    crypto: nodeCrypto,
    platform: indexerPlatform,
    unwrapKey: async (wraps) => wraps[0]!.wrapped,
    ...(onError === undefined ? {} : { onError }),
  });

const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
};
const texts = (segments: readonly IndexSegment[]): string[] =>
  segments.flatMap(({ events }) => events.map((event: IndexEvent) => JSON.stringify(event))).sort();

test('who made the last segment goes on; who comes later goes on from the state that is stored every eight chunks', async (t) => {
  const shelf = await shelfOf('xorg-rdesktop-drive', 12);
  const first = indexesOf(shelf);
  t.after(() => first.dispose());
  for (const shown of [2, 3, 9, 10]) {
    shelf.shown = shown;
    assert.equal((await all(first.segments(sessionId))).length, shown);
    assert.equal(shelf.reads, shown, 'no chunk is read twice');
    assert.equal(shelf.sidecars.has('index-state'), shown > 8);
  }
  shelf.shown = 12;
  const second = indexesOf(shelf);
  t.after(() => second.dispose());
  const segments = await all(second.segments(sessionId));
  assert.equal(shelf.reads, 10 + 4);
  assert.deepEqual(texts(await all(first.segments(sessionId))), texts(segments));
});

test('more sessions than there are places for take turns, and those long away give theirs up', () => {
  const closed: number[] = [];
  let nowMs = 0;
  const runs = new KeptRuns(
    (run) => closed.push(run),
    () => nowMs,
  );
  let count = 0;
  for (; runs.hasRoom; count += 1) runs.keep(`session ${count}`, { run: count, next: 1, stored: 0 });
  assert.ok(count >= 8);
  assert.equal(runs.take('session 3')?.run, 3);
  assert.equal(runs.take('session 3'), null);
  assert.ok(runs.hasRoom);
  nowMs = 299_000;
  runs.keep('session 3', { run: 3, next: 2, stored: 0 });
  nowMs = 301_000;
  assert.ok(runs.hasRoom);
  assert.deepEqual(closed, [0, 1, 2, ...Array.from({ length: count - 4 }, (_, index) => index + 4)]);
  assert.equal(runs.take('session 3')?.next, 2);
});

test('segments are made once and come out the same when made again', async (t) => {
  const shelf = await shelfOf('xorg-rdesktop-drive', 5);
  const second = indexesOf(shelf);
  t.after(() => second.dispose());
  const segments = await all(second.segments(sessionId));
  assert.equal(shelf.reads, 5, 'no chunk is read twice');
  assert.deepEqual(
    segments.map(({ chunkIndex, last }) => [chunkIndex, last]),
    [
      [0, false],
      [1, false],
      [2, false],
      [3, false],
      [4, true],
    ],
  );
  assert.ok(texts(segments).some((text) => text.includes('/back.txt')));
  const whole = shelf.sidecars.get('index-whole');
  assert.ok(whole, 'put together when it was read to its end');
  for (const name of [...shelf.sidecars.keys()]) if (name !== 'index-whole') shelf.sidecars.delete(name);
  assert.deepEqual(await all(second.segments(sessionId)), segments);
  assert.equal(shelf.reads, 5, 'one piece is enough');

  for (const spoil of ['index-000003', 'index-state', 'index-whole'] as const) {
    shelf.sidecars.delete('index-whole');
    shelf.sidecars.set(spoil, new Uint8Array(100));
    assert.deepEqual(texts(await all(second.segments(sessionId))), texts(segments), spoil);
  }
  shelf.sidecars.clear();
  assert.deepEqual(texts(await all(second.segments(sessionId))), texts(segments));
});

test('a chunk that is missing or spoiled is an entry, and the rest is read', async (t) => {
  const shelf = await shelfOf('xorg-clip-drive', 4);
  shelf.chunks[2] = null;
  shelf.chunks[3] = shelf.chunks[3]!.map((byte, at) => (at === 200 ? byte ^ 1 : byte));
  const indexes = indexesOf(shelf);
  t.after(() => indexes.dispose());
  const errors = (await all(indexes.segments(sessionId))).map(({ events }) =>
    events.flatMap((event) => (event.kind === 'error' ? [event.code] : [])),
  );
  assert.deepEqual(errors[2], ['chunk.missing']);
  assert.deepEqual(errors[3], ['chunk.auth']);
});

test('contents of clipboard and drive come out whole', async (t) => {
  const shelf = await shelfOf('xorg-rdesktop-drive', 3);
  const indexes = indexesOf(shelf);
  t.after(() => indexes.dispose());
  const items: ContentItem[] = await all(indexes.contents(sessionId));
  const written = items.find(({ kind }) => kind === 'drive_written')!;
  assert.equal(written.name, 'share:/back.txt');
  const hash = createHash('sha256').update(written.bytes).digest('hex');
  const segments = await all(indexes.segments(sessionId));
  assert.ok(texts(segments).some((text) => text.includes('drive_written') && text.includes(hash)));
  assert.ok(items.some(({ kind, bytes }) => kind === 'drive_read' && Buffer.from(bytes).toString() === 'hello\n'));
});

test('following makes the index without being asked, and says what went wrong', async (t) => {
  const shelf = await shelfOf('xorg-clip-drive', 2);
  const problems: unknown[] = [];
  const indexes = indexesOf(shelf, (_where, thrown) => problems.push(thrown));
  t.after(() => indexes.dispose());
  indexes.follow('unknown');
  indexes.follow(sessionId);
  while (!shelf.sidecars.has('index-000002')) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(problems.length, 1);
});

test('without a key there is no index', async (t) => {
  const shelf = await shelfOf('xorg-clip-drive', 1);
  shelf.wrapped = false;
  const indexes = indexesOf(shelf);
  t.after(() => indexes.dispose());
  await assert.rejects(all(indexes.segments(sessionId)), { code: 'LUCID_ERR_3021' });
  await assert.rejects(all(indexes.segments('other')), { code: 'LUCID_ERR_3001' });
});
