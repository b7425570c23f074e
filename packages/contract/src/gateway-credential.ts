/**
 * What a client logs on to the gateway with, by network level authentication: issued for one session, short-lived, shown once. The
 * secret crosses one call alone, the answer to whoever had it issued; afterwards only its NT hash is kept, sealed.
 */

/** Lower case, as it is typed; looked up without case. */
export const gatewayUserPattern = /^lucid-[2-9a-hjkmnp-z]{12}$/;

export interface IssuedCredential {
  /** Names the session, and stays the same for it. */
  user: string;
  secret: string;
  issuedUs: number;
  /** Until its first use; after that it is good for the session's reconnections, as long as the session goes on. */
  expiresUs: number;
}

/** What a client that logs on is checked against. */
export interface LogonAccount {
  sessionId: string;
  /** 16 bytes. Null: burnt, nothing is left that could prove anything. */
  ntHash: Uint8Array | null;
  standing: LogonStanding;
}

export const logonStandings = [
  'good',
  /** Told to who knows the secret alone. */
  'expired',
  /** Wrong too often. */
  'burnt',
] as const;
export type LogonStanding = (typeof logonStandings)[number];

export const logonOutcomes = ['proven', 'wrong', 'left'] as const;
/** How a try ended. `left`: before anything was checked. */
export type LogonOutcome = (typeof logonOutcomes)[number];

export interface LogonTry {
  connectionId: string;
  user: string;
  clientAddress: string;
  outcome: LogonOutcome;
}
