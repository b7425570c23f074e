/** C2SP tlog-witness: asking somebody who remembers a log to cosign its checkpoint. */
import { DecodeError, equalBytes } from '@lucid-sessions/wire';
import { toBase64 } from '../text.ts';
import { type NoteKey, type NoteSignature, noteKeyHash, parseNote } from './note.ts';

/** The body of `POST <prefix>/add-checkpoint`: that the checkpoint's tree extends one of `oldSize` entries the witness knows. */
export function formatAddCheckpoint(oldSize: number, proof: readonly Uint8Array[], checkpoint: string): string {
  return [`old ${oldSize}\n`, ...proof.map((hash) => `${toBase64(hash)}\n`), '\n', checkpoint].join('');
}

/** The signature lines a witness answers; those of `witness` alone. Throws `DecodeError`. */
export function parseCosignatures(answer: string, witness: NoteKey): NoteSignature[] {
  const hash = noteKeyHash(witness);
  // The lines are the end of a note, whose text does not matter here.
  const { signatures } = parseNote(`witness\n\n${answer}`);
  return signatures.filter(({ name, keyHash }) => name === witness.name && equalBytes(keyHash, hash));
}

/** The size of the tree a witness knows, from its answer 409 (`text/x.tlog.size`). Throws `DecodeError`. */
export function parseTreeSize(answer: string): number {
  const size = /^(?:0|[1-9][0-9]{0,15})\n$/.test(answer) ? Number(answer) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw new DecodeError('invalid', 'the witness names no tree size');
  return size;
}
