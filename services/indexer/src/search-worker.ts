/** A search thread: unpacks indexes and looks through their texts. Slower than everything that records. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import {
  decodeIndexSegment,
  decodeWholeIndex,
  encodeWholeIndex,
  type IndexSegment,
  searchSegments,
  textFilterOf,
  textsOf,
} from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import type { SearchRequest, SearchResult } from './search-messages.ts';
import type { ThreadAnswer } from './thread-calls.ts';

const niceness = 10;

async function segmentsOf({ files, whole }: SearchRequest): Promise<IndexSegment[]> {
  const segments: IndexSegment[] = [];
  try {
    if (whole) return await decodeWholeIndex(files[0]!);
    for (const file of files) segments.push(await decodeIndexSegment(file));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return segments;
}

async function search(request: SearchRequest): Promise<SearchResult> {
  const segments = await segmentsOf(request);
  const last = segments.at(-1)?.last === true;
  const texts = segments.flatMap(({ events }) => events.flatMap(textsOf));
  return {
    ...searchSegments(segments, request.search),
    segments: segments.length,
    last,
    filter: request.keep && last ? textFilterOf(texts).bytes : null,
    whole: request.keep && last && !request.whole ? await encodeWholeIndex(segments) : null,
  };
}

// Of this thread alone, where the system knows threads by numbers of their own (Linux).
if (process.platform === 'linux') setPriority(niceness);

parentPort?.on('message', async ({ call, request }: { call: number; request: SearchRequest }) => {
  let said: ThreadAnswer<SearchResult>;
  try {
    said = { call, result: await search(request) };
  } catch (error) {
    said = { call, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(said);
});
