import {
  ClipboardFlag,
  ClipboardGeneralFlag,
  ClipboardType,
  clipboardCapabilities,
  clipboardLock,
  clipboardMessage,
  FileContentsFlag,
  fileContentsRequest,
  fileContentsResponse,
  formatDataRequest,
  readClipboardFormats,
} from '@lucid-sessions/rdp';
import { decode } from '@lucid-sessions/wire';
import { ClipboardFiles } from './clipboard-files.ts';
import { formatOf, isText, isWideText, readableText } from './clipboard-formats.ts';
import {
  type ClipboardList,
  type ClipboardListSnapshot,
  clipboardList,
  filesOf,
  listsFiles,
  restoredList,
  snapshotOf,
} from './clipboard-list.ts';
import {
  type DataRequest,
  DataRequests,
  type DataRequestsSnapshot,
  type FileRequest,
  REQUESTS_MAX,
} from './clipboard-requests.ts';
import { type ContentKind, type ContentSink, cutText, utf16Text } from './contents.ts';
import { type Happening, INDEX_FILES_MAX, INDEX_TEXT_MAX, type KeepPolicy, type Side } from './events.ts';
import { ResumableSha256 } from './sha256.ts';
import { TransferBudget } from './transfer.ts';

const LOCKS_MAX = 64;
/** Names of files of all lists that one side still has to serve. */
const FILES_HELD_MAX = 131_072;

/** One side as the owner of what it offers. */
interface Owner {
  longNames: boolean;
  /** The other side locks what it copies. */
  locking: boolean;
  current: number;
  lists: Map<number, ClipboardList>;
  /** Lists the other side holds on to, by its clipDataId. */
  locks: Map<number, number>;
  asked: DataRequests;
  requests: FileRequest[];
}

interface OwnerSnapshot {
  readonly longNames: boolean;
  readonly locking: boolean;
  readonly current: number;
  readonly lists: readonly (readonly [number, ClipboardListSnapshot])[];
  readonly locks: ReadonlyMap<number, number>;
  readonly asked: DataRequestsSnapshot;
  readonly requests: readonly FileRequest[];
}

export type ClipboardSnapshot = Readonly<Record<Side, OwnerSnapshot>>;

const newOwner = (): Owner => ({
  longNames: false,
  locking: false,
  current: 0,
  lists: new Map([[0, clipboardList([])]]),
  locks: new Map(),
  asked: new DataRequests(),
  requests: [],
});

/**
 * Follows the clipboard channel ([MS-RDPECLIP]): what was copied over is what one side asked for and the other answered. A request
 * belongs to the list that was current, or locked, when it was made, whatever was offered since.
 */
export class ClipboardWatch {
  readonly #policy: KeepPolicy;
  readonly #emit: (timeUs: number, happening: Happening) => void;
  readonly #nextId: () => number;
  readonly #sink: ContentSink | undefined;
  readonly #files: ClipboardFiles;
  #owners: Record<Side, Owner> = { client: newOwner(), server: newOwner() };

  constructor(
    policy: KeepPolicy,
    emit: (timeUs: number, happening: Happening) => void,
    nextId: () => number,
    sink?: ContentSink,
  ) {
    this.#policy = policy;
    this.#emit = emit;
    this.#nextId = nextId;
    this.#sink = sink;
    this.#files = new ClipboardFiles(emit, nextId, sink);
  }

