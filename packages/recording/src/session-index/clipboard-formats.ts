import { utf16Text } from './contents.ts';
import { INDEX_TEXT_MAX } from './events.ts';

/** Standard clipboard formats, [MS-RDPECLIP] 1.3.1.1.2. */
const TEXT = 1;
const OEM_TEXT = 7;
const UNICODE_TEXT = 13;
const standard: Readonly<Record<number, readonly [name: string, ending: string]>> = {
  2: ['CF_BITMAP', 'bin'],
  3: ['CF_METAFILEPICT', 'wmf'],
  6: ['CF_TIFF', 'tif'],
  8: ['CF_DIB', 'dib'],
  9: ['CF_PALETTE', 'bin'],
  11: ['CF_RIFF', 'riff'],
  12: ['CF_WAVE', 'wav'],
  14: ['CF_ENHMETAFILE', 'emf'],
  15: ['CF_HDROP', 'bin'],
  17: ['CF_DIBV5', 'dib'],
};
/** They say how something is to be pasted, not what it is. */
const LOCALE = 16;
const aboutOthers =
  /^(Preferred DropEffect|Performed DropEffect|Paste Succeeded|Logical Performed DropEffect|ZoneIdentifier)$/;
const endings: readonly (readonly [RegExp, string])[] = [
  [/html/i, 'html'],
  [/rich text|\brtf\b/i, 'rtf'],
  [/png/i, 'png'],
  [/jfif|jpe?g/i, 'jpg'],
  [/gif/i, 'gif'],
  [/svg/i, 'svg'],
  [/^text\//i, 'txt'],
];

export const isText = (formatId: number): boolean =>
  formatId === TEXT || formatId === OEM_TEXT || formatId === UNICODE_TEXT;
export const isWideText = (formatId: number): boolean => formatId === UNICODE_TEXT;

/** What a format is called and the ending a file of it has; null for what is no content of its own. */
export function formatOf(formatId: number, registered: string | undefined): { name: string; ending: string } | null {
  if (formatId === LOCALE || (registered !== undefined && aboutOthers.test(registered))) return null;
  const known = standard[formatId];
  if (known) return { name: known[0], ending: known[1] };
  const name = registered === undefined || registered === '' ? `format ${formatId}` : registered;
  return { name, ending: endings.find(([pattern]) => pattern.test(name))?.[1] ?? 'bin' };
}

/** The readable part of a format that is text in another guise; null for pictures and the like. */
export function readableText({ name, ending }: { name: string; ending: string }, bytes: Uint8Array): string | null {
  if (!['html', 'rtf', 'txt', 'svg'].includes(ending)) return null;
  if (bytes.length > 1 && bytes[1] === 0) return utf16Text(bytes, INDEX_TEXT_MAX);
  const [text = ''] = new TextDecoder().decode(bytes.slice()).split('\0');
  // "HTML Format" has a head that names the place of what was selected.
  const fragment = name === 'HTML Format' ? /<!--StartFragment-->([\s\S]*?)<!--EndFragment-->/.exec(text)?.[1] : null;
  return (fragment ?? text).slice(0, INDEX_TEXT_MAX);
}
