/** What happened in a session, from its index; and what crossed its clipboard and drives. */
import type { indexEventSchema } from '@lucid-sessions/contract';
import { LucidError } from '@lucid-sessions/contract';
import { type BundleEntry, tarStream } from '@lucid-sessions/evidence';
import {
  type IndexEvent,
  type IndexSegment,
  textsOf,
  withoutInputs,
  withoutLogon,
} from '@lucid-sessions/recording/session-index';
import type { z } from 'zod';
import { type Call, FileAnswer, type Handlers, loadSession, type SessionIndexReader } from './call.ts';
import { addCustody } from './custody.ts';
import { admitInputs, admitLogon } from './inputs.ts';
import { paginationOf } from './views.ts';

/** Entries of one tar file; the list of them stands in it too. */
const contentsMax = 10_000;

type IndexCall = Call<'getIndex'> | Call<'listEvents'>;

function readerOf({ api }: Pick<Call, 'api'>): SessionIndexReader {
  const { sessionIndexes } = api.deps;
  if (sessionIndexes === undefined) throw new LucidError('unavailable', 'this process makes no session index');
  return sessionIndexes;
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function snaked(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snaked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [snake(name), snaked(child)]));
}

type Wanted = (event: IndexEvent) => boolean;

/** Texts that may not be seen are taken out before anything is searched: a hit would tell them. */
async function collect(call: IndexCall, wanted: Wanted, onSegment: (segment: IndexSegment) => void) {
  const { sessionId, query } = call;
  await loadSession(call);
  const reader = readerOf(call);
  await admitInputs(call, 'index with inputs');
  await admitLogon(call);
  const found: IndexEvent[] = [];
  let complete = false;
  let dropped = 0;
  for await (const segment of reader.segments(sessionId)) {
    complete = segment.last;
    dropped += segment.dropped;
    onSegment(segment);
    for (const event of segment.events) {
      const shown = query.inputs ? event : withoutInputs(event);
      const seen = query.logon ? shown : withoutLogon(shown);
      if (wanted(seen)) found.push(seen);
    }
  }
  found.sort((a, b) => a.timeUs - b.timeUs);
  return {
    session_id: sessionId,
    inputs: query.inputs,
    logon: query.inputs && query.logon,
    complete,
    dropped,
    events: found
      .slice(query.offset, query.offset + query.limit)
      .map((event) => snaked(event) as z.output<typeof indexEventSchema>),
    pagination: paginationOf(found.length, query),
  };
}

async function getIndex(call: Call<'getIndex'>) {
  const activity: [number, number, number, number, number][] = [];
  let chunks = 0;
  const page = await collect(
    call,
    () => true,
    (segment) => {
      chunks += 1;
      for (const row of segment.activity)
        activity.push([row.second, row.serverBytes, row.clientBytes, row.updates, row.inputs]);
    },
  );
  return { ...page, chunks, activity };
}

function listEvents(call: Call<'listEvents'>) {
  const { search, kind } = call.query;
  const part = search?.toLowerCase();
  const wanted: Wanted = (event) =>
    (kind === undefined || event.kind === kind) &&
    (part === undefined || textsOf(event).some((text) => text.toLowerCase().includes(part)));
  return collect(call, wanted, () => {});
}

const folders = {
  clipboard_text: 'clipboard',
  clipboard_data: 'clipboard',
  clipboard_file: 'clipboard',
  drive_read: 'drive-read',
  drive_written: 'drive-written',
  print_job: 'printed',
} as const;

/** Names come from peers: only their harmless characters get into a path. */
const harmless = (name: string): string =>
  name
    .replaceAll(/^.*[\\/]/gs, '')
    .replaceAll(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^[._-]+/, '')
    .slice(0, 50);

async function* entries(call: Call<'extractContents'>): AsyncGenerator<BundleEntry> {
  const list: Record<string, unknown>[] = [];
  for await (const { kind, from, name, timeUs, bytes, cut } of readerOf(call).contents(call.sessionId)) {
    if (list.length === contentsMax) break;
    const number = String(list.length + 1).padStart(5, '0');
    const path = `${folders[kind]}/${number}-${harmless(name) || 'unnamed'}`;
    list.push({ file: path, kind, from, name, time_us: timeUs, bytes: bytes.length, cut });
    yield { name: path, content: bytes };
  }
  yield { name: 'contents.json', content: new TextEncoder().encode(`${JSON.stringify(list, null, 2)}\n`) };
}

async function extractContents(call: Call<'extractContents'>): Promise<FileAnswer> {
  await loadSession(call);
  readerOf(call);
  // Signed before anything leaves.
  await addCustody(call, 'export', 'clipboard and drive contents');
  return new FileAnswer(tarStream(entries(call)), `${call.sessionId}-contents.tar`);
}

async function listKeyframes(call: Call<'listKeyframes'>) {
  const { sessionId, query } = call;
  await loadSession(call);
  const { covered, ended, keyframes } = await readerOf(call).keyframes(sessionId);
  return {
    session_id: sessionId,
    covered_chunks: covered,
    ended,
    keyframes: keyframes
      .slice(query.offset, query.offset + query.limit)
      .map(({ number, base, chunkIndex, frameIndex, timeUs, bytes }) => ({
        number,
        base,
        chunk_index: chunkIndex,
        frame_index: frameIndex,
        time_us: timeUs,
        size_bytes: bytes,
      })),
    pagination: paginationOf(keyframes.length, query),
  };
}

async function getKeyframe(call: Call<'getKeyframe'>): Promise<FileAnswer> {
  await loadSession(call);
  const number = /^[1-9][0-9]{0,5}$/.test(call.keyframe) ? Number(call.keyframe) : 0;
  const bytes = number === 0 ? null : await readerOf(call).keyframe(call.sessionId, number);
  if (bytes === null) throw new LucidError('recordNotFound', 'the session has no keyframe of this number');
  return new FileAnswer(bytes, null);
}

type IndexOperations = 'getIndex' | 'listEvents' | 'listKeyframes' | 'getKeyframe' | 'extractContents';

export const indexHandlers: Handlers<IndexOperations> = {
  getIndex,
  listEvents,
  listKeyframes,
  getKeyframe,
  extractContents,
};
