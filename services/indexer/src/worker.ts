/** The index thread: opens chunks, reads their frames, says what is in them. Slower than everything that records. */
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { openChunk, openInputs, type ReadingKey } from '@lucid-sessions/evidence';
import { H264MissingError } from '@lucid-sessions/graphics';
import { type Frame, PAYLOAD_BYTES_MAX, readPayload } from '@lucid-sessions/recording';
import { endedAtChunk } from '@lucid-sessions/recording/replay';
import {
  type ContentPiece,
  compressState,
  decompressState,
  encodeIndexSegment,
  SessionIndexer,
  type SessionIndexerState,
} from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import { CpuPace } from './cpu-pace.ts';
import { KeyframeWalk } from './keyframe-walk.ts';
import type {
  IndexedChunk,
  IndexRequest,
  IndexRequestKind,
  IndexRequests,
  IndexResults,
  LookedChunk,
  WalkedChunk,
} from './messages.ts';
import { PictureCursor } from './picture-cursor.ts';
import type { IndexerPlatform, IndexThreadData } from './platform.ts';
import type { ThreadAnswer } from './thread-calls.ts';
import { ThreadCpu } from './thread-cpu.ts';

const niceness = 10;
const { platform } = (await import((workerData as IndexThreadData).platform)) as { platform: IndexerPlatform };

interface Run {
  indexer: SessionIndexer;
  pieces: ContentPiece[];
}

const runs = new Map<number, Run>();
const walks = new Map<number, KeyframeWalk>();
const cursors = new Map<number, PictureCursor>();
/** Walks somebody waits for. */
const hurried = new Set<number>();
const cpu = new ThreadCpu();
let pace: { coresMax: number; keep: CpuPace } | null = null;
/** How often it is looked whether a walk takes too much. */
const lookMs = 50;
/** A rest ends within this time when somebody begins to wait. */
const hurryMsMax = 100;

async function open({ run, state, input, clipboard, collect }: IndexRequests['open']): Promise<null> {
  const pieces: ContentPiece[] = [];
  const onContent = (piece: ContentPiece): void => {
    pieces.push(piece.type === 'data' ? { ...piece, bytes: new Uint8Array(piece.bytes) } : piece);
  };
  const indexer = new SessionIndexer({ input, clipboard, ...(collect ? { onContent } : {}) });
  if (state !== null) indexer.restore((await decompressState(state)) as SessionIndexerState);
  runs.set(run, { indexer, pieces });
  return null;
}

/**
 * The frames of a chunk, or why there are none. Pictures are drawn without what was typed or copied, also where that is stored in
 * clear: every walk through a recording passes the same frames over.
 */
async function framesOf(
  file: Uint8Array | null,
  key: ReadingKey | null,
  what: 'all' | 'pictures',
): Promise<{ frames: Frame[] } | { code: string; message: string }> {
  if (file === null) return { code: 'chunk.missing', message: 'the chunk file is missing' };
  const opened = await openChunk(platform.crypto, key ?? new Uint8Array(32), file);
  if (!opened.opened) return { code: `chunk.${opened.finding.toLowerCase()}`, message: opened.message };
  try {
    const { compression } = opened.header;
    const payload = await platform.decompressor.decompress(compression, opened.compressed, PAYLOAD_BYTES_MAX);
    const shown = what === 'all' ? await openInputs(platform.crypto, opened.inputs, payload) : payload;
    return { frames: [...readPayload(shown)] };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { code: `chunk.${error.code}`, message: error.message };
  }
}

/** A chunk that can't be read is an entry of the index; the rest of the recording is still to be found. */
async function chunk(request: IndexRequests['chunk']): Promise<IndexedChunk> {
  const { indexer, pieces } = runs.get(request.run)!;
  const read = await framesOf(request.file, request.key, 'all');
  if ('frames' in read) for (const frame of read.frames) indexer.push(frame);
  else indexer.problem(read.code, read.message);
  const segment = await encodeIndexSegment(indexer.take(request.index, request.last));
  // Nothing follows the last chunk: there is nothing to carry on.
  const state = request.last || !request.carry ? new Uint8Array(0) : await compressState(indexer.state());
  return { segment, state, pieces: pieces.splice(0) };
}

