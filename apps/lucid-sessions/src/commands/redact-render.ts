/** What a redacted copy shows and tells, made the same way when it is made and when it is verified. */
import { createHash } from 'node:crypto';
import {
  coverPicture,
  isCovered,
  isEventRemoved,
  type RedactableEvent,
  type RedactionBody,
  type RedactionPlan,
  touchedChunks,
} from '@lucid-sessions/evidence';
import { frameFlags } from '@lucid-sessions/recording';
import { type IndexEvent, SessionIndexer, withoutInputs } from '@lucid-sessions/recording/session-index';
import type { Recording } from './recording-reader.ts';
import { interrupted } from './replay.ts';
import type { PictureCover, VideoOptions } from './video.ts';

export const copyNames = {
  video: 'video.mp4',
  frames: 'frames.json',
  events: 'events.json',
  record: 'redaction.dsse.json',
} as const;

/** SHA-256 of the pictures of each second of the video: of their SHA-256 one after the other. */
export class FrameHashes {
  readonly #perSecond: number;
  readonly #seconds: string[] = [];
  #second = createHash('sha256');
  #frames = 0;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** RGBA, row by row. */
  add(picture: Uint8Array): void {
    this.#second.update(createHash('sha256').update(picture).digest());
    this.#frames += 1;
    if (this.#frames % this.#perSecond === 0) this.#next();
  }

  #next(): void {
    this.#seconds.push(this.#second.digest('hex'));
    this.#second = createHash('sha256');
  }

  end(): string[] {
    if (this.#frames % this.#perSecond !== 0) this.#next();
    return this.#seconds;
  }
}

export function coverOf(plan: RedactionPlan, hashes: FrameHashes): PictureCover {
  return {
    isCovered: (timeUs) => isCovered(plan, timeUs),
    cover: (picture, timeUs) => coverPicture(picture, plan, timeUs),
    shown: (picture) => hashes.add(picture),
    muted: plan.spans,
  };
}

export const videoOptionsOf = (
  plan: RedactionPlan,
  { frames_per_second, pointer }: Pick<RedactionBody['renderer'], 'frames_per_second' | 'pointer'>,
  hashes: FrameHashes,
): VideoOptions => ({
  out: copyNames.video,
  fromUs: 0,
  toUs: null,
  speed: 1,
  framesPerSecond: frames_per_second,
  skipIdle: false,
  pointer,
  cover: coverOf(plan, hashes),
});

export interface RedactedEvents {
  /** What is told: nothing of what people typed or copied. */
  kept: IndexEvent[];
  removed: RedactionBody['events_removed'];
  chunks: RedactionBody['chunks'];
}

/** The events of a recording that can be seen with the view key alone, without those that tell of what was taken out. */
export async function redactedEvents(
  recording: Recording,
  plan: RedactionPlan,
  signal: AbortSignal,
): Promise<RedactedEvents> {
  const indexer = new SessionIndexer();
  const events: IndexEvent[] = [];
  const times: { fromUs: number; toUs: number }[] = [];
  let lastUs = 0;
  for await (const frames of recording.chunks()) {
    const fromUs = lastUs;
    for (const frame of frames) {
      if (signal.aborted) throw interrupted();
      lastUs = Math.max(lastUs, frame.timeUs);
      // Their bodies are zeros for who has the view key.
      if ((frame.flags & frameFlags.inputs) === 0) indexer.push(frame);
    }
    times.push({ fromUs, toUs: lastUs });
    events.push(...indexer.take(times.length - 1, times.length === recording.chunksCount).events);
  }
  const removed = new Map<string, number>();
  const kept = events.map(withoutInputs).filter((event) => {
    if (!isEventRemoved(plan, event as RedactableEvent)) return true;
    removed.set(event.kind, (removed.get(event.kind) ?? 0) + 1);
    return false;
  });
  const counted = [...removed].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => ({ kind, count }));
  return { kept, removed: counted, chunks: touchedChunks(plan, times) };
}

export const eventsText = (events: readonly IndexEvent[]): string => `${JSON.stringify(events, null, 1)}\n`;
export const framesText = (seconds: readonly string[]): string => `${JSON.stringify({ v: 1, seconds }, null, 1)}\n`;
export const sha256Of = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
