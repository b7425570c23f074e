import { DecodeError, decode } from '@lucid-sessions/wire';
import { ClipboardType } from '../channel/clipboard.ts';
import { ChannelFlag } from '../channel/static-channel.ts';
import { mcsPdu } from '../pdu/mcs.ts';
import { CompressionFlag, PduType, PduType2, shareDataPdu } from '../pdu/share.ts';
import type { ChannelIds } from './classify.ts';
import { type FrameTap, TapFlag } from './frame-tap.ts';
import { fastPathEvents, slowPathEvents } from './input-events.ts';
import { mcsBytesOf } from './rewrite.ts';
import { sharePdusOf } from './share-pdus.ts';

/** What of input and clipboard is recorded: all; that and when something crossed, its values zeroed; nothing. */
export type Keeping = 'full' | 'masked' | 'none';

const CHUNK_HEADER_BYTES = 8;
const CLIPBOARD_HEADER_BYTES = 8;
/** Of a fast-path event's header: its code, and that a key went up. */
const EVENT_CODE = 0xe0;
const RELEASE = 0x01;

/**
 * Takes what the policy does not keep out of the recorded copies; what the peers get is untouched. PDUs it has to see are
 * recorded when they are whole. What should be masked and can't be read is not recorded at all.
 */
export class KeepingTap implements FrameTap {
  readonly #inner: FrameTap;
  readonly #input: Keeping;
  readonly #clipboard: Keeping;
  readonly #partial: ({ flags: number; channelId: number; bytes: Uint8Array; filled: number } | null)[] = [null, null];
  /** The rest of a clipboard message under way is zeroed. */
  readonly #maskingRest = [false, false];
  #timeUs = 0;
  /** As the connection learns them. */
  ids: ChannelIds = { ioChannelId: 0, dynamicChannelId: 0, clipboardChannelId: 0, deviceChannelId: 0 };

  constructor(inner: FrameTap, keep: { input: Keeping; clipboard: Keeping }) {
    this.#inner = inner;
    this.#input = keep.input;
    this.#clipboard = keep.clipboard;
  }

  frame(kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    this.#timeUs = timeUs;
    if (!this.#concerns(flags, channelId, bytes)) {
      this.#inner.frame(kind, flags, channelId, bytes, timeUs);
      return;
    }
    const copy = new Uint8Array(bytes);
    const kept = this.#keep(flags, channelId, copy);
    if (kept !== null) this.#inner.frame(kind, kept ? flags | TapFlag.blanked : flags, channelId, copy, timeUs);
  }

  begin(flags: number, channelId: number, length: number, timeUs: number): void {
    this.#timeUs = timeUs;
    if (!this.#concerns(flags, channelId, null)) this.#inner.begin(flags, channelId, length, timeUs);
    else this.#partial[flags & 1] = { flags, channelId, bytes: new Uint8Array(length), filled: 0 };
  }

  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const partial = this.#partial[direction];
    if (!partial) {
      this.#inner.fill(direction, bytes);
      return;
    }
    partial.bytes.set(bytes, partial.filled);
    partial.filled += bytes.length;
    if (partial.filled < partial.bytes.length) return;
    this.#partial[direction] = null;
    // At the time of the last frame: recorded times never go back.
    this.frame(0, partial.flags, partial.channelId, partial.bytes, this.#timeUs);
  }

  #concerns(flags: number, channelId: number, bytes: Uint8Array | null): boolean {
    if (channelId !== 0 && channelId === this.ids.clipboardChannelId) return this.#clipboard !== 'full';
    if ((flags & TapFlag.serverToClient) !== 0 || this.#input === 'full') return false;
    if ((flags & TapFlag.fastPath) !== 0) return true;
    return channelId !== 0 && channelId === this.ids.ioChannelId && (bytes === null || bytes[0] === 3);
  }

  /** Whether bytes were zeroed in `copy`; null: it is not to be recorded. */
  #keep(flags: number, channelId: number, copy: Uint8Array): boolean | null {
    try {
      if (channelId !== 0 && channelId === this.ids.clipboardChannelId) return this.#clipboardPdu(flags & 1, copy);
      if ((flags & TapFlag.fastPath) !== 0) return this.#input === 'none' ? null : maskFastPath(copy);
      return this.#slowPath(copy);
    } catch (error) {
      if (error instanceof DecodeError) return null;
      throw error;
    }
  }

  #slowPath(copy: Uint8Array): boolean | null {
    const pdu = decode(mcsPdu, mcsBytesOf(copy));
    if (pdu.kind !== 'sendDataRequest') return false;
    let masked = false;
    for (const share of sharePdusOf(pdu.data)) {
      if ((share.pduType & 15) !== PduType.data) continue;
      const { pduType2, compressedType, data } = decode(shareDataPdu, share.body);
      if (pduType2 !== PduType2.input) continue;
      if (this.#input === 'none' || (compressedType & CompressionFlag.compressed) !== 0) return null;
      maskSlowPath(data);
      masked = true;
    }
    return masked;
  }

  #clipboardPdu(direction: number, copy: Uint8Array): boolean | null {
    if (this.#clipboard === 'none') return null;
    const pdu = decode(mcsPdu, mcsBytesOf(copy));
    if (pdu.kind !== 'sendDataRequest' && pdu.kind !== 'sendDataIndication') return false;
    const { data } = pdu;
    if (data.length < CHUNK_HEADER_BYTES) return null;
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
    pdu[at] = (pdu[at] ?? 0) & (EVENT_CODE | RELEASE);
    pdu.fill(0, at + 1, at + length);
    masked = true;
  });
  return whole ? masked : null;
}

function maskSlowPath(data: Uint8Array): void {
  slowPathEvents(data, (at, length) => {
    data[at + 6] = 0;
    // KBDFLAGS_DOWN and KBDFLAGS_RELEASE.
    data[at + 7] = (data[at + 7] ?? 0) & 0xc0;
    data.fill(0, Math.min(at + 8, at + length), at + length);
  });
}
