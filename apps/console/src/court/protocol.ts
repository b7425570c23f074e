import type { VerificationReport } from '@lucid-sessions/evidence';
import type { ToWorker } from '../player/protocol.ts';

/** What the court page and its worker say to each other, beside what a player and its worker do. */

/** A file of the bundle and its SHA-256, hex. */
export interface DigestedFile {
  name: string;
  bytes: number;
  sha256: string;
}

/** One record of the chain of custody. */
export interface CustodyLine {
  sequence: number;
  atUs: number;
  action: string;
  actor: string;
  detail: string;
}

/** What the records say, for the report; null where one can't be read. Nothing of it is more than the verdicts say. */
export interface CourtFacts {
  sessionId: string | null;
  recorder: { id: string; software: string; identityKey: string } | null;
  target: string | null;
  targetUser: string | null;
  createdBy: string | null;
  encryption: string | null;
  openSha256: string | null;
  manifestSha256: string | null;
  bundleSha256: string | null;
  /** Who took the bundle, and when. */
  exported: { by: string; atUs: number } | null;
  clock: { offsetUs: number | null; source: string } | null;
  connections: { atUs: number; client: string; target: string }[];
  gaps: { fromUs: number; toUs: number | null; reason: string; framesLost: number }[];
  custody: CustodyLine[];
  files: DigestedFile[];
}

export type ToCourtWorker =
  | ToWorker
  | { type: 'verify'; file: Blob; policy: Uint8Array | null; viewKey: Uint8Array | null };

export type FromCourtWorker =
  | { type: 'verifying'; checked: number; total: number }
  | { type: 'verified'; report: VerificationReport; facts: CourtFacts }
  /** The policy given is none. */
  | { type: 'policyRefused'; message: string };
