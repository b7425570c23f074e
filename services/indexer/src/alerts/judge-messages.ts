import type { AlertProgress, AlertRules } from '@lucid-sessions/contract';
import type { Judgement } from './judge-segment.ts';

export interface JudgeRequest {
  /** A stored segment, unsealed. */
  file: Uint8Array;
  openedUs: number;
  rules: AlertRules['rules'];
  progress: AlertProgress;
}

/** Null where the segment can't be read. */
export type JudgeResult = Judgement | null;
