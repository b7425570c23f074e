import { ApiError } from '../../api/client.ts';
import { LiveBlockReader } from './live-blocks.ts';
import type { LiveChunks } from './live-chunks.ts';

/** What the feed needs of the world. */
export interface LiveSource {
  /** The stream from a frame on. Throws `ApiError`. */
  connect(afterFrame: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
  /** Brings the table of stored chunks up to date. */
  refresh(): Promise<void>;
  /** Whether the session goes on. */
  running(): Promise<boolean>;
  sleep(ms: number): Promise<void>;
  /** 0 to 1. */
  random(): number;
}

export type LiveState =
  | { kind: 'live' }
  /** Not at the moment, and why; it is tried again. */
  | { kind: 'waiting'; message: string }
  /** Never; what is stored can still be seen. */
  | { kind: 'refused'; message: string }
  | { kind: 'ended' };

/** Signs of life come every 5 s. */
const silenceMsDefault = 15_000;
const backOffMs = 500;
const backOffMsMax = 20_000;
/** A stream that lived so long was a good one: the next try begins with a short wait again. */
const goodMs = 10_000;
/** How often it is looked whether something was stored and left room. */
const roomWaitMs = 500;
const finalStatuses: readonly number[] = [400, 401, 403, 404];

/** Follows a running session until it ends, is refused, or `signal` says to stop. What breaks is begun again where it broke. */
export async function followLive(
  source: LiveSource,
  chunks: LiveChunks,
  onState: (state: LiveState) => void,
  signal: AbortSignal,
  silenceMs = silenceMsDefault,
): Promise<void> {
  for (let failures = 0; !signal.aborted; failures += 1) {
    const beganMs = performance.now();
    let message = 'The live view was interrupted. It goes on as soon as it can.';
    try {
      await source.refresh();
      await readStream(source, chunks, signal, silenceMs, () => onState({ kind: 'live' }));
    } catch (error) {
      if (!signal.aborted && error instanceof ApiError && finalStatuses.includes(error.status)) {
        onState({ kind: 'refused', message: `No live view: ${error.message}.` });
        return;
      }
      if (isCrowded(error)) message = 'Too many sessions are being watched. The live view begins when there is room.';
    }
    if (signal.aborted) return;
    if (!(await source.running().catch(() => true))) {
      onState({ kind: 'ended' });
      return;
    }
    onState({ kind: 'waiting', message });
    if (performance.now() - beganMs >= goodMs) failures = 0;
    // Full jitter: whoever was cut off together does not come back together.
    await source.sleep(source.random() * Math.min(backOffMsMax, backOffMs * 2 ** failures));
  }
}

const isCrowded = (error: unknown): boolean =>
  error instanceof ApiError &&
  typeof error.details === 'object' &&
  error.details !== null &&
  'viewers_max' in error.details;

async function readStream(
  source: LiveSource,
  chunks: LiveChunks,
  signal: AbortSignal,
  silenceMs: number,
  onBlock: () => void,
): Promise<void> {
  const silent = new AbortController();
  let timer = setTimeout(() => silent.abort(), silenceMs);
  const stop = AbortSignal.any([signal, silent.signal]);
  const blocks = new LiveBlockReader();
  try {
    const stream = await source.connect(chunks.resume(), stop);
    const reader = stream.getReader();
    const cancel = (): void => void reader.cancel().catch(() => {});
    stop.addEventListener('abort', cancel, { once: true });
    if (stop.aborted) cancel();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done || stop.aborted) return;
        clearTimeout(timer);
        for (const block of blocks.push(value)) {
          chunks.add(block);
          onBlock();
        }
        // Not reading on holds up nobody but this viewer: the server waits, and cuts off who waits too long.
        while (chunks.full && !stop.aborted) await source.sleep(roomWaitMs);
        timer = setTimeout(() => silent.abort(), silenceMs);
      }
    } finally {
      stop.removeEventListener('abort', cancel);
      cancel();
    }
  } finally {
    clearTimeout(timer);
  }
}
