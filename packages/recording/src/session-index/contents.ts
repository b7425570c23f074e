import type { Side } from './events.ts';

/** Clipboard and drive contents as they pass by. Pieces of one content share its id; their bytes are views: copy to keep. */
export type ContentPiece =
  | {
      type: 'data';
      id: number;
      kind: ContentKind;
      /** Whose it was. */
      from: Side;
      name: string;
      timeUs: number;
      offset: number;
      bytes: Uint8Array;
    }
  | { type: 'end'; id: number };
export type ContentKind =
  | 'clipboard_text'
  | 'clipboard_data'
  | 'clipboard_file'
  | 'drive_read'
  | 'drive_written'
  | 'print_job';
export type ContentSink = (piece: ContentPiece) => void;

/** Strips the terminator and what follows, and keeps within a bound. */
export function cutText(text: string, charactersMax: number): string {
  const end = text.indexOf('\0');
  return (end < 0 ? text : text.slice(0, end)).slice(0, charactersMax);
}

/** The copy is for shared memory, which `TextDecoder` refuses in browsers. */
export function utf16Text(bytes: Uint8Array, charactersMax: number): string {
  const even = bytes.slice(0, Math.min(bytes.length & ~1, 2 * charactersMax + 2));
  return cutText(new TextDecoder('utf-16le').decode(even), charactersMax);
}
