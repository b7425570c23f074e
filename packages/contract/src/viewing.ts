/** Who may see a recording, beside having the right to: with a reason, with a second person, with the holders of its key. */

/** From the loosest to the strictest. */
export const viewingLevels = ['open', 'reason', 'approval'] as const;
export type ViewingLevel = (typeof viewingLevels)[number];

export const strictestLevel = (levels: readonly ViewingLevel[]): ViewingLevel =>
  viewingLevels[Math.max(0, ...levels.map((level) => viewingLevels.indexOf(level)))]!;

/** `once`: one answer that hands the recording out (its key, an export, the live view, what crossed the clipboard). `window`: as many as wanted. */
export const viewingUses = ['once', 'window'] as const;
export type ViewingUse = (typeof viewingUses)[number];

export const viewingMinutesMax = 1440;
/** Of who holds a share of a session's key. */
export const keyHoldersMax = 16;
/** Processes of the API that can open shares, and base64 of one share sealed to all of them. */
export const unlockersMax = 16;
export const shareBoxCharsMax = 3500;

/** Where it stands: `ended` ones are forgotten soon; custody and the audit log keep what happened. */
export type ViewingState = 'waiting' | 'granted' | 'refused' | 'used';

/** One holder's share, sealed to keys that live in the memory of API processes. */
export interface SealedShare {
  /** Of the holder, from 1. */
  index: number;
  /** Who gave it in. */
  by: string;
  /** An age file, base64. */
  box: string;
}

/** Somebody asks to see a recording. Agreed on, never stored. */
export interface ViewingRequest {
  viewingId: string;
  sessionId: string;
  by: string;
  reason: string;
  use: ViewingUse;
  /** How long it may be seen once it is granted. */
  minutes: number;
  askedUs: number;
  /** Whether a second person has to agree. */
  approval: boolean;
  /** How many holders have to give their share; null: its key is not shared. */
  threshold: number | null;
  decision: { approved: boolean; by: string; reason: string; atUs: number } | null;
  shares: SealedShare[];
  grantedUs: number | null;
  /** When it was handed out; of `once` that is all. */
  usedUs: number | null;
  /** Operations it was used for. */
  operations: string[];
  /** When it is over: as a request, then as a grant. */
  untilUs: number;
}

export function viewingState({ decision, grantedUs, use, usedUs }: ViewingRequest): ViewingState {
  if (decision?.approved === false) return 'refused';
  if (grantedUs === null) return 'waiting';
  return use === 'once' && usedUs !== null ? 'used' : 'granted';
}
