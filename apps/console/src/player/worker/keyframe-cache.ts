import type { KeyframePlace } from '@lucid-sessions/recording/session-index';

export type { KeyframePlace };

/** A decoder's whole state between two frames: decoding goes on from here. */
export interface Keyframe<State> extends KeyframePlace {
  bytes: number;
  state: State;
}

/**
 * Keyframes in order of time within a budget of memory. When it is full the one goes whose neighbours are closest together, so
 * what stays is spread over what was seen.
 */
export class KeyframeCache<State> {
  readonly #bytesMax: number;
  #keyframes: Keyframe<State>[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get size(): number {
    return this.#keyframes.length;
  }
  get bytes(): number {
    return this.#bytes;
  }

  add(keyframe: Keyframe<State>): void {
    const at = this.#indexAfter(keyframe.timeUs);
    if (this.#keyframes[at - 1]?.timeUs === keyframe.timeUs) return;
    this.#keyframes.splice(at, 0, keyframe);
    this.#bytes += keyframe.bytes;
    while (this.#bytes > this.#bytesMax && this.#keyframes.length > 1) this.#thin();
  }

  /** The last keyframe at or before `timeUs`. */
  before(timeUs: number): Keyframe<State> | null {
    return this.#keyframes[this.#indexAfter(timeUs) - 1] ?? null;
  }

  #indexAfter(timeUs: number): number {
    let low = 0;
    let high = this.#keyframes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#keyframes[middle]!.timeUs <= timeUs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #thin(): void {
    let drop = this.#keyframes.length - 1;
    let smallest = Number.POSITIVE_INFINITY;
    for (let i = 1; i + 1 < this.#keyframes.length; i += 1) {
      const gap = this.#keyframes[i + 1]!.timeUs - this.#keyframes[i - 1]!.timeUs;
      if (gap < smallest) {
        smallest = gap;
        drop = i;
      }
    }
    this.#bytes -= this.#keyframes[drop]!.bytes;
    this.#keyframes.splice(drop, 1);
  }
}

/** Memory a state holds: the buffers behind its typed arrays, each once. Other values count little beside them. */
export function stateBytes(value: unknown, seen = new Set<unknown>()): number {
  if (typeof value !== 'object' || value === null || seen.has(value)) return 0;
  seen.add(value);
  if (ArrayBuffer.isView(value)) {
    if (seen.has(value.buffer)) return 0;
    seen.add(value.buffer);
    return value.buffer.byteLength;
  }
  if (value instanceof ArrayBuffer) return value.byteLength;
  const children: Iterable<unknown> =
    value instanceof Map
      ? [...value].flat()
      : value instanceof Set || Array.isArray(value)
        ? value
        : Object.values(value);
  let bytes = 64;
  for (const child of children) bytes += stateBytes(child, seen);
  return bytes;
}
