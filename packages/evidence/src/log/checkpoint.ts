import { DecodeError } from '@lucid-sessions/wire';
import { fromBase64, toBase64 } from '../text.ts';
import { formatNote, type NoteSigner, parseNote, type SignedNote, signNote } from './note.ts';

/** C2SP tlog-checkpoint: the signed head of a log. */
export interface Checkpoint {
  /** The log's unique name. */
  origin: string;
  size: number;
  /** RFC 6962 root hash. */
  root: Uint8Array;
  /** Opaque lines, none from this project. */
  extensions: string[];
}

const EXTENSIONS_MAX = 16;

export function formatCheckpoint(checkpoint: Checkpoint): string {
  const { origin, size, root, extensions } = checkpoint;
  return [origin, String(size), toBase64(root), ...extensions].map((line) => `${line}\n`).join('');
}

/** Reads the text of a note. Throws `DecodeError`. */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.slice(0, -1).split('\n');
  const [origin, size, root, ...extensions] = lines;
  if (!text.endsWith('\n') || origin === undefined || size === undefined || root === undefined || origin === '')
    throw new DecodeError('invalid', 'a checkpoint has an origin, a size and a root line');
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size)))
    throw new DecodeError('invalid', 'the size of the checkpoint is not a whole number below 2^53');
  if (extensions.length > EXTENSIONS_MAX || extensions.includes(''))
    throw new DecodeError('invalid', 'the extension lines of the checkpoint are not well formed');
  const hash = fromBase64(root, 'checkpoint root');
  if (hash.length !== 32) throw new DecodeError('invalid', 'the root of the checkpoint must be 32 bytes');
  return { origin, size: Number(size), root: hash, extensions };
}

export interface SignedCheckpoint extends Checkpoint {
  note: SignedNote;
}

/** Throws `DecodeError`. Signatures are not checked. */
export function parseSignedCheckpoint(text: Uint8Array | string): SignedCheckpoint {
  const note = parseNote(text);
  return { ...parseCheckpoint(note.text), note };
}

/** The log's name is its origin: the signer's. */
export async function signCheckpoint(signer: NoteSigner, size: number, root: Uint8Array): Promise<string> {
  const text = formatCheckpoint({ origin: signer.key.name, size, root, extensions: [] });
  return formatNote({ text, signatures: [await signNote(signer, text)] });
}
