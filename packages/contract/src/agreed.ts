/** Bounds of what several processes agree on (`Coordination` of the pipeline): one check for every adapter. */
import { LucidError } from './errors.ts';

export const agreedNameCharsMax = 200;
export const agreedValueBytesMax = 64 * 1024;
/** Entries of one page. */
export const agreedPageMax = 1000;

const namePattern = new RegExp(`^[\\x20-\\x7e]{1,${agreedNameCharsMax}}$`);

/** Names of spaces, keys, leases and owners: printable ASCII, so that every database puts them into the same order. Throws `invalidRequest`. */
export function checkAgreedNames(...names: readonly string[]): void {
  if (!names.every((name) => namePattern.test(name)))
    throw new LucidError('invalidRequest', `a name has 1 to ${agreedNameCharsMax} printable ASCII characters`);
}

/** The value's JSON. Throws `invalidRequest` when it has none, or more than `agreedValueBytesMax` bytes. */
export function agreedText(value: unknown): string {
  const text: string | undefined = JSON.stringify(value);
  if (text === undefined) throw new LucidError('invalidRequest', 'the value is none of JSON');
  if (!(new TextEncoder().encode(text).length <= agreedValueBytesMax))
    throw new LucidError('invalidRequest', `a value has at most ${agreedValueBytesMax} bytes of JSON`);
  return text;
}

/** Throws `invalidRequest` unless it is a whole number from 1 to `agreedPageMax`. */
export function checkAgreedPage(limit: number): void {
  if (!(Number.isInteger(limit) && limit >= 1 && limit <= agreedPageMax))
    throw new LucidError('invalidRequest', `a page has 1 to ${agreedPageMax} entries`);
}
