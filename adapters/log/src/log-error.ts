export type LogErrorCode =
  | 'locked'
  | 'moved'
  | 'corrupt'
  | 'closed'
  | 'held'
  | 'unknown_entry'
  | 'entry_too_large'
  | 'bad_cosignature';

/** Why the embedded log could not do what it was asked. */
export class LogError extends Error {
  override readonly name = 'LogError';
  readonly code: LogErrorCode;
  constructor(code: LogErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
