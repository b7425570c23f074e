export { REPLAY_RULES, type ReplayEnd, type ReplayState, type ReplayTally, replayStateOf } from './state.ts';
export { emptyTally, endedAtChunk, tallyOf, type WalkPlace } from './tally.ts';
export { isReplayed, ReplayWalk } from './walk.ts';
