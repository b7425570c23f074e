import { type Crypto, Reader, Writer } from '@lucid-sessions/wire';
import { utf8 } from '../text.ts';
import {
  type NoteKey,
  type NoteSignature,
  type NoteSigner,
  noteKeyHash,
  type SignedNote,
  signaturesBy,
} from './note.ts';

/** C2SP tlog-cosignature, cosignature/v1: a u64 of POSIX seconds and an Ed25519 signature over the time and the checkpoint. */
const COSIGNATURE_BYTES = 8 + 64;

const cosignedMessage = (timeSeconds: number, text: string): Uint8Array =>
  utf8(`cosignature/v1\ntime ${timeSeconds}\n${text}`);

/** What a witness answers: its signature line for a checkpoint it found consistent with all it saw before. */
export async function cosign(witness: NoteSigner, text: string, timeSeconds: number): Promise<NoteSignature> {
  const signature = await witness.sign(cosignedMessage(timeSeconds, text));
  return {
    name: witness.key.name,
    keyHash: noteKeyHash(witness.key),
    signature: new Writer(COSIGNATURE_BYTES).u64be(BigInt(timeSeconds)).slice(signature).bytes(),
  };
}

export type CosignatureCheck = { state: 'absent' | 'bad' } | { state: 'good'; timeSeconds: number };

/** Checks a witness's cosignature. The earliest good one counts: the checkpoint existed then. */
export async function checkCosignature(crypto: Crypto, note: SignedNote, witness: NoteKey): Promise<CosignatureCheck> {
  let earliest: number | null = null;
  for (const { signature } of signaturesBy(note, witness)) {
    if (signature.length !== COSIGNATURE_BYTES) return { state: 'bad' };
    const reader = new Reader(signature);
    const time = reader.u64be();
    // Past the year 9999 it is no time any more, and a number would not hold it.
    if (time > 253_402_300_799n) return { state: 'bad' };
    const timeSeconds = Number(time);
    const good = await crypto.ed25519Verify(witness.publicKey, cosignedMessage(timeSeconds, note.text), reader.rest());
    if (!good) return { state: 'bad' };
    earliest = Math.min(earliest ?? timeSeconds, timeSeconds);
  }
  return earliest === null ? { state: 'absent' } : { state: 'good', timeSeconds: earliest };
}
