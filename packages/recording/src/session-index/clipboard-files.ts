import { Reader } from '@lucid-sessions/wire';
import type { ClipboardList } from './clipboard-list.ts';
import type { FileRequest } from './clipboard-requests.ts';
import type { ContentSink } from './contents.ts';
import type { Happening, Side } from './events.ts';
import { Transfer, TransferBudget } from './transfer.ts';

const TRANSFERS_MAX = 64;

/** Contents of files that one side copied and the other fetches. */
export class ClipboardFiles {
  readonly #emit: (timeUs: number, happening: Happening) => void;
  readonly #nextId: () => number;
  readonly #sink: ContentSink | undefined;
  budget = new TransferBudget();

  constructor(
    emit: (timeUs: number, happening: Happening) => void,
    nextId: () => number,
    sink: ContentSink | undefined,
  ) {
    this.#emit = emit;
    this.#nextId = nextId;
    this.#sink = sink;
  }

  /** The answer to what size a file has. */
  size(list: ClipboardList, index: number, data: Uint8Array): void {
    const file = list.files[index];
    if (file === undefined || data.length < 8) return;
    const size = new Reader(data).u64le();
    const told = size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : null;
    if (file.size !== null && file.size !== told) list.transfers.get(index)?.lose();
    file.size = told;
  }

  /** The answer to a request for a part of a file. */
  range(timeUs: number, from: Side, list: ClipboardList, request: FileRequest, bytes: Uint8Array): void {
    const { index, offset, length, unsure } = request;
    const file = list.files[index];
    if (isOfDone(list, request, bytes.length)) return;
    const transfer = this.#transfer(timeUs, from, list, index);
    if (offset === null || bytes.length > length) transfer.addUnplaced(bytes.length);
    else {
      transfer.add(offset, bytes);
      const { id } = transfer;
      const name = file?.name ?? `file ${index + 1}`;
      if (bytes.length > 0)
        this.#sink?.({ type: 'data', id, kind: 'clipboard_file', from, name, timeUs, offset, bytes });
      // Nothing where more was asked for: it ends there.
      if (file?.size === null && bytes.length === 0 && length > 0 && transfer.isAll(offset)) file.size = offset;
    }
    if (unsure) transfer.lose();
    // More than it is said to have: it is said wrong.
    if (file !== undefined && file.size !== null && transfer.reach > file.size) file.size = null;
    if (file !== undefined && file.size !== null && transfer.isAll(file.size)) {
      list.done.add(index);
      this.#end(from, list, index);
    }
  }

  endAll(from: Side, list: ClipboardList): void {
    for (const index of [...list.transfers.keys()]) this.#end(from, list, index);
  }

  #transfer(timeUs: number, from: Side, list: ClipboardList, index: number): Transfer {
    const known = list.transfers.get(index);
    if (known !== undefined) return known;
    if (list.transfers.size >= TRANSFERS_MAX) this.#end(from, list, list.transfers.keys().next().value!);
    const transfer = new Transfer(this.#nextId(), timeUs, false, this.budget);
    list.transfers.set(index, transfer);
    list.done.delete(index);
    return transfer;
  }

  #end(from: Side, list: ClipboardList, index: number): void {
    const transfer = list.transfers.get(index)!;
    list.transfers.delete(index);
    const { name = null, size = null } = list.files[index] ?? {};
    const isEmpty = transfer.isEmpty && size !== 0;
    const { bytes, sha256 } = transfer.end(size);
    if (!isEmpty) this.#emit(transfer.startUs, { kind: 'clipboard_file', from, name, bytes, size, sha256 });
    this.#sink?.({ type: 'end', id: transfer.id });
  }
}

/** Read again, but not from its beginning: no copy of its own. */
function isOfDone(list: ClipboardList, { index, offset, length }: FileRequest, bytesLength: number): boolean {
  const size = list.files[index]?.size ?? 0;
  if (!list.done.has(index) || list.transfers.has(index) || bytesLength > length) return false;
  return offset !== null && (offset > 0 || bytesLength === 0) && offset + bytesLength <= size;
}
