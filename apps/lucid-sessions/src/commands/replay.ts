/** Walks a recording through a session decoder. */
import { setImmediate } from 'node:timers/promises';
import type { SessionDecoder } from '@lucid-sessions/graphics';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import { CliError } from '../cli/output.ts';
import type { Recording } from './recording-reader.ts';

/** Decoding gives way to pipes and signals after so long. */
const turnMs = 40;
/** Frames between two looks at the clock. */
const clockFrames = 64;

export interface Walk {
  decoder: SessionDecoder;
  /** The last moment to be drawn. */
  untilUs: number;
  signal: AbortSignal;
  /** Called before a PDU of this time is drawn. */
  before?: (timeUs: number) => void | Promise<void>;
  /** Called when it is drawn. */
  after?: (timeUs: number) => void;
  chunkRead?: (index: number) => void;
}

export interface Walked {
  /** Time of the last frame that was not left out. */
  lastUs: number;
  /** Whether the recording goes on behind `untilUs`. */
  more: boolean;
}

/** Draws everything up to `untilUs`, at once where nobody looks on the way. What a peer sent never makes it throw; `signal` does, with `interrupted()`. */
export async function walk(recording: Recording, options: Walk): Promise<Walked> {
  let lastUs = 0;
  let index = 0;
  for await (const frames of recording.chunks()) {
    options.chunkRead?.(index);
    index += 1;
    const walked = await walkChunk(frames, lastUs, options);
    lastUs = walked.lastUs;
    if (!walked.more) continue;
    await options.decoder.settle();
    return walked;
  }
  await options.decoder.settle();
  return { lastUs, more: false };
}

async function walkChunk(frames: Iterable<Frame>, startUs: number, options: Walk): Promise<Walked> {
  const { decoder, untilUs, signal, before, after } = options;
  const later = before === undefined && after === undefined;
  let lastUs = startUs;
  let turnEndMs = performance.now() + turnMs;
  let count = 0;
  for (const frame of frames) {
    if (frame.timeUs > untilUs) return { lastUs, more: true };
    count += 1;
    if (count % clockFrames === 0 && performance.now() > turnEndMs) {
      await setImmediate();
      turnEndMs = performance.now() + turnMs;
    }
    if (signal.aborted) throw interrupted();
    lastUs = Math.max(lastUs, frame.timeUs);
    const waiting = before?.(lastUs);
    if (waiting) await waiting;
    if (isDelivered(frame)) {
      const fromServer = (frame.flags & frameFlags.serverToClient) !== 0;
      const beforeTls = (frame.flags & frameFlags.beforeTls) !== 0;
      const drawing = decoder.push({ fromServer, bytes: frame.body, beforeTls }, later);
      if (drawing) await drawing;
    }
    after?.(lastUs);
  }
  return { lastUs, more: false };
}

/** The replay shows what the receiver got, not what the gateway held back; what was typed or copied draws nothing. */
const isDelivered = ({ kind, flags }: Frame): boolean =>
  kind === frameKinds.pdu && (flags & (frameFlags.receivedOnly | frameFlags.inputs)) === 0;

export const interrupted = (): CliError => new CliError('stopped: nothing was written', 130);

/** Runs with a signal that Ctrl-C sets; a second Ctrl-C ends at once. */
export async function interruptible<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const names = ['SIGINT', 'SIGTERM'] as const;
  const stop = (): void => {
    for (const name of names) process.off(name, stop);
    abort.abort();
  };
  for (const name of names) process.on(name, stop);
  try {
    return await run(abort.signal);
  } finally {
    for (const name of names) process.off(name, stop);
  }
}
