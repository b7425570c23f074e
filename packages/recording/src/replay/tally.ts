import { h264MissingKind, type SessionDecoder } from '@lucid-sessions/graphics';
import type { ReplayTally } from './state.ts';

export const emptyTally = (): ReplayTally => ({
  chunks: 0,
  untilUs: 0,
  pictures: 0,
  lit: false,
  notDrawn: [],
  sharePermille: 0,
  oneColour: { activeSeconds: 0, seconds: 0, longest: null },
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
    oneColour: screen.oneColour.count,
    ended: missing === undefined ? null : { reason: 'h264', chunk: chunks - 1, atUs: missing.firstUs },
  };
}

/** The same with an end at the chunk behind those that were walked through. */
export const endedAtChunk = (tally: ReplayTally): ReplayTally => ({
  ...tally,
  ended: tally.ended ?? { reason: 'chunk', chunk: tally.chunks, atUs: tally.untilUs },
});
