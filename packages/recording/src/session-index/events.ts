import { MONITORS_MAX, type Monitor } from '@lucid-sessions/rdp';
import { DecodeError } from '@lucid-sessions/wire';
import { decodeNote, encodeNote, type GatewayNote } from '../note.ts';

/** What a recording keeps of input and of the clipboard. */
export const keepPolicies = ['full', 'masked', 'none'] as const;
export type KeepPolicy = (typeof keepPolicies)[number];

export type Side = 'client' | 'server';

/** Devices of the client that are no drives. */
export const deviceKinds = ['printer', 'serial', 'parallel', 'smart_card', 'other'] as const;
export type DeviceKind = (typeof deviceKinds)[number];

export const windowHappenings = ['opened', 'activated', 'renamed', 'closed'] as const;
export type WindowHappening = (typeof windowHappenings)[number];

/** What is known of a file that went over. Nothing here is a guess: what is not known is null. */
export interface FileContents {
  /** Bytes that went over, each byte of the file counted once. */
  bytes: number | null;
  /** Of the file, as its owner said. */
  size: number | null;
  /** Of the whole file: only where all of it went over. */
  sha256: string | null;
}

/** One thing that happened. Times are µs since the session's start. Texts that are `null` were not kept or are not shown. */
export type IndexEvent = { timeUs: number } & (
  | { kind: 'note'; note: GatewayNote }
  | { kind: 'logon'; from: Side; userName: string; domain: string }
  | { kind: 'resize'; width: number; height: number }
  /** Told where there are several, and when there is one again. */
  | { kind: 'monitors'; monitors: Monitor[] }
  /** A window of a remote application that has a title. */
  | { kind: 'window'; what: WindowHappening; windowId: number; title: string }
  /**
   * `keys` went down up to `untilUs`; `approximate`: the client's keyboard has another layout than the one assumed. `atLogon`: before
   * the host said that somebody had logged on, so that it may be a password.
   */
  | {
      kind: 'typed';
      untilUs: number;
      text: string | null;
      keys: number;
      erased: number;
      entered: boolean;
      approximate: boolean;
      atLogon: boolean;
    }
  /** Keys pressed together, such as Ctrl+Alt+Delete. */
  | { kind: 'combination'; keys: string | null }
  /** Null where a mouse only says how far it moved and never where it is. A finger or a pen is a button too. */
  | { kind: 'click'; button: string; x: number | null; y: number | null }
  | { kind: 'clipboard_text'; from: Side; text: string | null; characters: number; sha256: string | null }
  /** Pictures, HTML and the like: `text` where it can be read as one. */
  | {
      kind: 'clipboard_data';
      from: Side;
      format: string;
      bytes: number;
      text: string | null;
      sha256: string | null;
    }
  | { kind: 'clipboard_files'; from: Side; count: number; files: { name: string; bytes: number | null }[] | null }
  | ({ kind: 'clipboard_file'; from: Side; name: string | null } & FileContents)
  | { kind: 'drive'; deviceId: number; name: string }
  | { kind: 'device'; deviceId: number; type: DeviceKind; name: string }
  | { kind: 'device_removed'; deviceId: number; name: string }
  | { kind: 'drive_open'; drive: string; path: string; opened: boolean; forWriting: boolean }
  | ({ kind: 'drive_read'; drive: string; path: string; offset: number } & FileContents)
  | ({ kind: 'drive_written'; drive: string; path: string; offset: number } & FileContents)
  | { kind: 'drive_deleted'; drive: string; path: string }
  | { kind: 'drive_renamed'; drive: string; path: string; newPath: string }
  | { kind: 'print_job'; printer: string; bytes: number | null; sha256: string | null }
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
      return { ...event, text: null };
    case 'clipboard_text':
    case 'clipboard_data':
      return { ...event, text: null, sha256: null };
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

/** What may have been typed at a logon screen is a password: it takes a second step to see it. */
export function withoutLogon(event: IndexEvent): IndexEvent {
  return event.kind === 'typed' && event.atLogon ? { ...event, text: null } : event;
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
  value.every(
    (file) => isObject(file) && text(file.name) && orNull(count)(file.bytes) && Object.keys(file).length === 2,
  );
const integer: Check = (value) => Number.isSafeInteger(value);
const monitors: Check = (value) =>
  Array.isArray(value) &&
  value.length <= MONITORS_MAX &&
  value.every(
    (one) =>
      isObject(one) &&
      [one.left, one.top].every(integer) &&
      [one.width, one.height].every(count) &&
      flag(one.primary) &&
      Object.keys(one).length === 5,
  );
const note: Check = (value) => {
  try {
    decodeNote(encodeNote(value as GatewayNote));
    return true;
  } catch {
    return false;
  }
};
const contents = { bytes: orNull(count), size: orNull(count), sha256: orNull(hash) };
const driveFile = { drive: text, path: text, offset: count, ...contents };

const shapes: Record<IndexEventKind, Record<string, Check>> = {
  note: { note },
  logon: { from: side, userName: text, domain: text },
  resize: { width: count, height: count },
  monitors: { monitors },
  window: { what: (value) => windowHappenings.includes(value as WindowHappening), windowId: count, title: text },
  typed: {
    untilUs: count,
    text: orNull(text),
    keys: count,
    erased: count,
    entered: flag,
    approximate: flag,
    atLogon: flag,
  },
  combination: { keys: orNull(text) },
  click: { button: text, x: orNull(integer), y: orNull(integer) },
  clipboard_text: { from: side, text: orNull(text), characters: count, sha256: orNull(hash) },
  clipboard_data: { from: side, format: text, bytes: count, text: orNull(text), sha256: orNull(hash) },
  clipboard_files: { from: side, count, files: orNull(files) },
  clipboard_file: { from: side, name: orNull(text), ...contents },
  drive: { deviceId: count, name: text },
  device: { deviceId: count, type: (value) => deviceKinds.includes(value as DeviceKind), name: text },
  device_removed: { deviceId: count, name: text },
  drive_open: { drive: text, path: text, opened: flag, forWriting: flag },
  drive_read: driveFile,
  drive_written: driveFile,
  drive_deleted: { drive: text, path: text },
  drive_renamed: { drive: text, path: text, newPath: text },
  print_job: { printer: text, bytes: orNull(count), sha256: orNull(hash) },
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

/** Every text of an event a person could search for: not what kind it is, and whose. */
export function textsOf({ kind: _kind, ...event }: IndexEvent): string[] {
  const texts: string[] = [];
  const collect = (value: unknown): void => {
    if (typeof value === 'string') texts.push(value);
    else if (Array.isArray(value)) value.forEach(collect);
    else if (isObject(value)) for (const [name, child] of Object.entries(value)) if (name !== 'from') collect(child);
  };
  collect(event);
  return texts;
}
