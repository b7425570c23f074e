import { LucidError, type RecordKind, type StoragePort } from '@lucid-sessions/contract';
import {
  type BodyOf,
  type RecordBody,
  readRecordOf,
  type SignedRecord,
  type Signer,
  signRecord,
} from '@lucid-sessions/evidence';
import { DecodeError } from '@lucid-sessions/wire';
import { persist } from '../persist.ts';

/** The records of one kind a session has in storage, in order. */
export async function readRecords<K extends RecordKind>(
  storage: StoragePort,
  sessionId: string,
  kind: K,
): Promise<{ bytes: Uint8Array; record: SignedRecord<BodyOf<K>> }[]> {
  const { records } = await persist('answer for the records', () => storage.getRecords({ sessionId, kind }));
  return [...records]
    .sort((a, b) => a.sequence - b.sequence)
    .map(({ record }) => ({ bytes: record, record: readRecordOf(kind, record) }));
}

/** Signs a body; one that its kind does not allow is the caller's mistake. */
export async function signBody(signer: Signer, body: RecordBody): Promise<Uint8Array> {
  try {
    return await signRecord(signer, body);
  } catch (cause) {
    if (cause instanceof DecodeError || cause instanceof RangeError)
      throw new LucidError('invalidRequest', `the record can't be signed: ${cause.message}`, { cause });
    throw new LucidError('encryption', 'the identity key did not sign the record', { cause });
  }
}
