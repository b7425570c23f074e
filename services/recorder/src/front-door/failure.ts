import type { EndReason } from '@lucid-sessions/contract';

/** Why a connection can't become a session: what is reported, and what the client's user gets to see. */
export class ConnectFailure extends Error {
  override readonly name = 'ConnectFailure';
  readonly reason: EndReason;
  /** Set Error Info code for the client. */
  readonly errorInfo: number;

  constructor(reason: EndReason, errorInfo: number, message: string) {
    super(message);
    this.reason = reason;
    this.errorInfo = errorInfo;
  }
}
