import {
  ClipboardFlag,
  ClipboardType,
  clipboardMessage,
  FileContentsFlag,
  fileContentsRequest,
  fileContentsResponse,
  fileList,
  formatDataRequest,
  longFormatNames,
} from '@lucid-sessions/rdp';
import { DecodeError, decode } from '@lucid-sessions/wire';
import { type ContentSink, cutText, utf16Text } from './contents.ts';
import { type Happening, INDEX_FILES_MAX, INDEX_TEXT_MAX, type KeepPolicy, type Side } from './events.ts';
import { ResumableSha256 } from './sha256.ts';
import { Transfer, type TransferSnapshot } from './transfer.ts';

/** Standard clipboard formats, [MS-RDPECLIP] 1.3.1.1.2. */
const CF_TEXT = 1;
const CF_OEMTEXT = 7;
const CF_UNICODETEXT = 13;
const FILE_LIST_FORMAT = 'FileGroupDescriptorW';
const REQUESTS_MAX = 256;
const TRANSFERS_MAX = 64;

interface OwnerState {
  /** Id of the format that lists files, as this owner announced it. */
  fileListId: number | null;
  /** Formats the other side asked for and has no answer to. */
  asked: number[];
  files: { name: string; bytes: number }[];
  requests: Map<number, { index: number; offset: number }>;
  transfers: Map<number, Transfer>;
}

export type ClipboardSnapshot = Readonly<
  Record<Side, Omit<OwnerState, 'transfers'> & { readonly transfers: readonly (readonly [number, TransferSnapshot])[] }>
>;

const emptyOwner = (): OwnerState => ({
  fileListId: null,
  asked: [],
  files: [],
  requests: new Map(),
  transfers: new Map(),
});

