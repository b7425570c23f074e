import type { Rectangle } from '../pixels.ts';
import type { Yuv444Picture } from './yuv444.ts';

/**
 * What the main view's chroma is, of the 2 × 2 pixels it stands for: their average, which a decoder undoes where it has the other three
 * ([MS-RDPEGFX] 3.3.8.3.2), or the first one's own.
 */
export type MainChroma = 'average' | 'own';

export interface ChromaVotesSnapshot {
  readonly average: number;
  readonly own: number;
  readonly blocksSeen: number;
}

/** Differences that mean nothing: the filter leaves such blocks alone. */
const differenceMin = 30;
/** By how much one reading must fit better, in four times a sample's steps. */
const marginMin = 16;
/** Enough to be sure, or to give up: the end of asking. */
const votesMax = 1 << 14;
const blocksMax = 1 << 22;

/**
 * [MS-RDPEGFX] describes the average for both versions of AVC444, and FreeRDP's encoder makes it, but what Microsoft's makes of the
 * second version holds the pixel's own chroma. Nothing in the stream says so: it is told by which reading leaves the first pixel like
 * one of its neighbours, as pixels of a desktop mostly are.
 */
export class ChromaVotes {
  #average = 0;
  #own = 0;
  #blocksSeen = 0;

  get chosen(): MainChroma {
    return this.#average > this.#own ? 'average' : 'own';
  }

  /** Nothing is counted any more. */
  get settled(): boolean {
    return this.#average + this.#own >= votesMax || this.#blocksSeen >= blocksMax;
  }

  /** Looks at an area whose blocks have both views. */
  count(picture: Yuv444Picture, area: Rectangle): void {
    if (this.settled) return;
    this.#blocksSeen += (area.width * area.height) >> 2;
    const right = area.left + area.width - 1;
    const bottom = area.top + area.height - 1;
    for (let y = (area.top + 1) & ~1; y < bottom; y += 2)
      for (let x = (area.left + 1) & ~1; x < right; x += 2) {
        const at = y * picture.stride + x;
        this.#block(picture.u, at, picture.stride);
        this.#block(picture.v, at, picture.stride);
      }
  }

  #block(plane: Uint8Array, at: number, stride: number): void {
    const main = plane[at]!;
    const beside = plane[at + 1]!;
    const below = plane[at + stride]!;
    const across = plane[at + stride + 1]!;
    const undone = 4 * main - beside - below - across;
    if (Math.abs(undone - main) < differenceMin) return;
    const nearest = (value: number): number =>
      Math.min(Math.abs(value - beside), Math.abs(value - below), Math.abs(value - across));
    // What compression does to a sample, undoing an average makes four times as large.
    const difference = nearest(undone) - 4 * nearest(main);
    if (difference >= marginMin) this.#own += 1;
    else if (difference <= -marginMin) this.#average += 1;
  }

  snapshot(): ChromaVotesSnapshot {
    return { average: this.#average, own: this.#own, blocksSeen: this.#blocksSeen };
  }

  restore({ average, own, blocksSeen }: ChromaVotesSnapshot): void {
    this.#average = average;
    this.#own = own;
    this.#blocksSeen = blocksSeen;
  }
}
