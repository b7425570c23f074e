/** A search thread: unpacks indexes and looks through their texts. Slower than everything that records. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  SEGMENT_BYTES_MAX,
  searchIndexText,
  segmentHeadOf,
  textFilterOf,
  WHOLE_BYTES_MAX,
} from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import type { SearchRequest, SearchResult } from './search-messages.ts';
import type { ThreadAnswer } from './thread-calls.ts';

const niceness = 10;

function unpacked(file: Uint8Array, maxOutputLength: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(gunzipSync(file, { maxOutputLength }));
  } catch {
    throw new DecodeError('invalid', 'an index can not be unpacked');
  }
}

/** Up to the first that can't be read. */
function textsOf({ files, whole }: SearchRequest): string[] {
  const texts: string[] = [];
  try {
    if (whole) return unpacked(files[0]!, WHOLE_BYTES_MAX).split('\n\n');
    for (const file of files) texts.push(unpacked(file, SEGMENT_BYTES_MAX));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return texts;
}

function search(request: SearchRequest): SearchResult {
  const texts = textsOf(request);
  const nothing = { found: [], more: false, segments: 0, last: false, filter: null, whole: null };
  try {
    const last = texts.length > 0 && segmentHeadOf(texts.at(-1)!).last;
    const text = texts.join('\n\n');
    const lower = text.toLowerCase();
    const keep = request.keep && last && text.length <= SEGMENT_BYTES_MAX;
    return {
      ...(texts.length === 0 ? nothing : searchIndexText(text, lower, request.search)),
      segments: texts.length,
      last,
      filter: keep ? textFilterOf([lower]).bytes : null,
      whole: keep && !request.whole ? gzipSync(text) : null,
    };
  } catch (error) {
    if (error instanceof DecodeError) return nothing;
    throw error;
  }
}

// Of this thread alone, where the system knows threads by numbers of their own (Linux).
if (process.platform === 'linux') setPriority(niceness);

parentPort?.on('message', ({ call, request }: { call: number; request: SearchRequest }) => {
  let said: ThreadAnswer<SearchResult>;
  try {
    said = { call, result: search(request) };
  } catch (error) {
    said = { call, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(said);
});
