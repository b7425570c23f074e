import { type Crypto, concatBytes, DecodeError, equalBytes, type MaybePromise } from '@lucid-sessions/wire';
import { fromBase64, fromUtf8, toBase64, toHex, utf8 } from '../text.ts';
import { sha256 } from '../web-crypto.ts';

/** C2SP signed-note: text that ends in a newline, an empty line, signature lines. */
export interface SignedNote {
  /** Newline included; what is signed. */
  text: string;
  signatures: NoteSignature[];
}

export interface NoteSignature {
  name: string;
  /** First 4 bytes of SHA-256(name ‖ "\n" ‖ algorithm ‖ public key). */
  keyHash: Uint8Array;
  signature: Uint8Array;
}

/** Signature types of signed-note and tlog-cosignature. */
export const noteAlgorithms = { ed25519: 0x01, cosignatureV1: 0x04 } as const;
export type NoteAlgorithm = (typeof noteAlgorithms)[keyof typeof noteAlgorithms];

/** A verifier key ("vkey"). */
export interface NoteKey {
  name: string;
  algorithm: NoteAlgorithm;
  /** Ed25519, 32 bytes. */
  publicKey: Uint8Array;
}

/** Signs notes under a name. */
export interface NoteSigner {
  readonly key: NoteKey;
  sign(message: Uint8Array): MaybePromise<Uint8Array>;
}

export const NOTE_BYTES_LIMIT = 1_000_000;
const SIGNATURES_MAX = 100;
const SIGNATURE_PREFIX = '— ';
const NAME = /^[^\s+]{1,255}$/u;

function checkName(name: string): string {
  if (!NAME.test(name))
    throw new DecodeError('invalid', 'a note key name is 1 to 255 characters without space or plus');
  return name;
}

export function noteKeyHash(key: NoteKey): Uint8Array {
  return sha256(utf8(`${key.name}\n`), Uint8Array.of(key.algorithm), key.publicKey).slice(0, 4);
}

/** `name+hash+base64(algorithm ‖ key)`, as Go's x/mod/sumdb/note reads it. */
export function formatNoteKey(key: NoteKey): string {
  const data = toBase64(concatBytes(Uint8Array.of(key.algorithm), key.publicKey));
  return `${checkName(key.name)}+${toHex(noteKeyHash(key))}+${data}`;
}

/** Throws `DecodeError`. */
export function parseNoteKey(text: string): NoteKey {
  const [, name, hash, data] = /^([^+]+)\+([0-9a-f]{8})\+(.{1,200})$/su.exec(text) ?? [];
  if (name === undefined || hash === undefined || data === undefined)
    throw new DecodeError('invalid', 'a verifier key is written name+hash+base64');
  const bytes = fromBase64(data, 'verifier key');
  const algorithm = bytes[0];
  if (algorithm !== noteAlgorithms.ed25519 && algorithm !== noteAlgorithms.cosignatureV1)
    throw new DecodeError('unsupported', `verifier key of type ${algorithm} is not known`);
  if (bytes.length !== 33) throw new DecodeError('invalid', 'an Ed25519 verifier key has 32 bytes');
  const key: NoteKey = { name: checkName(name), algorithm, publicKey: bytes.slice(1) };
  if (toHex(noteKeyHash(key)) !== hash) throw new DecodeError('invalid', 'the hash in the verifier key is not its own');
  return key;
}

function checkText(text: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: signed-note forbids them, newline apart
  if (!text.endsWith('\n') || !text.isWellFormed() || /[\u0000-\u0009\u000b-\u001f]/.test(text))
    throw new DecodeError('invalid', 'the text of a note must end in a newline and hold no control characters');
}

export function formatNote(note: SignedNote): string {
  checkText(note.text);
  const lines = note.signatures.map(
    ({ name, keyHash, signature }) => `${SIGNATURE_PREFIX}${name} ${toBase64(concatBytes(keyHash, signature))}\n`,
  );
  return `${note.text}\n${lines.join('')}`;
}

function parseSignatureLine(line: string): NoteSignature {
  const [, name, data] = /^— (\S+) ([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
  if (name === undefined || data === undefined)
    throw new DecodeError('invalid', 'a signature line of the note is malformed');
  const bytes = fromBase64(data, 'note signature');
  if (bytes.length < 5) throw new DecodeError('invalid', 'a note signature is too short');
  return { name: checkName(name), keyHash: bytes.slice(0, 4), signature: bytes.slice(4) };
}

/** Throws `DecodeError`. */
export function parseNote(bytes: Uint8Array | string): SignedNote {
  const raw = typeof bytes === 'string' ? bytes : fromUtf8(bytes, 'note');
  if (raw.length > NOTE_BYTES_LIMIT) throw new DecodeError('limit', `a note is at most ${NOTE_BYTES_LIMIT} bytes`);
  const end = raw.lastIndexOf('\n\n');
  if (end < 0 || !raw.endsWith('\n'))
    throw new DecodeError('invalid', 'a note needs an empty line before its signatures');
  const text = raw.slice(0, end + 1);
  checkText(text);
  const lines = raw.slice(end + 2, -1).split('\n');
  if (raw.length === end + 2 || lines.length > SIGNATURES_MAX)
    throw new DecodeError('invalid', `a note has 1 to ${SIGNATURES_MAX} signatures`);
  return { text, signatures: lines.map(parseSignatureLine) };
}

/** The signatures of a note that claim to be by `key`. */
export function signaturesBy(note: SignedNote, key: NoteKey): NoteSignature[] {
  const hash = noteKeyHash(key);
  return note.signatures.filter(({ name, keyHash }) => name === key.name && equalBytes(keyHash, hash));
}

export async function signNote(signer: NoteSigner, text: string): Promise<NoteSignature> {
  checkText(text);
  return { name: signer.key.name, keyHash: noteKeyHash(signer.key), signature: await signer.sign(utf8(text)) };
}

/** `absent`: no signature claims to be by this key. A bad one is `bad` even beside a good one. */
export async function checkNote(crypto: Crypto, note: SignedNote, key: NoteKey): Promise<'good' | 'bad' | 'absent'> {
  const signatures = signaturesBy(note, key);
  if (signatures.length === 0) return 'absent';
  for (const { signature } of signatures)
    if (!(await crypto.ed25519Verify(key.publicKey, utf8(note.text), signature))) return 'bad';
  return 'good';
}

/** A signer over an Ed25519 seed in memory. */
export async function ed25519NoteSigner(crypto: Crypto, name: string, seed: Uint8Array): Promise<NoteSigner> {
  const publicKey = await crypto.ed25519PublicKey(seed);
  return {
    key: { name: checkName(name), algorithm: noteAlgorithms.ed25519, publicKey },
    sign: (message) => crypto.ed25519Sign(seed, message),
  };
}
