/** Takes values out of a copy of a PDU and leaves that something crossed, and when. */
import { ChannelFlag, ClipboardType } from '@lucid-sessions/rdp';
import { clientIoEvents } from './client-io.ts';
import type { Content } from './content.ts';
import { eventsFrom, fastPathEvents, slowPathEvents } from './input-events.ts';
import { seePdu } from './seen-pdu.ts';

const CHUNK_HEADER_BYTES = 8;
const CLIPBOARD_HEADER_BYTES = 8;
const CORE_INPUT_HEADER_BYTES = 4;
const SLOW_EVENT_BYTES = 12;
/** Of a fast-path event's header: its code, and that a key went up. */
const EVENT_CODE = 0xe0;
const RELEASE = 0x01;

export class Masking {
  /** The rest of a clipboard message under way is zeroed, in each direction. */
  readonly #maskingRest = [false, false];

  /** Whether bytes were zeroed in `copy`; null: it can't be told what to zero, so it is not to be recorded. */
  mask(copy: Uint8Array, { values, valuesAt }: Content, direction: 0 | 1): boolean | null {
    switch (values) {
      case 'fastPath':
        return maskFastPath(copy);
      case 'slowPath':
        return maskSlowPath(copy);
      case 'coreInput':
        return maskCoreInput(copy.subarray(valuesAt));
      case 'clipboard':
        return this.#clipboard(copy, valuesAt, direction);
      case 'all':
        copy.fill(0, Math.min(valuesAt, copy.length));
        return valuesAt < copy.length;
      case null:
        return null;
    }
  }

  /** A chunk of cliprdr; `valuesAt` is behind its header. */
  #clipboard(copy: Uint8Array, valuesAt: number, direction: 0 | 1): boolean | null {
    const seen = seePdu(copy, direction === 0 ? 'client' : 'server');
    if (seen.kind !== 'data') return null;
    const { data } = seen;
    const start = valuesAt - (data.byteOffset - copy.byteOffset);
    if (data.length < CHUNK_HEADER_BYTES || start !== CHUNK_HEADER_BYTES) {
      // Inside a dynamic channel: messages there are not followed, so nothing of them is left.
      data.fill(0, Math.min(start, data.length));
      return data.length < CHUNK_HEADER_BYTES ? null : true;
    }
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const chunkFlags = view.getUint32(4, true);
    if ((chunkFlags & ChannelFlag.packetCompressed) !== 0) return null;
    let from = CHUNK_HEADER_BYTES;
    if ((chunkFlags & ChannelFlag.first) !== 0) {
      const type = data.length >= from + CLIPBOARD_HEADER_BYTES ? view.getUint16(from, true) : -1;
      this.#maskingRest[direction] = holdsContents(type);
      // Stream id of a file's contents: which request they answer.
      if (type >= 0) from += CLIPBOARD_HEADER_BYTES + (type === ClipboardType.fileContentsResponse ? 4 : 0);
    }
    if (!this.#maskingRest[direction]) return false;
    data.fill(0, Math.min(from, data.length));
    copy.fill(0, copy.length - seen.trailing);
    return true;
  }
}

const harmlessTypes: ReadonlySet<number> = new Set([
  ClipboardType.monitorReady,
  ClipboardType.formatList,
  ClipboardType.formatListResponse,
  ClipboardType.formatDataRequest,
  ClipboardType.clipCaps,
  ClipboardType.fileContentsRequest,
  ClipboardType.lockClipdata,
  ClipboardType.unlockClipdata,
]);

/** Everything not known to be harmless. */
const holdsContents = (type: number): boolean => !harmlessTypes.has(type);

/** Zeroes which keys; that one went down or up stays. Null when the PDU can't be read to its end. */
function maskFastPath(pdu: Uint8Array): boolean | null {
  let masked = false;
  const { whole } = fastPathEvents(pdu, (at, length) => {
    maskKey(pdu, at, length);
    masked = true;
  });
  return whole ? masked : null;
}

function maskCoreInput(message: Uint8Array): boolean {
  let masked = false;
  eventsFrom(message, CORE_INPUT_HEADER_BYTES, message[2] ?? 0, (at, length) => {
    maskKey(message, at, length);
    masked = true;
  });
  return masked;
}

function maskKey(bytes: Uint8Array, at: number, length: number): void {
  bytes[at] = (bytes[at] ?? 0) & (EVENT_CODE | RELEASE);
  bytes.fill(0, at + 1, at + length);
}

function maskSlowPath(pdu: Uint8Array): boolean | null {
  const seen = seePdu(pdu, 'client');
  if (seen.kind !== 'data') return null;
  let masked = false;
  const { whole } = clientIoEvents(seen.data, (events) => {
    const { keys } = slowPathEvents(events, (at, length) => maskSlowKey(events, at, length));
    masked ||= keys;
  });
  return whole ? masked : null;
}

function maskSlowKey(events: Uint8Array, at: number, length: number): void {
  // KBDFLAGS_DOWN and KBDFLAGS_RELEASE of an event that is one.
  const direction = length < SLOW_EVENT_BYTES ? 0 : (events[at + 7] ?? 0) & 0xc0;
  events.fill(0, Math.min(at + 6, at + length), at + length);
  if (length === SLOW_EVENT_BYTES) events[at + 7] = direction;
}
