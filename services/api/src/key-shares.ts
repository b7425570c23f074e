/** The shares of session keys, as the API asks for them. Implemented where age and the sharing scheme are. */
import type { KeyWrap } from '@lucid-sessions/contract';

export interface SharedKey {
  keyId: string;
  threshold: number;
  holders: readonly { index: number; recipient: string; wrapped: Uint8Array }[];
}

/** Of one process: what is sealed to it, and the keys it holds while they are granted, in memory only. */
export interface KeyShares {
  /** The age recipient that shares are sealed to; its identity never leaves this process. */
  recipient(): Promise<string>;
  /** Null: not shared. */
  describe(wraps: readonly KeyWrap[]): SharedKey | null;
  /** A share as its holder gave it, in clear or sealed to this process. Throws `invalidRequest`, which says what is wrong with it. */
  read(
    wraps: readonly KeyWrap[],
    given: { share: string } | { box: Uint8Array },
  ): Promise<{ index: number; share: string }>;
  /** An age file to all of these recipients. */
  seal(share: string, recipients: readonly string[]): Promise<Uint8Array>;
  /** Combines shares that are sealed to this process and holds the key for a grant. False: too few of them open here. */
  hold(wraps: readonly KeyWrap[], boxes: readonly Uint8Array[], grant: HeldFor): Promise<boolean>;
  holds(viewingId: string): boolean;
  /** Forgets keys whose grants are over. */
  prune(isGranted: (grant: HeldFor) => Promise<boolean>): Promise<void>;
}

export interface HeldFor {
  sessionId: string;
  viewingId: string;
  untilUs: number;
}
