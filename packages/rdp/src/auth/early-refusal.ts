import { decode } from '@lucid-sessions/wire';
import { tsRequest } from '../pdu/credssp.ts';
import { connectFrameLength } from '../pdu/frame-length.ts';
import { type LogonProblem, logonProblemOf, statusText } from './logon-status.ts';

const DER_SEQUENCE = 0x30;

/**
 * What a target says behind CredSSP's end, where without HYBRID_EX it has no other place for a refusal: a TSRequest with an
 * error code. Null: it is something else, or not whole yet. Throws `DecodeError`.
 */
export function earlyRefusal(bytes: Uint8Array): { how: LogonProblem; problem: string; code: number } | null {
  if (bytes[0] !== DER_SEQUENCE) return null;
  const length = connectFrameLength(bytes, 0, bytes.length);
  if (length === 0 || bytes.length < length) return null;
  const { errorCode } = decode(tsRequest, bytes.slice(0, length));
  if (!errorCode) return null;
  return {
    how: logonProblemOf(errorCode),
    problem: `the target refused with ${statusText(errorCode)}`,
    code: errorCode,
  };
}
