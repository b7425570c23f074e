import type { NotDrawnKind, OneColourCount } from '@lucid-sessions/graphics';

/**
 * Counts differ between programs that count by different rules. To be raised with every change after which a recording that was examined
 * before would be told otherwise: a codec that is drawn now, a kind that is named anew.
 */
export const REPLAY_RULES = 3;

/** Why nothing behind a place of a recording was examined. */
export interface ReplayEnd {
  /** H.264 began and there was no decoder for it; a chunk is lost or can't be read. */
  reason: 'h264' | 'chunk';
  chunk: number;
  atUs: number;
}

/** What a walk through a recording saw: what could be drawn of it, and what could not. Times in µs since the session's start. */
export interface ReplayTally {
  /** Chunks walked through. */
  chunks: number;
  /** Time of the last frame of those. */
  untilUs: number;
  /** Pictures: frames where the server marks them, else updates. */
  pictures: number;
  /** Some pixel was not black at some time. */
  lit: boolean;
  /** By name. */
  notDrawn: NotDrawnKind[];
  /** Thousandths of the screen on which at some time something was not drawn, as far as that is known. */
  sharePermille: number;
  /** How much of it showed one colour while something went on. */
  oneColour: OneColourCount;
  ended: ReplayEnd | null;
}

/**
 * `drawn`: everything. `parts`: named parts were not. `nothing`: it shows black from beginning to end. `unexamined`: nobody walked
 * through it, or not to its end.
 */
export type ReplayState = 'drawn' | 'parts' | 'nothing' | 'unexamined';

/** The result of decoding all of a recording's chunks. */
export function replayStateOf(
  tally: Pick<ReplayTally, 'pictures' | 'lit' | 'ended'> & { notDrawn: readonly unknown[] },
): ReplayState {
  if (tally.notDrawn.length > 0 || tally.ended?.reason === 'chunk') return tally.lit ? 'parts' : 'nothing';
  if (tally.ended !== null) return 'unexamined';
  return tally.lit && tally.pictures > 0 ? 'drawn' : 'nothing';
}
