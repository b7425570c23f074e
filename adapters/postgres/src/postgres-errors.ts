/** What PostgreSQL, its driver and the network say, in terms of the closed table. No value of a row, and nothing secret, is kept of it. */
import { LucidError } from '@lucid-sessions/contract';

/** SQLSTATE of five characters, a code of Node (`ECONNRESET`), or ''. */
export function codeOf(thrown: unknown): string {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

const isSqlState = (code: string) => /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code);

/** The server rolled back, or is a standby: nothing was done. */
const rolledBack = new Set(['40001', '40P01', '25006', '25P03', '53300', '57P03']);
/** The server ends connections, the network lost one, or none could be made: what was asked may have been done. */
const lost = new Set(['57P01', '57P02', '57P05']);
const lostByNode = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH'],
  ...['ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT'],
]);
/** The driver's own errors have no code. */
const lostByDriver = /^(?:Connection terminated|Client has encountered a connection error|timeout expired$)/;
const slow = new Set(['57014', '55P03']);
const slowByDriver = /^(?:Query read timeout|timeout exceeded when trying to connect)$/;

export type Fate = 'rolled_back' | 'lost' | 'slow' | 'refused';

/** `rolled_back` and `lost` are worth another try; `lost` may have been done already. */
export function fateOf(thrown: unknown): Fate {
  const code = codeOf(thrown);
  const message = thrown instanceof Error ? thrown.message : '';
  if (rolledBack.has(code)) return 'rolled_back';
  if (lost.has(code) || lostByNode.has(code) || /^08...$/.test(code) || lostByDriver.test(message)) return 'lost';
  if (slow.has(code) || slowByDriver.test(message)) return 'slow';
  return 'refused';
}

const diskFull = '53100';

export function storeError(thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  const code = codeOf(thrown);
  const options = { details: isSqlState(code) ? { sqlstate: code } : {}, cause: bare(thrown) };
  switch (fateOf(thrown)) {
    case 'refused':
      return code === diskFull
        ? new LucidError('storage', 'the disk of the database is full', { ...options, status: 507 })
        : new LucidError('storage', 'the database refused the call', options);
    case 'slow':
      return new LucidError('unavailable', 'the database did not answer in time; ask again later', options);
    default:
      return new LucidError('unavailable', 'the database can not be reached; ask again later', options);
  }
}

/** Detail, hint and message of a server quote rows: kept is where it was raised. */
function bare(thrown: unknown): Error {
  const { routine } = (thrown ?? {}) as { routine?: unknown };
  const code = codeOf(thrown);
  if (isSqlState(code)) return new Error(`PostgreSQL ${code}${typeof routine === 'string' ? ` in ${routine}` : ''}`);
  return new Error(code === '' ? 'the connection failed' : code);
}

const startProblems: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ENOENT: 'there is no such socket',
  ENOTFOUND: 'there is no machine of that name',
  EAI_AGAIN: 'its name could not be looked up',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'no way leads there',
  ENETUNREACH: 'no way leads there',
  '28P01': 'it refuses this user with this password',
  '28000': 'it does not let this user in from here (pg_hba.conf)',
  '3D000': 'it has no such database',
  '25006': 'it is read-only (a standby)',
  '42501': 'this user may not make or use the tables: let it own the database, or its schema',
  '57P03': 'it is starting or stopping',
  '53300': 'all of its connections are taken',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'no authority vouches for its certificate: name one in SESSION_METADATA_DB_CA',
  SELF_SIGNED_CERT_IN_CHAIN: 'no known authority vouches for its certificate: name it in SESSION_METADATA_DB_CA',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'no known authority vouches for its certificate: name it in SESSION_METADATA_DB_CA',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    'no known authority vouches for its certificate: name it in SESSION_METADATA_DB_CA',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  CERT_HAS_EXPIRED: 'its certificate has expired',
};

/** Why it can't be opened, for who starts it. */
export function startProblemOf(thrown: unknown): string {
  if (thrown instanceof LucidError) return thrown.message;
  const message = thrown instanceof Error ? thrown.message : '';
  if (message === 'The server does not support SSL connections')
    return 'it has no TLS: give it a certificate, or say sslmode=disable where the network between is trusted';
  if (message.startsWith('SASL'))
    return 'it wants a password: put one into the address or SESSION_METADATA_DB_PASSWORD_FILE';
  const code = codeOf(thrown);
  if (startProblems[code] !== undefined) return startProblems[code];
  if (fateOf(thrown) !== 'refused') return 'it does not answer';
  return isSqlState(code)
    ? `it refused with SQLSTATE ${code}`
    : `the connection failed${code === '' ? '' : ` (${code})`}`;
}