  snapshot(): ClipboardSnapshot {
    const of = (owner: Owner): OwnerSnapshot => ({
      ...owner,
      lists: [...owner.lists].map(([id, list]) => [id, snapshotOf(list)] as const),
      locks: new Map(owner.locks),
      asked: owner.asked.snapshot(),
      requests: owner.requests.map((request) => ({ ...request })),
    });
    return { client: of(this.#owners.client), server: of(this.#owners.server) };
  }

  restore(snapshot: ClipboardSnapshot): void {
    this.#files.budget = new TransferBudget();
    for (const side of ['client', 'server'] as const) {
      const { lists, locks, asked, requests, ...rest } = snapshot[side];
      this.#owners[side] = {
        ...rest,
        lists: new Map(lists.map(([id, list]) => [id, restoredList(list, this.#files.budget)])),
        locks: new Map(locks),
        asked: DataRequests.from(asked),
        requests: requests.map((request) => ({ ...request })),
      };
    }
  }

  /** A whole message of the channel. Throws `DecodeError`. */
  push(timeUs: number, sender: Side, bytes: Uint8Array): void {
    const { msgType, msgFlags, dataLen, data } = decode(clipboardMessage, bytes);
    const body = data.subarray(0, dataLen);
    const own = this.#owners[sender];
    const others = this.#owners[sender === 'client' ? 'server' : 'client'];
    const ok = (msgFlags & ClipboardFlag.responseOk) !== 0;
    switch (msgType) {
      case ClipboardType.clipCaps:
        own.longNames =
          (decode(clipboardCapabilities, body).generalFlags & ClipboardGeneralFlag.useLongFormatNames) !== 0;
        return;
      case ClipboardType.formatList:
        this.#formats(sender, clipboardList(readClipboardFormats(body, msgFlags, own.longNames && others.longNames)));
        return;
      case ClipboardType.formatDataRequest: {
        const { requestedFormatId } = decode(formatDataRequest, body);
        others.asked.add({ listId: others.current, formatId: requestedFormatId });
        return;
      }
      case ClipboardType.formatDataResponse: {
        const request = own.asked.take();
        if (ok && request !== undefined) this.#data(timeUs, sender, request, body);
        break;
      }
      case ClipboardType.fileContentsRequest:
        this.#fileRequest(others, body);
        return;
      case ClipboardType.fileContentsResponse:
        this.#fileResponse(timeUs, sender, ok, body);
        break;
      case ClipboardType.lockClipdata:
        this.#lock(others, decode(clipboardLock, body).clipDataId);
        this.#sweep(sender === 'client' ? 'server' : 'client');
        return;
      case ClipboardType.unlockClipdata:
        others.locks.delete(decode(clipboardLock, body).clipDataId);
        this.#sweep(sender === 'client' ? 'server' : 'client');
        return;
      default:
        return;
    }
    this.#sweep(sender);
  }

  /** Files that were being copied when the session ended. */
  end(): void {
    for (const side of ['client', 'server'] as const)
      for (const list of this.#owners[side].lists.values()) this.#files.endAll(side, list);
  }

  /** Something of the channel was not recorded: what waits for an answer may have had it, and no file is whole any more. */
  lost(): void {
    for (const side of ['client', 'server'] as const) {
      const owner = this.#owners[side];
      owner.asked = new DataRequests();
      owner.requests = [];
      owner.locks.clear();
      for (const list of owner.lists.values()) {
        for (const transfer of list.transfers.values()) transfer.lose();
        this.#files.endAll(side, list);
        list.files = [];
      }
      this.#sweep(side);
    }
  }

  #formats(sender: Side, list: ClipboardList): void {
    const owner = this.#owners[sender];
    owner.current = this.#nextId();
    owner.lists.set(owner.current, list);
    this.#sweep(sender);
  }

  /** Holds on to what is offered now, whatever is offered later. */
  #lock(owner: Owner, clipDataId: number): void {
    owner.locking = true;
    this.#hold(owner, clipDataId, owner.current);
  }

  #hold(owner: Owner, clipDataId: number, listId: number): void {
    if (owner.locks.size >= LOCKS_MAX && !owner.locks.has(clipDataId))
      owner.locks.delete(owner.locks.keys().next().value!);
    owner.locks.set(clipDataId, listId);
  }

  /** Forgets lists from which nothing can be requested any more. */
  #sweep(side: Side): void {
    const { current, lists, locks, asked, requests } = this.#owners[side];
    const needed = new Set([current, ...locks.values()]);
    for (const request of [...asked.waiting, ...requests]) needed.add(request.listId);
    for (const [id, list] of lists) {
      if (needed.has(id)) continue;
      lists.delete(id);
      this.#files.endAll(side, list);
    }
  }

  #data(timeUs: number, from: Side, { listId, formatId }: DataRequest, body: Uint8Array): void {
    const list = this.#owners[from].lists.get(listId);
    if (isText(formatId)) this.#text(timeUs, from, formatId, body);
    else if (list && listsFiles(list, formatId)) this.#fileList(timeUs, from, list, body);
    else this.#other(timeUs, from, formatOf(formatId, list?.names.get(formatId)), body);
  }

  #text(timeUs: number, from: Side, formatId: number, body: Uint8Array): void {
    if (this.#policy === 'none') return;
    const wide = isWideText(formatId);
    const whole = wide
      ? utf16Text(body, body.length)
      : cutText(new TextDecoder('latin1').decode(body.slice()), body.length);
    if (this.#policy === 'masked') {
      // The recorded bytes are zeros: how many there are is what is known.
      const characters = wide ? body.length >> 1 : body.length;
      this.#emit(timeUs, { kind: 'clipboard_text', from, text: null, characters, sha256: null });
      return;
    }
    const bytes = new TextEncoder().encode(whole);
    const text = whole.slice(0, INDEX_TEXT_MAX);
    this.#emit(timeUs, { kind: 'clipboard_text', from, text, characters: whole.length, sha256: sha256Of(bytes) });
    this.#content(timeUs, from, 'clipboard_text', 'clipboard.txt', bytes);
  }

  /** Pictures, HTML and whatever else programs agree on. */
  #other(timeUs: number, from: Side, format: ReturnType<typeof formatOf>, body: Uint8Array): void {
    if (format === null || body.length === 0 || this.#policy === 'none') return;
    const full = this.#policy === 'full';
    this.#emit(timeUs, {
      kind: 'clipboard_data',
      from,
      format: format.name,
      bytes: body.length,
      text: full ? readableText(format, body) : null,
      sha256: full ? sha256Of(body) : null,
    });
    if (full) this.#content(timeUs, from, 'clipboard_data', `clipboard.${format.ending}`, body);
  }

  #content(timeUs: number, from: Side, kind: ContentKind, name: string, bytes: Uint8Array): void {
    const id = this.#nextId();
    this.#sink?.({ type: 'data', id, kind, from, name, timeUs, offset: 0, bytes });
    this.#sink?.({ type: 'end', id });
  }

  #fileList(timeUs: number, from: Side, list: ClipboardList, body: Uint8Array): void {
    const files = filesOf(body);
    // Asked for again: pasted again.
    list.done.clear();
    list.files = files;
    this.#boundFiles(this.#owners[from], list);
    if (this.#policy === 'none') return;
    const shown = files.slice(0, INDEX_FILES_MAX).map(({ name, size }) => ({ name, bytes: size }));
    const known = this.#policy === 'full' ? shown : null;
    this.#emit(timeUs, { kind: 'clipboard_files', from, count: files.length, files: known });
  }

  #boundFiles({ lists }: Owner, latest: ClipboardList): void {
    let held = 0;
    for (const list of lists.values()) held += list.files.length;
    for (const list of lists.values()) {
      if (held <= FILES_HELD_MAX) return;
      if (list === latest) continue;
      held -= list.files.length;
      list.files = [];
    }
  }

  #fileRequest(owner: Owner, body: Uint8Array): void {
    const { streamId, lindex, dwFlags, nPositionLow, nPositionHigh, cbRequested, clipDataId } = decode(
      fileContentsRequest,
      body,
    );
    const position = nPositionHigh * 0x1_0000_0000 + nPositionLow;
    const request: FileRequest = {
      listId: clipDataId === undefined ? owner.current : this.#lockedList(owner, clipDataId),
      streamId,
      index: lindex,
      kind: (dwFlags & FileContentsFlag.size) !== 0 ? 'size' : 'range',
      offset: Number.isSafeInteger(position + cbRequested) ? position : null,
      length: cbRequested,
      unsure: false,
    };
    for (const other of owner.requests) {
      if (other.streamId !== streamId || isSameFile(other, request)) continue;
      other.unsure = true;
      request.unsure = true;
    }
    owner.requests.push(request);
    if (owner.requests.length > REQUESTS_MAX) this.#forget(owner, owner.requests.shift()!);
  }

  /** Without its answer the file is not whole. */
  #forget(owner: Owner, { listId, index }: FileRequest): void {
    owner.lists.get(listId)?.transfers.get(index)?.lose();
  }

  /** Some peers give an id and never lock; a lock that was not seen, or is none any more, holds a list of which nothing is known. */
  #lockedList(owner: Owner, clipDataId: number): number {
    const locked = owner.locks.get(clipDataId);
    if (locked !== undefined) return locked;
    if (!owner.locking) return owner.current;
    const unknown = this.#nextId();
    owner.lists.set(unknown, clipboardList([]));
    this.#hold(owner, clipDataId, unknown);
    return unknown;
  }

  #fileResponse(timeUs: number, from: Side, ok: boolean, body: Uint8Array): void {
    const { streamId, data } = decode(fileContentsResponse, body);
    const owner = this.#owners[from];
    const at = owner.requests.findIndex((waiting) => waiting.streamId === streamId);
    const request = at < 0 ? undefined : owner.requests.splice(at, 1)[0];
    const list = request && owner.lists.get(request.listId);
    if (!ok || request === undefined || list === undefined || this.#policy !== 'full') return;
    if (request.kind === 'size') this.#files.size(list, request.index, data);
    else this.#files.range(timeUs, from, list, request, data);
  }
}

const isSameFile = (a: FileRequest, b: FileRequest): boolean => a.listId === b.listId && a.index === b.index;

function sha256Of(bytes: Uint8Array): string {
  const hash = new ResumableSha256();
  hash.update(bytes);
  return hash.digestHex();
}
