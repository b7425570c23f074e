import { type ClipboardFormat, FileDescriptorFlag, fileDescriptor } from '@lucid-sessions/rdp';
import { Reader } from '@lucid-sessions/wire';
import { cutText } from './contents.ts';
import { Transfer, type TransferBudget, type TransferSnapshot } from './transfer.ts';

const FILE_LIST_FORMAT = 'FileGroupDescriptorW';
/** The same where names are cut to 15 characters; the list of narrow names is cut to the same. */
const FILE_LIST_FORMAT_CUT = 'FileGroupDescri';
const FILES_MAX = 65_536;
const NAME_MAX = 260;

export interface ClipboardFile {
  name: string;
  /** Null where its owner did not say. */
  size: number | null;
}

/** What an owner offered with one format list: it lives on while it is locked or something asked of it has no answer. */
export interface ClipboardList {
  readonly names: ReadonlyMap<number, string>;
  files: ClipboardFile[];
  /** Files that went over whole. */
  readonly done: Set<number>;
  readonly transfers: Map<number, Transfer>;
}

export interface ClipboardListSnapshot {
  readonly names: ReadonlyMap<number, string>;
  readonly files: readonly ClipboardFile[];
  readonly done: ReadonlySet<number>;
  readonly transfers: readonly (readonly [number, TransferSnapshot])[];
}

export function clipboardList(formats: readonly ClipboardFormat[]): ClipboardList {
  const names = new Map(formats.map(({ formatId, formatName }) => [formatId, formatName.slice(0, NAME_MAX)]));
  return { names, files: [], done: new Set(), transfers: new Map() };
}

export function snapshotOf({ names, files, done, transfers }: ClipboardList): ClipboardListSnapshot {
  return {
    names: new Map(names),
    files: files.map((file) => ({ ...file })),
    done: new Set(done),
    transfers: [...transfers].map(([index, transfer]) => [index, transfer.snapshot()] as const),
  };
}

export function restoredList(snapshot: ClipboardListSnapshot, budget: TransferBudget): ClipboardList {
  return {
    names: new Map(snapshot.names),
    files: snapshot.files.map((file) => ({ ...file })),
    done: new Set(snapshot.done),
    transfers: new Map(snapshot.transfers.map(([index, transfer]) => [index, Transfer.from(transfer, budget)])),
  };
}

/** A registered format has an id of its owner's choosing. */
export function listsFiles(list: ClipboardList, formatId: number): boolean {
  const name = list.names.get(formatId);
  return name === FILE_LIST_FORMAT || name === FILE_LIST_FORMAT_CUT;
}

/** The files of a CLIPRDR_FILELIST, as many as are there whatever it claims; their number as claimed. */
export function filesOf(body: Uint8Array): ClipboardFile[] {
  const reader = new Reader(body);
  const count = Math.min(reader.u32le(), FILES_MAX);
  const files: ClipboardFile[] = [];
  while (files.length < count && reader.remaining > 0) {
    const { flags, fileSizeHigh, fileSizeLow, fileName } = fileDescriptor.decode(reader);
    const size = fileSizeHigh * 0x1_0000_0000 + fileSizeLow;
    const isKnown = (flags & FileDescriptorFlag.fileSize) !== 0 && Number.isSafeInteger(size);
    files.push({ name: cutText(fileName.text, NAME_MAX), size: isKnown ? size : null });
  }
  return files;
}
