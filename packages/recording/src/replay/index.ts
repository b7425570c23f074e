export {
  emptyTally,
  endedAtChunk,
  REPLAY_RULES,
  type ReplayEnd,
  type ReplayState,
  type ReplayTally,
  replayStateOf,
  tallyOf,
  type WalkPlace,
} from './tally.ts';
export { isReplayed, ReplayWalk } from './walk.ts';
