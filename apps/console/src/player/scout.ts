/**
 * Walks a whole recording ahead of the viewer, in a worker of its own: finds events, makes small pictures for the timeline, measures
 * activity, and leaves compressed states behind to seek from.
 */
import { type SessionKeys, webCrypto } from '@lucid-sessions/evidence';
import { ChunkStore } from './chunk-store.ts';
import { type ChunkEntry, ChunkTable } from './chunk-table.ts';
import { Engine } from './engine.ts';
import { EventReader } from './event-reader.ts';
import { Picture, type PictureState } from './picture.ts';
import type { PlayerEvent } from './protocol.ts';
import { compressState } from './state-codec.ts';
import { thumbnailOf } from './thumbnail.ts';

export interface ScoutOrder {
  type: 'scout';
  entries: ChunkEntry[];
  keys: SessionKeys;
  durationUs: number;
  activityParts: number;
  thumbnailsMax: number;
}

export type ToScout = ScoutOrder | { type: 'file'; index: number; file: Uint8Array | null };

export type FromScout =
  | { type: 'need'; index: number }
  | { type: 'keyframe'; chunkIndex: number; frameIndex: number; timeUs: number; state: Uint8Array<ArrayBuffer> }
  | { type: 'thumbnail'; timeUs: number; picture: ImageBitmap }
  | { type: 'events'; events: PlayerEvent[] }
  | { type: 'activity'; values: Float32Array }
  | { type: 'done' }
  | { type: 'stopped'; message: string };

/** States over the length of a recording, and how close together they may be. */
const keyframesMax = 600;
const keyframeUsMin = 4_000_000;
/** It never goes back: one chunk and the next are enough. */
const chunkLimits = { openBytesMax: 8 << 20, fileBytesMax: 0 };
const reportEveryMs = 400;

export class Scout {
  readonly #send: (message: FromScout, transfer?: Transferable[]) => void;
  readonly #needed = new Map<number, { resolve: (file: Uint8Array) => void; reject: (error: Error) => void }>();

  constructor(send: (message: FromScout, transfer?: Transferable[]) => void) {
    this.#send = send;
  }

  handle(message: ToScout): void {
    if (message.type === 'scout') {
      this.#walk(message).catch((error: unknown) => {
        this.#send({ type: 'stopped', message: error instanceof Error ? error.message : 'stopped' });
      });
      return;
    }
    const needed = this.#needed.get(message.index);
    this.#needed.delete(message.index);
    if (message.file) needed?.resolve(message.file);
    else needed?.reject(new Error(`chunk ${message.index + 1} can not be read`));
  }

  /** Files come through the player, which keeps what it fetched: nothing is downloaded twice. */
  #fetch(entry: ChunkEntry): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#needed.set(entry.index, { resolve, reject });
      this.#send({ type: 'need', index: entry.index });
    });
  }

  async #walk(order: ScoutOrder): Promise<void> {
    const table = new ChunkTable();
    table.entries.push(...order.entries);
    const chunks = new ChunkStore((entry) => this.#fetch(entry), webCrypto(globalThis.crypto), order.keys, chunkLimits);
    const picture = new Picture();
    const events = new EventReader();
    const activity = new Float32Array(order.activityParts);
    const partOf = (timeUs: number, parts: number): number =>
      Math.min(parts - 1, Math.floor((timeUs / Math.max(1, order.durationUs)) * parts));
    const engine: Engine<PictureState> = new Engine(
      table,
      chunks,
      picture,
      {
        now: () => performance.now(),
        turn: () => new Promise((resolve) => setTimeout(resolve, 0)),
        onFrame: (frame) => {
          events.push(frame);
          activity[partOf(frame.timeUs, activity.length)]! += frame.body.length;
        },
        onKeyframe: async ({ state, ...place }) => {
          const packed = await compressState(state);
          this.#send({ type: 'keyframe', ...place, state: packed }, [packed.buffer]);
        },
      },
      { keyframeBytesMax: 0, keyframeEveryUs: Math.max(keyframeUsMin, order.durationUs / keyframesMax) },
    );
    let reportedMs = performance.now();
    const stepUs = order.durationUs / order.thumbnailsMax;
    for (let part = 0; part < order.thumbnailsMax; part += 1) {
      const timeUs = (part + 0.5) * stepUs;
      await engine.forward(timeUs);
      const small = picture.blank ? null : thumbnailOf(picture);
      if (small) this.#send({ type: 'thumbnail', timeUs, picture: small }, [small]);
      if (performance.now() - reportedMs < reportEveryMs) continue;
      reportedMs = performance.now();
      this.#report(events.take(engine.timeUs), activity);
    }
    await engine.forward(Number.POSITIVE_INFINITY);
    this.#report(events.finish(), activity);
    this.#send({ type: 'done' });
  }

  #report(events: PlayerEvent[], activity: Float32Array): void {
    if (events.length > 0) this.#send({ type: 'events', events });
    this.#send({ type: 'activity', values: activity.slice() });
  }
}