async function walkChunk(request: IndexRequests['walkChunk']): Promise<WalkedChunk> {
  const { run, index, file, key, again, coresMax } = request;
  const walk = walks.get(run)!;
  const before = cpu.usedMs();
  const used = (): number => cpu.usedMs() - before;
  const rest = coresMax === null ? () => null : resting(run, coresMax);
  const read = await framesOf(file, key, 'pictures');
  if (!('frames' in read)) {
    const replay = endedAtChunk(await walk.replay());
    return { keyframes: [], ended: 'chunk', usesHistory: walk.usesHistory, usedMs: used(), replay };
  }
  const keyframes = await walk.chunk(index, read.frames, file?.length ?? 0, again, rest);
  const replay = await walk.replay();
  const ended = walk.lacksH264 ? 'h264' : null;
  return { keyframes, ended, usesHistory: walk.usesHistory, usedMs: used(), replay };
}

/** Rests where a walk takes more than its share of the cores; other work of this thread goes on meanwhile, and is counted too. */
function resting(run: number, coresMax: number): () => Promise<void> | null {
  if (pace?.coresMax !== coresMax) pace = { coresMax, keep: new CpuPace(coresMax, cpu.usedMs(), performance.now()) };
  const { keep } = pace;
  let lookedMs = performance.now();
  const rest = async (): Promise<void> => {
    while (!hurried.has(run)) {
      const waitMs = Math.min(hurryMsMax, keep.waitMs(cpu.usedMs(), performance.now()));
      if (waitMs === 0) break;
      await sleep(waitMs);
    }
    lookedMs = performance.now();
  };
  return () => (performance.now() - lookedMs < lookMs ? null : rest());
}

async function lookChunk({ run, index, file, key, untilUs }: IndexRequests['lookChunk']): Promise<LookedChunk> {
  const cursor = cursors.get(run)!;
  const read = await framesOf(file, key, 'pictures');
  if (!('frames' in read))
    return { reached: false, timeUs: cursor.timeUs, problem: `chunk ${index + 1} can not be shown: ${read.message}` };
  try {
    const reached = await cursor.chunk(index, read.frames, untilUs);
    return { reached, timeUs: cursor.timeUs, problem: null };
  } catch (error) {
    if (!(error instanceof H264MissingError)) throw error;
    return { reached: false, timeUs: cursor.timeUs, problem: error.message };
  }
}

async function answer(request: IndexRequest): Promise<IndexResults[IndexRequest['kind']]> {
  switch (request.kind) {
    case 'open':
      return open(request);
    case 'chunk':
      return chunk(request);
    case 'walk':
      walks.set(request.run, await KeyframeWalk.begin(request, platform.createH264Decoder));
      return null;
    case 'walkChunk':
      return walkChunk(request);
    case 'look':
      cursors.set(request.run, await PictureCursor.begin(request.chain, platform));
      return null;
    case 'lookChunk':
      return lookChunk(request);
    case 'takePicture':
      return cursors.get(request.run)!.picture(request);
    case 'hurry':
      if (walks.has(request.run)) hurried.add(request.run);
      return null;
    case 'close':
      hurried.delete(request.run);
      runs.delete(request.run);
      walks.get(request.run)?.close();
      walks.delete(request.run);
      cursors.get(request.run)?.close();
      cursors.delete(request.run);
      return null;
  }
}

// Of this thread alone, where the system knows threads by numbers of their own (Linux).
if (process.platform === 'linux') setPriority(niceness);

parentPort?.on('message', async ({ call, request }: { call: number; request: IndexRequest }) => {
  let said: ThreadAnswer<IndexResults[IndexRequestKind]>;
  try {
    said = { call, result: await answer(request) };
  } catch (error) {
    said = { call, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(said);
});
