export { REPLAY_RULES, type ReplayEnd, type ReplayState, type ReplayTally, replayStateOf } from './state.ts';
export { emptyTally, endedAtChunk, tallyOf, type WalkPlace } from './tally.ts';
export { drawFrame, isReplayed, lacksH264, lookBefore, ReplayWalk, throwFailure } from './walk.ts';
