import { type Crypto, DecodeError } from '@lucid-sessions/wire';
import { sessionIdBytes } from '../envelope/session-id.ts';
import { toHex } from '../text.ts';
import { sha256 } from '../web-crypto.ts';
import { type BodyOf, type RecordBody, type RecordKind, recordSchemas } from './bodies.ts';
import { type DsseEnvelope, decodeDsse, preAuthEncoding, RECORD_BYTES_MAX, signDsse } from './dsse.ts';
import { encodeJson, type Json, parseCanonicalJson } from './json.ts';
import { keyIdOf, type PublicKey, type Signer, verifySignature } from './public-key.ts';
import type { Schema } from './schema.ts';

const TYPE_PREFIX = 'application/vnd.lucid-sessions.';
const TYPE_SUFFIX = '+json;v=1';

export const recordPayloadType = (kind: RecordKind): string => `${TYPE_PREFIX}${kind}${TYPE_SUFFIX}`;

/** A record as read from its bytes, its signatures not yet checked. */
export interface SignedRecord<B extends RecordBody = RecordBody> {
  kind: B['kind'];
  body: B;
  envelope: DsseEnvelope;
  /** SHA-256 of the envelope's bytes, hex: what other records and the log name it by. Covers the signatures. */
  sha256: string;
}

/** The fields every body begins with. */
export function recordBase<K extends RecordKind>(
  kind: K,
  sessionId: string,
): { v: 1; kind: K; session_id: string; session_uuid: string } {
  return { v: 1, kind, session_id: sessionId, session_uuid: toHex(sessionIdBytes(sessionId)) };
}

function parseBody<K extends RecordKind>(kind: K, value: Json): BodyOf<K> {
  const schema: Schema<unknown> = recordSchemas[kind];
  const body = schema.parse(value, kind) as BodyOf<K>;
  if (body.session_uuid !== toHex(sessionIdBytes(body.session_id)))
    throw new DecodeError('invalid', `${kind}.session_uuid does not belong to session_id`);
  return body;
}

/** Signs a body: JCS, then DSSE. Throws `DecodeError` when the body is not what its kind must hold. */
export async function signRecord(signer: Signer, body: RecordBody): Promise<Uint8Array> {
  parseBody(body.kind, body as unknown as Json);
  return signDsse(signer, recordPayloadType(body.kind), encodeJson(body));
}

const isKind = (kind: string): kind is RecordKind => Object.hasOwn(recordSchemas, kind);

/** Reads a record of any kind. Throws `DecodeError`. */
export function readRecord(bytes: Uint8Array): SignedRecord {
  const envelope = decodeDsse(bytes);
  const { payloadType } = envelope;
  const kind = payloadType.slice(TYPE_PREFIX.length, -TYPE_SUFFIX.length);
  if (!isKind(kind) || payloadType !== recordPayloadType(kind))
    throw new DecodeError('unsupported', 'the payload type is not one of version 1');
  const body = parseBody(kind, parseCanonicalJson(envelope.payload, RECORD_BYTES_MAX));
  return { kind, body, envelope, sha256: toHex(sha256(bytes)) };
}

/** Reads a record that must be of `kind`. Throws `DecodeError`. */
export function readRecordOf<K extends RecordKind>(kind: K, bytes: Uint8Array): SignedRecord<BodyOf<K>> {
  const record = readRecord(bytes);
  if (record.kind !== kind)
    throw new DecodeError('invalid', `a ${kind} record was expected, this is a ${record.kind} record`);
  return record as SignedRecord<BodyOf<K>>;
}

export type RecordCheck =
  | { signedBy: PublicKey; finding: null }
  /** KEY_UNTRUSTED: no signature names one of the keys. SIG_BAD: one does, and does not check out. */
  | { signedBy: null; finding: 'KEY_UNTRUSTED' | 'SIG_BAD' };

/** Whether one of `keys` signed the record. A bad signature under a known key is SIG_BAD even beside a good one. */
export async function checkRecord(
  crypto: Crypto,
  record: SignedRecord,
  keys: readonly PublicKey[],
): Promise<RecordCheck> {
  const message = preAuthEncoding(record.envelope.payloadType, record.envelope.payload);
  let signedBy: PublicKey | null = null;
  for (const { keyId, signature } of record.envelope.signatures) {
    const key = keys.find((candidate) => keyIdOf(candidate) === keyId);
    if (key === undefined) continue;
    if (!(await verifySignature(crypto, key, message, signature))) return { signedBy: null, finding: 'SIG_BAD' };
    signedBy ??= key;
  }
  return signedBy === null ? { signedBy, finding: 'KEY_UNTRUSTED' } : { signedBy, finding: null };
}
