import { h } from '../ui/dom.ts';

const keyBytes = 32;
const textBytesMax = 1 << 20;

/** A view key as hex or base64; null: it is none. */
export function bytesOfKey(text: string): Uint8Array | null {
  const trimmed = text.trim();
  if (/^[0-9a-fA-F]{64}$/.test(trimmed))
    return Uint8Array.from({ length: keyBytes }, (_, at) => Number.parseInt(trimmed.slice(2 * at, 2 * at + 2), 16));
  if (!/^[A-Za-z0-9+/]{43}=$/.test(trimmed)) return null;
  return Uint8Array.from(atob(trimmed), (character) => character.charCodeAt(0));
}

export function fileInput(label: string, accept: string, take: (file: File) => void): HTMLElement {
  const input = h('input', { type: 'file', ...(accept === '' ? {} : { accept }) });
  input.addEventListener('change', () => {
    for (const file of input.files ?? []) take(file);
    // The same file, written anew, can be chosen again.
    input.value = '';
  });
  return h('label', { class: 'file' }, h('span', {}, label), input);
}

export type Dropped =
  | { kind: 'policy'; bytes: Uint8Array }
  | { kind: 'key'; bytes: Uint8Array }
  | { kind: 'bundle' }
  | { kind: 'document' }
  | { kind: 'unknown' };

/** What a file is, by its first bytes: not by its name, which anybody may change. */
export async function readDropped(file: File): Promise<Dropped> {
  const head = new Uint8Array(await file.slice(0, 512).arrayBuffer());
  const text = new TextDecoder('latin1').decode(head);
  if (text.slice(257, 262) === 'ustar') return { kind: 'bundle' };
  if (/^\s*<!doctype html/i.test(text)) return { kind: 'document' };
  if (file.size > textBytesMax) return { kind: 'unknown' };
  if (/^\s*\{/.test(text)) return { kind: 'policy', bytes: new Uint8Array(await file.arrayBuffer()) };
  const key = bytesOfKey(text);
  return key === null ? { kind: 'unknown' } : { kind: 'key', bytes: key };
}
