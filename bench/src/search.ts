/**
 * `npm run bench search [RECORDINGS]`: one question to the sealed indexes of many recordings, through the API. The recordings are 300 events each: typed
 * lines, titles, copied texts and paths, of the words of this repository's own pages. First with no filter in memory, then with them.
 */
import { randomBytes } from 'node:crypto';
import { globSync, readFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { sealSidecar, toHex } from '@lucid-sessions/evidence';
import { FsChunkStore } from '@lucid-sessions/files';
import { KeyDirectory, LocalWrapper } from '@lucid-sessions/keys';
import { nodeCrypto } from '@lucid-sessions/node';
import { encodeWholeIndex, type IndexEvent } from '@lucid-sessions/recording/session-index';
import { SqliteThread } from '@lucid-sessions/sqlite';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { startInstallation } from './installation.ts';

const eventsEach = 300;
const needle = 'xyzzy plugh';
const root = join(import.meta.dirname, '../..');

const lines = globSync(['*.md', 'docs/*.md', 'packages/*/src/**/*.ts'], { cwd: root })
  .flatMap((path) => readFileSync(join(root, path), 'utf8').split('\n'))
  .map((line) => line.trim())
  .filter((line) => line.length > 10);

function eventsOf(recording: number, planted: boolean): IndexEvent[] {
  return Array.from({ length: eventsEach }, (_, at): IndexEvent => {
    const timeUs = at * 10_000_000;
    const text = planted && at === 150 ? needle : lines[(recording * 7919 + at * 31) % lines.length]!.slice(0, 200);
    if (at % 10 === 0) return { kind: 'window', timeUs, what: 'renamed', windowId: 1, title: text };
    if (at % 10 === 1)
      return { kind: 'drive_open', timeUs, drive: 'home', path: `\\${text}`, opened: true, forWriting: false };
    if (at % 10 === 2)
      return { kind: 'clipboard_text', timeUs, from: 'client', text, characters: text.length, sha256: null };
    const keys = text.length;
    return {
      kind: 'typed',
      timeUs,
      untilUs: timeUs,
      text,
      keys,
      erased: 0,
      entered: true,
      approximate: false,
      atLogon: false,
    };
  });
}

/** Recordings as they lie in an installation after their end, without the chunks nobody reads here. */
async function fill(dataDir: string, count: number): Promise<number> {
  const store = await new SqliteThread().metadata(join(dataDir, 'metadata.db'));
  const chunks = new FsChunkStore({ path: join(dataDir, 'chunks') });
  const wrapper = new LocalWrapper(await (await KeyDirectory.open(join(dataDir, 'keys'))).localKey());
  let bytes = 0;
  for (let at = 0; at < count; at += 1) {
    const sessionId = `recording-${String(at).padStart(6, '0')}`;
    const created_at = new Date(1_700_000_000_000 + at * 60_000).toISOString();
    const dek = new Uint8Array(randomBytes(32));
    const wraps = [await wrapper.wrap(dek, toHex(randomBytes(16)))];
    const whole = await encodeWholeIndex([
      {
        chunkIndex: 0,
        last: true,
        untilUs: eventsEach * 10_000_000,
        dropped: 0,
        activity: [],
        events: eventsOf(at, at % 1000 === 500),
      },
    ]);
    const sealed = await sealSidecar(nodeCrypto, dek, { sessionId, name: 'index-whole' }, whole!);
    bytes += sealed.length;
    await store.insertSession(
      sampleSession(sessionId, { status: 'completed', created_at, started_at: created_at }),
      null,
    );
    await store.putWraps(sessionId, wraps);
    await chunks.putWraps(sessionId, wraps);
    await chunks.putSidecar(sessionId, 'index-whole', sealed);
  }
  await store.dispose();
  return bytes;
}

interface Answer {
  recordings: unknown[];
  searched: number;
  unreadable: number;
  not_indexed: number;
  complete: boolean;
}

export async function run([count = '10000']: string[]): Promise<void> {
  const ends: (() => unknown)[] = [];
  try {
    const installation = await startInstallation({ LUCID_RATE_LIMIT_STATISTICS: '1000000' }, ends);
    const bytes = await fill(installation.dataDir, Number(count));
    console.log(`${count} recordings of ${eventsEach} events, ${(bytes / 1e6).toFixed(0)} MB of sealed indexes`);
    const ask = async (what: string, text: string): Promise<void> => {
      const began = performance.now();
      const body = { text, reason: 'a bench', inputs: true, recordings_max: 1000 };
      const { recordings, ...said } = await installation.call<Answer>('POST', '/search', body);
      const seconds = ((performance.now() - began) / 1000).toFixed(2);
      const { searched, complete, unreadable, not_indexed } = said;
      console.log(
        `${what}: ${seconds} s, ${recordings.length} found of ${searched} (complete: ${complete}, unreadable: ${unreadable}, not indexed: ${not_indexed})`,
      );
    };
    await ask('first question', needle);
    await ask('the same', needle);
    await ask('in none', 'never was a word like this');
    await ask('two letters, which no filter judges', 'q7');
    console.log(`load ${loadavg()[0]!.toFixed(1)}`);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}