/** Follows the clipboard channel ([MS-RDPECLIP]): what was copied over is what one side asked for and the other answered. */
export class ClipboardWatch {
  readonly #policy: KeepPolicy;
  readonly #emit: (timeUs: number, happening: Happening) => void;
  readonly #nextId: () => number;
  readonly #sink: ContentSink | undefined;
  #owners: Record<Side, OwnerState> = { client: emptyOwner(), server: emptyOwner() };

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
  }

  snapshot(): ClipboardSnapshot {
    const of = (owner: OwnerState) => ({
      ...owner,
      asked: [...owner.asked],
      requests: new Map(owner.requests),
      transfers: [...owner.transfers].map(([index, transfer]) => [index, transfer.snapshot()] as const),
    });
    return { client: of(this.#owners.client), server: of(this.#owners.server) };
  }

  restore(snapshot: ClipboardSnapshot): void {
    for (const side of ['client', 'server'] as const) {
      const { transfers, ...rest } = snapshot[side];
      this.#owners[side] = {
        ...rest,
        asked: [...rest.asked],
        requests: new Map(rest.requests),
        transfers: new Map(transfers.map(([index, transfer]) => [index, Transfer.from(transfer, false)])),
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
      case ClipboardType.formatList:
        this.#formats(sender, body);
        return;
      case ClipboardType.formatDataRequest:
        if (others.asked.length < REQUESTS_MAX) others.asked.push(decode(formatDataRequest, body).requestedFormatId);
        return;
      case ClipboardType.formatDataResponse: {
        const formatId = own.asked.shift();
        if (ok && formatId !== undefined) this.#data(timeUs, sender, formatId, body);
        return;
      }
      case ClipboardType.fileContentsRequest:
        this.#fileRequest(others, body);
        return;
      case ClipboardType.fileContentsResponse:
        if (ok) this.#fileResponse(timeUs, sender, body);
    }
  }

  /** Files that were being copied when the session ended. */
  end(): void {
    for (const side of ['client', 'server'] as const) this.#endTransfers(side);
  }

  #formats(sender: Side, body: Uint8Array): void {
    this.#endTransfers(sender);
    const owner = emptyOwner();
    this.#owners[sender] = owner;
    owner.fileListId = fileListIdOf(body);
  }

  #data(timeUs: number, from: Side, formatId: number, body: Uint8Array): void {
    const isText = formatId === CF_UNICODETEXT || formatId === CF_TEXT || formatId === CF_OEMTEXT;
    if (isText) this.#text(timeUs, from, formatId, body);
    else if (formatId === this.#owners[from].fileListId) this.#files(timeUs, from, body);
  }

  #text(timeUs: number, from: Side, formatId: number, body: Uint8Array): void {
    if (this.#policy === 'none') return;
    const wide = formatId === CF_UNICODETEXT;
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
    const hash = new ResumableSha256();
    hash.update(bytes);
    const sha256 = hash.digestHex();
    const text = whole.slice(0, INDEX_TEXT_MAX);
    this.#emit(timeUs, { kind: 'clipboard_text', from, text, characters: whole.length, sha256 });
    const id = this.#nextId();
    this.#sink?.({ type: 'data', id, kind: 'clipboard_text', from, name: 'clipboard.txt', timeUs, offset: 0, bytes });
    this.#sink?.({ type: 'end', id });
  }

  #files(timeUs: number, from: Side, body: Uint8Array): void {
    const { files } = decode(fileList, body);
    const listed = files.slice(0, INDEX_FILES_MAX).map((file) => ({
      name: cutText(file.fileName.text, 260),
      bytes: file.fileSizeHigh * 0x1_0000_0000 + file.fileSizeLow,
    }));
    this.#owners[from].files = listed;
    if (this.#policy === 'none') return;
    const shown = this.#policy === 'full' ? listed.map((file) => ({ ...file, bytes: safe(file.bytes) })) : null;
    this.#emit(timeUs, { kind: 'clipboard_files', from, count: files.length, files: shown });
  }

  #fileRequest(owner: OwnerState, body: Uint8Array): void {
    const request = decode(fileContentsRequest, body);
    if ((request.dwFlags & FileContentsFlag.range) === 0 || owner.requests.size >= REQUESTS_MAX) return;
    const offset = request.nPositionHigh * 0x1_0000_0000 + request.nPositionLow;
    if (Number.isSafeInteger(offset)) owner.requests.set(request.streamId, { index: request.lindex, offset });
  }

  #fileResponse(timeUs: number, from: Side, body: Uint8Array): void {
    const { streamId, data } = decode(fileContentsResponse, body);
    const owner = this.#owners[from];
    const request = owner.requests.get(streamId);
    owner.requests.delete(streamId);
    if (request === undefined || this.#policy !== 'full') return;
    const file = owner.files[request.index];
    let transfer = owner.transfers.get(request.index);
    if (transfer === undefined) {
      if (owner.transfers.size >= TRANSFERS_MAX) this.#endTransfer(from, owner.transfers.keys().next().value!);
      transfer = new Transfer(this.#nextId(), timeUs, false);
      owner.transfers.set(request.index, transfer);
    }
    transfer.add(request.offset, data);
    const name = file?.name ?? `file ${request.index + 1}`;
    const { id } = transfer;
    const { offset } = request;
    this.#sink?.({ type: 'data', id, kind: 'clipboard_file', from, name, timeUs, offset, bytes: data });
    if (file !== undefined && request.offset + data.length >= file.bytes) this.#endTransfer(from, request.index);
  }

  #endTransfers(side: Side): void {
    for (const index of [...this.#owners[side].transfers.keys()]) this.#endTransfer(side, index);
  }

  #endTransfer(from: Side, index: number): void {
    const owner = this.#owners[from];
    const transfer = owner.transfers.get(index)!;
    owner.transfers.delete(index);
    const { bytes, sha256 } = transfer.end();
    const name = owner.files[index]?.name ?? `file ${index + 1}`;
    this.#emit(transfer.startUs, { kind: 'clipboard_file', from, name, bytes, sha256 });
    this.#sink?.({ type: 'end', id: transfer.id });
  }
}

const safe = (bytes: number): number => Math.min(bytes, Number.MAX_SAFE_INTEGER);

/** Registered formats have ids of their owner's choosing; short lists name none that matter here. */
function fileListIdOf(body: Uint8Array): number | null {
  try {
    return decode(longFormatNames, body).find(({ formatName }) => formatName === FILE_LIST_FORMAT)?.formatId ?? null;
  } catch (error) {
    if (error instanceof DecodeError) return null;
    throw error;
  }
}
