import { DecodeError } from '@lucid-sessions/wire';
import { decodeNote, encodeNote, type GatewayNote } from '../note.ts';

/** What a recording keeps of input and of the clipboard. */
export const keepPolicies = ['full', 'masked', 'none'] as const;
export type KeepPolicy = (typeof keepPolicies)[number];

export type Side = 'client' | 'server';

/** One thing that happened. Times are µs since the session's start. Texts that are `null` were not kept or are not shown. */
export type IndexEvent = { timeUs: number } & (
  | { kind: 'note'; note: GatewayNote }
  | { kind: 'logon'; from: Side; userName: string; domain: string }
  | { kind: 'resize'; width: number; height: number }
  /** `keys` went down up to `untilUs`; `approximate`: the client's keyboard has another layout than the one assumed. */
  | {
      kind: 'typed';
      untilUs: number;
      text: string | null;
      keys: number;
      erased: number;
      entered: boolean;
      approximate: boolean;
    }
  /** Keys pressed together, such as Ctrl+Alt+Delete. */
  | { kind: 'combination'; keys: string | null }
  | { kind: 'click'; button: string; x: number; y: number }
  | { kind: 'clipboard_text'; from: Side; text: string | null; characters: number; sha256: string | null }
  | { kind: 'clipboard_files'; from: Side; count: number; files: { name: string; bytes: number }[] | null }
  | { kind: 'clipboard_file'; from: Side; name: string | null; bytes: number; sha256: string | null }
  | { kind: 'drive'; deviceId: number; name: string }
  | { kind: 'drive_open'; drive: string; path: string; opened: boolean; forWriting: boolean }
  | { kind: 'drive_read'; drive: string; path: string; offset: number; bytes: number; sha256: string | null }
  | { kind: 'drive_written'; drive: string; path: string; offset: number; bytes: number; sha256: string | null }
  | { kind: 'not_kept'; what: 'input' | 'clipboard'; policy: 'masked' | 'none' }
  | { kind: 'error'; code: string; message: string }
  | { kind: 'disconnect'; from: Side; reason: number }
);
export type IndexEventKind = IndexEvent['kind'];
/** An event before its time is put to it. */
export type Happening = IndexEvent extends infer E ? (E extends IndexEvent ? Omit<E, 'timeUs'> : never) : never;

export const INDEX_TEXT_MAX = 16 * 1024;
export const INDEX_FILES_MAX = 256;

/** Texts people typed or copied: they can hold passwords, and are taken out for whoever may not see them. */
export function withoutInputs(event: IndexEvent): IndexEvent {
  switch (event.kind) {
    case 'typed':
    case 'clipboard_text':
      return { ...event, text: null, ...(event.kind === 'clipboard_text' ? { sha256: null } : {}) };
    case 'combination':
      return { ...event, keys: null };
    case 'clipboard_files':
      return { ...event, files: null };
    case 'clipboard_file':
      return { ...event, name: null, sha256: null };
    default:
      return event;
  }
}

type Check = (value: unknown) => boolean;
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const text: Check = (value) => typeof value === 'string' && value.length <= INDEX_TEXT_MAX;
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const flag: Check = (value) => typeof value === 'boolean';
const side: Check = (value) => value === 'client' || value === 'server';
const hash: Check = (value) => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const files: Check = (value) =>
  Array.isArray(value) &&
  value.length <= INDEX_FILES_MAX &&
  value.every((file) => isObject(file) && text(file.name) && count(file.bytes) && Object.keys(file).length === 2);
const note: Check = (value) => {
  try {
    decodeNote(encodeNote(value as GatewayNote));
    return true;
  } catch {
    return false;
  }
};
const driveFile = { drive: text, path: text, offset: count, bytes: count, sha256: orNull(hash) };

const shapes: Record<IndexEventKind, Record<string, Check>> = {
  note: { note },
  logon: { from: side, userName: text, domain: text },
  resize: { width: count, height: count },
  typed: { untilUs: count, text: orNull(text), keys: count, erased: count, entered: flag, approximate: flag },
  combination: { keys: orNull(text) },
  click: { button: text, x: count, y: count },
  clipboard_text: { from: side, text: orNull(text), characters: count, sha256: orNull(hash) },
  clipboard_files: { from: side, count, files: orNull(files) },
  clipboard_file: { from: side, name: orNull(text), bytes: count, sha256: orNull(hash) },
  drive: { deviceId: count, name: text },
  drive_open: { drive: text, path: text, opened: flag, forWriting: flag },
  drive_read: driveFile,
  drive_written: driveFile,
  not_kept: {
    what: (value) => value === 'input' || value === 'clipboard',
    policy: (value) => value === 'masked' || value === 'none',
  },
  error: { code: text, message: text },
  disconnect: { from: side, reason: count },
};

/** Holds a decoded value against its shape. Throws `DecodeError`. */
export function checkedEvent(value: unknown): IndexEvent {
  if (!isObject(value) || !count(value.timeUs)) throw new DecodeError('invalid', 'an index event has no time');
  const { kind } = value;
  if (typeof kind !== 'string' || !Object.hasOwn(shapes, kind))
    throw new DecodeError('unsupported', 'an index event is of a kind this version does not know');
  const shape = shapes[kind as IndexEventKind];
  const names = Object.keys(shape);
  const complete = names.every((name) => shape[name]!(value[name]));
  if (!complete || Object.keys(value).length !== names.length + 2)
    throw new DecodeError('invalid', `an index event of kind ${kind} is not what it must be`);
  return value as IndexEvent;
}

/** Every text of an event a person could search for. */
export function textsOf(event: IndexEvent): string[] {
  const texts: string[] = [];
  const collect = (value: unknown): void => {
    if (typeof value === 'string') texts.push(value);
    else if (Array.isArray(value)) value.forEach(collect);
    else if (isObject(value)) Object.values(value).forEach(collect);
  };
  collect(event);
  return texts;
}
