import { h264MissingKind, type NotDrawnKind, type SessionDecoder } from '@lucid-sessions/rdp/graphics';

/**
 * Counts differ between programs that count by different rules. To be raised with every change after which a recording that was examined
 * before would be told otherwise: a codec that is drawn now, a kind that is named anew.
 */
export const REPLAY_RULES = 1;

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
  ended: ReplayEnd | null;
}

export const emptyTally = (): ReplayTally => ({
  chunks: 0,
  untilUs: 0,
  pictures: 0,
  lit: false,
  notDrawn: [],
  sharePermille: 0,
  ended: null,
});

/** Where a walk stands: chunks it is through with, and the time of the last frame. */
export interface WalkPlace {
  chunks: number;
  untilUs: number;
}

/** What a settled decoder drew up to a place. That there is no decoder for H.264 ends a walk and is no count of its own. */
export function tallyOf({ screen }: SessionDecoder, { chunks, untilUs }: WalkPlace): ReplayTally {
  const kinds = screen.notDrawn.kinds();
  const missing = kinds.find(({ kind }) => kind === h264MissingKind);
  return {
    chunks,
    untilUs,
    pictures: screen.framesCount,
    lit: screen.lit,
    notDrawn: kinds.filter((kind) => kind !== missing).sort((a, b) => (a.kind < b.kind ? -1 : 1)),
    sharePermille: screen.notDrawn.sharePermille(h264MissingKind),
    ended: missing === undefined ? null : { reason: 'h264', chunk: chunks - 1, atUs: missing.firstUs },
  };
}

/** The same with an end at the chunk behind those that were walked through. */
export const endedAtChunk = (tally: ReplayTally): ReplayTally => ({
  ...tally,
  ended: tally.ended ?? { reason: 'chunk', chunk: tally.chunks, atUs: tally.untilUs },
});

/**
 * `drawn`: everything. `parts`: named parts were not. `nothing`: it shows black from beginning to end. `unexamined`: nobody walked
 * through it, or not to its end.
 */
export type ReplayState = 'drawn' | 'parts' | 'nothing' | 'unexamined';

/** What a walk through all of a recording's chunks comes to. */
export function replayStateOf(
  tally: Pick<ReplayTally, 'pictures' | 'lit' | 'ended'> & { notDrawn: readonly unknown[] },
): ReplayState {
  if (tally.notDrawn.length > 0 || tally.ended?.reason === 'chunk') return tally.lit ? 'parts' : 'nothing';
  if (tally.ended !== null) return 'unexamined';
  return tally.lit && tally.pictures > 0 ? 'drawn' : 'nothing';
}
