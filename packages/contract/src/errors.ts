/**
 * The closed table of error codes of the REST contract. 3001–3010 are given; the series goes on from 3011. A code with
 * several statuses names its usual one first.
 */
export const errorTable = {
  LUCID_ERR_3001: { statuses: [404], meaning: 'session not found' },
  LUCID_ERR_3002: { statuses: [400], meaning: 'invalid session configuration or request' },
  LUCID_ERR_3003: { statuses: [409], meaning: 'session already exists' },
  LUCID_ERR_3004: { statuses: [409], meaning: 'recording not started or not allowed in this state' },
  LUCID_ERR_3005: { statuses: [404], meaning: 'chunk not found' },
  LUCID_ERR_3006: { statuses: [500, 502], meaning: 'pipeline error' },
  LUCID_ERR_3007: { statuses: [500, 507], meaning: 'storage error' },
  LUCID_ERR_3008: { statuses: [500], meaning: 'compression error' },
  LUCID_ERR_3009: { statuses: [500], meaning: 'encryption error' },
  LUCID_ERR_3010: { statuses: [429], meaning: 'rate limit exceeded' },
  LUCID_ERR_3011: { statuses: [401], meaning: 'not authenticated' },
  LUCID_ERR_3012: { statuses: [403], meaning: 'not permitted' },
  LUCID_ERR_3013: { statuses: [502, 500], meaning: 'anchoring error' },
  LUCID_ERR_3014: { statuses: [500], meaning: 'verification could not be carried out' },
  LUCID_ERR_3015: { statuses: [503], meaning: 'recorder at capacity' },
  LUCID_ERR_3016: { statuses: [503, 504], meaning: 'a service this call needs can not be reached in time' },
  LUCID_ERR_3017: { statuses: [413, 431], meaning: 'request too large' },
  LUCID_ERR_3018: { statuses: [404, 405], meaning: 'no such route' },
  LUCID_ERR_3019: { statuses: [415], meaning: 'content type not supported' },
  LUCID_ERR_3020: { statuses: [409], meaning: 'changed by someone else meanwhile' },
  LUCID_ERR_3021: { statuses: [404], meaning: 'record not there (yet)' },
  LUCID_ERR_3022: { statuses: [500], meaning: 'internal error' },
  LUCID_ERR_3023: { statuses: [403], meaning: 'the recording is shown on request only, and nothing is granted now' },
  LUCID_ERR_3024: { statuses: [404], meaning: 'no such account, token, sign-in or target' },
} as const satisfies Record<string, { statuses: readonly [number, ...number[]]; meaning: string }>;

export type ErrorCode = keyof typeof errorTable;

export const errorCodes = Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]];

/** Names for the codes, so that a throw reads as what it means. */
export const errorNames = {
  sessionNotFound: 'LUCID_ERR_3001',
  invalidRequest: 'LUCID_ERR_3002',
  sessionExists: 'LUCID_ERR_3003',
  notInThisState: 'LUCID_ERR_3004',
  chunkNotFound: 'LUCID_ERR_3005',
  pipeline: 'LUCID_ERR_3006',
  storage: 'LUCID_ERR_3007',
  compression: 'LUCID_ERR_3008',
  encryption: 'LUCID_ERR_3009',
  rateLimited: 'LUCID_ERR_3010',
  unauthenticated: 'LUCID_ERR_3011',
  forbidden: 'LUCID_ERR_3012',
  anchoring: 'LUCID_ERR_3013',
  verification: 'LUCID_ERR_3014',
  atCapacity: 'LUCID_ERR_3015',
  unavailable: 'LUCID_ERR_3016',
  tooLarge: 'LUCID_ERR_3017',
  noSuchRoute: 'LUCID_ERR_3018',
  mediaType: 'LUCID_ERR_3019',
  conflict: 'LUCID_ERR_3020',
  recordNotFound: 'LUCID_ERR_3021',
  internal: 'LUCID_ERR_3022',
  viewingNeeded: 'LUCID_ERR_3023',
  notFound: 'LUCID_ERR_3024',
} as const satisfies Record<string, ErrorCode>;

export type ErrorName = keyof typeof errorNames;

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorTable, value);
}

/** The one error that crosses service borders. `message` is for a person and never holds a secret. */
export class LucidError extends Error {
  override readonly name = 'LucidError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly details: Record<string, unknown>;

  constructor(
    name: ErrorName,
    message: string,
    options: { status?: number; details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = errorNames[name];
    const statuses: readonly number[] = errorTable[this.code].statuses;
    this.status = options.status !== undefined && statuses.includes(options.status) ? options.status : statuses[0]!;
    this.details = options.details ?? {};
  }

  static fromWire(wire: unknown): LucidError {
    const { code, message, details, status } = (typeof wire === 'object' && wire !== null ? wire : {}) as Record<
      string,
      unknown
    >;
    const name = (Object.keys(errorNames) as ErrorName[]).find((key) => errorNames[key] === code) ?? 'internal';
    return new LucidError(name, typeof message === 'string' ? message : 'the service answered without a message', {
      ...(typeof status === 'number' ? { status } : {}),
      ...(typeof details === 'object' && details !== null ? { details: details as Record<string, unknown> } : {}),
    });
  }
}

/** Whether it is a LucidError thrown by one of these names. */
export const isLucidError = (thrown: unknown, ...names: readonly ErrorName[]): thrown is LucidError =>
  thrown instanceof LucidError && names.some((name) => errorNames[name] === thrown.code);

/** Any thrown value as a LucidError: unknown ones become `internal` and keep their text out of the answer. */
export function toLucidError(thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  return new LucidError('internal', 'an internal error happened; the service log names it', { cause: thrown });
}
