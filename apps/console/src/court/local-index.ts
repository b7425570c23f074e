/** Events of a recording from its own frames, by the code an installation makes its index with; what was typed and copied is under another key. */
import type { Leaf } from '@lucid-sessions/evidence';
import { frameFlags } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import type { PlayerEvent } from '../player/protocol.ts';
import type { ChunkStore } from '../player/worker/chunk-store.ts';
import { playerEventOf } from '../player/worker/event-text.ts';
import type { EventSource } from '../player/worker/index-feed.ts';
import { eventsMax } from '../player/worker/recording-index.ts';

const chunksPerPage = 20;

interface EventPage {
  events: PlayerEvent[];
  more: boolean;
}

export class LocalIndex implements EventSource {
  readonly #leaves: readonly Leaf[];
  readonly #chunks: ChunkStore;
  readonly #indexer = new SessionIndexer();
  readonly hidesLogon = false;
  #next = 0;
  #count = 0;
  #hidden = false;
  #left = 0;
  #problem = '';

  constructor(leaves: readonly Leaf[], chunks: ChunkStore) {
    this.#leaves = leaves;
    this.#chunks = chunks;
  }

  get remark(): string {
    return [
      this.#hidden && 'What was typed and copied is under a key of its own, which is not in this file.',
      this.#left > 0 && `${this.#left} events are not in the list.`,
      this.#problem,
    ]
      .filter((part) => typeof part === 'string' && part !== '')
      .join(' ');
  }

  showLogon(): void {}

  async first(durationUs: number, parts: number): Promise<EventPage & { activity: Float32Array }> {
    const first = this.#leaves[0]?.openedUs ?? 0;
    const activity = new Float32Array(parts);
    for (const { openedUs, fileBytes } of this.#leaves)
      activity[Math.min(parts - 1, Math.floor(((openedUs - first) * parts) / Math.max(1, durationUs)))]! += fileBytes;
    return { ...(await this.next()), activity };
  }

  async next(): Promise<EventPage> {
    const events: PlayerEvent[] = [];
    const until = Math.min(this.#leaves.length, this.#next + chunksPerPage);
    for (; this.#next < until; this.#next += 1) events.push(...(await this.#eventsOf(this.#leaves[this.#next]!)));
    const kept = events.slice(0, eventsMax - this.#count);
    this.#count += kept.length;
    this.#left += events.length - kept.length;
    return { events: kept, more: this.#next < this.#leaves.length };
  }

  async #eventsOf(leaf: Leaf): Promise<PlayerEvent[]> {
    const entry = {
      chunkId: String(leaf.index),
      index: leaf.index,
      startUs: 0,
      endUs: 0,
      fileBytes: 0,
      framesCount: 0,
    };
    try {
      for (const frame of (await this.#chunks.load(entry)).frames)
        if ((frame.flags & frameFlags.inputs) === 0) this.#indexer.push(frame);
        else this.#hidden = true;
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : 'a chunk can not be read';
      this.#indexer.problem('chunk', this.#problem);
    }
    const isLast = this.#next === this.#leaves.length - 1;
    return this.#indexer.take(leaf.index, isLast).events.map(playerEventOf);
  }
}
