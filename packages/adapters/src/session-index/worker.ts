/** The index thread: opens chunks, reads their frames, says what is in them. Slower than everything that records. */
import { setPriority } from 'node:os';
import { parentPort } from 'node:worker_threads';
import { openChunk, openInputs } from '@lucid-sessions/evidence';
import { PAYLOAD_BYTES_MAX, readPayload } from '@lucid-sessions/recording';
import {
  type ContentPiece,
  compressState,
  decompressState,
  encodeIndexSegment,
  SessionIndexer,
  type SessionIndexerState,
} from '@lucid-sessions/recording/session-index';
import { DecodeError } from '@lucid-sessions/wire';
import { nodeCrypto } from '../node-crypto.ts';
import { nodeDecompressor } from '../node-decompressor.ts';
import type { IndexAnswer, IndexedChunk, IndexRequest, OpenRun } from './messages.ts';

const niceness = 10;

interface Run {
  indexer: SessionIndexer;
  pieces: ContentPiece[];
}

const runs = new Map<number, Run>();

async function open({ run, state, input, clipboard, collect }: OpenRun): Promise<null> {
  const pieces: ContentPiece[] = [];
  const onContent = (piece: ContentPiece): void => {
    pieces.push(piece.type === 'data' ? { ...piece, bytes: new Uint8Array(piece.bytes) } : piece);
  };
  const indexer = new SessionIndexer({ input, clipboard, ...(collect ? { onContent } : {}) });
  if (state !== null) indexer.restore((await decompressState(state)) as SessionIndexerState);
  runs.set(run, { indexer, pieces });
  return null;
}

/** A chunk that can't be read is an entry of the index; the rest of the recording is still to be found. */
async function read(indexer: SessionIndexer, file: Uint8Array | null, dek: Uint8Array | null): Promise<void> {
  if (file === null) {
    indexer.problem('chunk.missing', 'the chunk file is missing');
    return;
  }
  const opened = await openChunk(nodeCrypto, dek ?? new Uint8Array(32), file);
  if (!opened.opened) {
    indexer.problem(`chunk.${opened.finding.toLowerCase()}`, opened.message);
    return;
  }
  try {
    const { compression } = opened.header;
    const payload = await nodeDecompressor.decompress(compression, opened.compressed, PAYLOAD_BYTES_MAX);
    for (const frame of readPayload(await openInputs(nodeCrypto, opened.inputs, payload))) indexer.push(frame);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    indexer.problem(`chunk.${error.code}`, error.message);
  }
}

async function chunk(request: Extract<IndexRequest, { kind: 'chunk' }>): Promise<IndexedChunk> {
  const { indexer, pieces } = runs.get(request.run)!;
  await read(indexer, request.file, request.dek);
  const segment = await encodeIndexSegment(indexer.take(request.index, request.last));
  const state = await compressState(indexer.state());
  return { segment, state, pieces: pieces.splice(0) };
}

async function answer(request: IndexRequest): Promise<IndexedChunk | null> {
  if (request.kind === 'open') return open(request);
  if (request.kind === 'chunk') return chunk(request);
  runs.delete(request.run);
  return null;
}

// Of this thread alone, where the system knows threads by numbers of their own (Linux).
if (process.platform === 'linux') setPriority(niceness);

parentPort?.on('message', async ({ call, request }: { call: number; request: IndexRequest }) => {
  let said: IndexAnswer;
  try {
    said = { call, result: await answer(request) };
  } catch (error) {
    said = { call, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(said);
});
