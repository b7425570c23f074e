/** Why bytes could not be decoded. Closed: callers may switch over it. */
export type DecodeErrorCode =
  /** The bytes end before the value does. Inside a framed PDU this is a malformed PDU, never "need more bytes". */
  | 'truncated'
  /** A field holds a value its specification forbids. */
  | 'invalid'
  /** A length or count is larger than this project accepts. */
  | 'limit'
  /** Valid, but a version or option this project does not speak. */
  | 'unsupported';

/** The one error every codec of this project throws on bad bytes. `offset` is relative to the outermost buffer. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly code: DecodeErrorCode;
  readonly offset: number;

  constructor(code: DecodeErrorCode, message: string, offset = 0) {
    super(`${message} (at byte ${offset})`);
    this.code = code;
    this.offset = offset;
  }
}

/** null where the bytes are something else. */
export function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}
