import { openSidecar } from '@lucid-sessions/evidence';
import type { SessionSnapshot } from '@lucid-sessions/graphics';
import {
  keyframeHead,
  keyframeName,
  keyframeState,
  type OpenedKeyframe,
  openKeyframe,
} from '@lucid-sessions/recording/session-index';
import { type Crypto, DecodeError } from '@lucid-sessions/wire';
import type { ApiClient } from '../../api/client.ts';
import type { StoredStates } from './engine.ts';
import type { KeyframePlace } from './keyframe-cache.ts';

const pageSize = 10_000;
/** Opened sidecars that are kept, and packed states that are bases of others. */
const fileBytesMax = 16 << 20;
const basesMax = 4;

interface Listed extends KeyframePlace {
  number: number;
  /** Number of its base; 0 for none. */
  base: number;
}

/**
 * The keyframes the installation made of a recording: states of its decoder, sealed under the recording's key. They are its word,
 * as its index is; the chunks are the evidence.
 */
export class StoredKeyframes implements StoredStates<SessionSnapshot> {
  readonly #api: ApiClient;
  readonly #sessionId: string;
  readonly #crypto: Crypto;
  #key: Uint8Array | null = null;
  #listed: Listed[] = [];
  #covered = 0;
  /** In order of last use. */
  readonly #files = new Map<number, Uint8Array>();
  readonly #fetching = new Map<number, Promise<Uint8Array>>();
  readonly #bases = new Map<number, OpenedKeyframe>();

  constructor(api: ApiClient, sessionId: string, crypto: Crypto) {
    this.#api = api;
    this.#sessionId = sessionId;
    this.#crypto = crypto;
  }

  /** What sidecars are sealed under. */
  useKey(key: Uint8Array): void {
    this.#key = key;
  }

  get places(): readonly KeyframePlace[] {
    return this.#listed;
  }
  /** Chunks that were looked at; all of them where nothing more will come. */
  get coveredChunks(): number {
    return this.#covered;
  }

  /** Reads the list. A server without one has no keyframes. */
  async refresh(): Promise<void> {
    const listed: Listed[] = [];
    for (;;) {
      const query = { limit: pageSize, offset: listed.length };
      const page = await this.#api.rest.listKeyframes({ params: { session_id: this.#sessionId }, query });
      for (const { number, base, chunk_index: chunkIndex, frame_index: frameIndex, time_us: timeUs } of page.keyframes)
        listed.push({ number, base, chunkIndex, frameIndex, timeUs });
      this.#covered = page.ended === null ? page.covered_chunks : Number.POSITIVE_INFINITY;
      if (!page.pagination.has_next || page.keyframes.length === 0) break;
    }
    this.#listed = listed;
  }

  before(timeUs: number): KeyframePlace | null {
    let low = 0;
    let high = this.#key === null ? 0 : this.#listed.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#listed[middle]!.timeUs <= timeUs) low = middle + 1;
      else high = middle;
    }
    return this.#listed[low - 1] ?? null;
  }

  async load(place: KeyframePlace): Promise<SessionSnapshot | null> {
    const { number } = place as Listed;
    this.#fetchAll(place as Listed);
    try {
      const file = await this.#file(number);
      const head = keyframeHead(file);
      const same = head.chunkIndex === place.chunkIndex && head.frameIndex === place.frameIndex;
      if (!same || head.timeUs !== place.timeUs || head.number !== number) throw new Error('made again meanwhile');
      return keyframeState(await this.#open(file));
    } catch {
      // What is lost or was made again costs time, not the picture: decoding begins earlier.
      this.#listed = this.#listed.filter((listed) => listed.number !== number);
      return null;
    }
  }

  async #open(file: Uint8Array): Promise<OpenedKeyframe> {
    const { base, number } = keyframeHead(file);
    // Bases have smaller numbers: this ends.
    if (base >= number) throw new DecodeError('invalid', 'the base of a keyframe is a later one');
    return openKeyframe(file, base === 0 ? null : await this.#base(base));
  }

  async #base(number: number): Promise<OpenedKeyframe> {
    const base = this.#bases.get(number) ?? (await this.#open(await this.#file(number)));
    this.#bases.delete(number);
    this.#bases.set(number, base);
    for (const oldest of this.#bases.keys()) if (this.#bases.size > basesMax) this.#bases.delete(oldest);
    return base;
  }

  /** The keyframe and its bases, all at once: asked for one after the other each would cost a round trip. */
  #fetchAll(place: Listed): void {
    for (let at: Listed | undefined = place; at !== undefined && !this.#bases.has(at.number); ) {
      // Whoever needs it meets the failure.
      this.#file(at.number).catch(() => {});
      const { base }: Listed = at;
      at = base === 0 ? undefined : this.#listed.find(({ number }) => number === base);
    }
  }

  #file(number: number): Promise<Uint8Array> {
    const known = this.#files.get(number);
    if (known !== undefined) {
      this.#files.delete(number);
      this.#files.set(number, known);
      return Promise.resolve(known);
    }
    const running = this.#fetching.get(number) ?? this.#fetchAndKeep(number);
    this.#fetching.set(number, running);
    return running;
  }

  async #fetchAndKeep(number: number): Promise<Uint8Array> {
    try {
      const file = await this.#fetch(number);
      this.#files.set(number, file);
      let bytes = 0;
      for (const kept of this.#files.values()) bytes += kept.length;
      for (const [oldest, { length }] of this.#files) {
        if (bytes <= fileBytesMax) break;
        this.#files.delete(oldest);
        bytes -= length;
      }
      return file;
    } finally {
      this.#fetching.delete(number);
    }
  }

  async #fetch(number: number): Promise<Uint8Array> {
    const params = { session_id: this.#sessionId, keyframe: String(number) };
    const answer = await this.#api.rest.getKeyframe({ params });
    const place = { sessionId: this.#sessionId, name: keyframeName(number) };
    return openSidecar(this.#crypto, this.#key, place, new Uint8Array(await answer.arrayBuffer()));
  }
}
