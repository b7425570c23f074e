import type { AttemptReason, RecorderPresence } from '@lucid-sessions/contract';

/** Why a connection can't become a session: what is told of it, and what the client's user gets to see. */
export class ConnectFailure extends Error {
  override readonly name = 'ConnectFailure';
  readonly reason: AttemptReason;
  /** Set Error Info code for the client. */
  readonly errorInfo: number;
  /** For the operator's log alone. */
  readonly detail: string;

  constructor(reason: AttemptReason, errorInfo: number, message: string, detail = '') {
    super(message);
    this.reason = reason;
    this.errorInfo = errorInfo;
    this.detail = detail;
  }
}

/** Its session is under way at another recorder. */
export class HeldElsewhere extends ConnectFailure {
  readonly holder: RecorderPresence;

  constructor({ reason, errorInfo, message }: ConnectFailure, holder: RecorderPresence) {
    super(reason, errorInfo, message);
    this.holder = holder;
  }
}
