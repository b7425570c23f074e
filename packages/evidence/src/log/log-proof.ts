import { DecodeError } from '@lucid-sessions/wire';
import { PROOF_HASHES_MAX } from '../merkle/proof.ts';
import { fromBase64, fromUtf8, toBase64 } from '../text.ts';

/** C2SP tlog-proof: an entry's place in a log, with the signed checkpoint it leads to. `extra` is not used here. */
export interface LogProof {
  index: number;
  /** Leaf to root. */
  hashes: Uint8Array[];
  /** The signed note, verbatim. */
  checkpoint: string;
}

const HEADER = 'c2sp.org/tlog-proof@v1';
const LOG_PROOF_BYTES_MAX = 1_010_000;

export function formatLogProof(proof: LogProof): string {
  return [HEADER, `index ${proof.index}`, ...proof.hashes.map(toBase64), '', proof.checkpoint].join('\n');
}

function parseHash(line: string): Uint8Array {
  const hash = fromBase64(line, 'proof hash');
  if (hash.length !== 32) throw new DecodeError('invalid', 'a hash of the proof must be 32 bytes');
  return hash;
}

/** Throws `DecodeError`. */
export function parseLogProof(bytes: Uint8Array | string): LogProof {
  const text = typeof bytes === 'string' ? bytes : fromUtf8(bytes, 'log proof');
  if (text.length > LOG_PROOF_BYTES_MAX) throw new DecodeError('limit', 'the log proof is too large');
  const end = text.indexOf('\n\n');
  if (end < 0) throw new DecodeError('invalid', 'the log proof holds no checkpoint');
  const [header, ...lines] = text.slice(0, end).split('\n');
  if (header !== HEADER) throw new DecodeError('unsupported', `a log proof begins with ${HEADER}`);
  // Extra data is the application's, and this one has none: a line of it is read over, as the specification allows.
  if (lines[0]?.startsWith('extra ')) fromBase64(lines.shift()!.slice(6), 'extra data');
  const index = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? '')?.[1];
  if (index === undefined || !Number.isSafeInteger(Number(index)))
    throw new DecodeError('invalid', 'the log proof holds no index');
  if (lines.length > PROOF_HASHES_MAX) throw new DecodeError('limit', 'the log proof has too many hashes');
  return { index: Number(index), hashes: lines.map(parseHash), checkpoint: text.slice(end + 2) };
}
