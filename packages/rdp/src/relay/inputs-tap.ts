import { DecodeError, decode } from '@lucid-sessions/wire';
import { mcsPdu } from '../pdu/mcs.ts';
import { CompressionFlag, PduType, PduType2, shareDataPdu } from '../pdu/share.ts';
import type { ChannelIds } from './classify.ts';
import { type FrameTap, TapFlag } from './frame-tap.ts';
import { fastPathEvents, type InputEvents, slowPathEvents } from './input-events.ts';
import { mcsBytesOf } from './rewrite.ts';
import { sharePdusOf } from './share-pdus.ts';

/**
 * Flags the frames that hold what was typed, copied or redirected: client PDUs with a keyboard event, and all of the channels
 * cliprdr and rdpdr. Mouse PDUs stay unflagged: players draw the pointer from them. A client's PDU that can't be read to its end
 * counts as typed. Client PDUs that come in pieces are recorded when they are whole, because their flags stand before them.
 */
export class InputsTap implements FrameTap {
  readonly #inner: FrameTap;
  readonly #onActivity: () => void;
  #partial: { flags: number; channelId: number; bytes: Uint8Array; filled: number } | null = null;
  #timeUs = 0;
  /** As the connection learns them. */
  ids: ChannelIds = { ioChannelId: 0, dynamicChannelId: 0, clipboardChannelId: 0, deviceChannelId: 0 };

  /** `onActivity` is called for every PDU that holds what a person did. */
  constructor(inner: FrameTap, onActivity: () => void) {
    this.#inner = inner;
    this.#onActivity = onActivity;
  }

  frame(kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    this.#timeUs = timeUs;
    const events = this.#mayType(flags, channelId) ? eventsOf(flags, bytes) : null;
    if (events?.active) this.#onActivity();
    const inputs = this.#onInputsChannel(channelId) || events?.keys;
    this.#inner.frame(kind, inputs ? flags | TapFlag.inputs : flags, channelId, bytes, timeUs);
  }

  begin(flags: number, channelId: number, length: number, timeUs: number): void {
    this.#timeUs = timeUs;
    if (this.#mayType(flags, channelId)) this.#partial = { flags, channelId, bytes: new Uint8Array(length), filled: 0 };
    else
      this.#inner.begin(this.#onInputsChannel(channelId) ? flags | TapFlag.inputs : flags, channelId, length, timeUs);
  }

  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const partial = this.#partial;
    if (direction === 1 || partial === null) {
      this.#inner.fill(direction, bytes);
      return;
    }
    partial.bytes.set(bytes, partial.filled);
    partial.filled += bytes.length;
    if (partial.filled < partial.bytes.length) return;
    this.#partial = null;
    // At the time of the last frame: recorded times never go back.
    this.frame(0, partial.flags, partial.channelId, partial.bytes, this.#timeUs);
  }

  #onInputsChannel(channelId: number): boolean {
    const { clipboardChannelId, deviceChannelId } = this.ids;
    return channelId !== 0 && (channelId === clipboardChannelId || channelId === deviceChannelId);
  }

  #mayType(flags: number, channelId: number): boolean {
    if ((flags & TapFlag.serverToClient) !== 0) return false;
    return (flags & TapFlag.fastPath) !== 0 || (channelId !== 0 && channelId === this.ids.ioChannelId);
  }
}

/** What a client's input PDU holds; null where it is none. */
function eventsOf(flags: number, pdu: Uint8Array): InputEvents | null {
  if ((flags & TapFlag.fastPath) !== 0) return fastPathEvents(pdu);
  // No TPKT is no slow path.
  if (pdu[0] !== 3) return unread;
  try {
    return slowPathEventsOf(pdu);
  } catch (error) {
    if (error instanceof DecodeError) return unread;
    throw error;
  }
}

const unread: InputEvents = { keys: true, active: false, whole: false };

function slowPathEventsOf(pdu: Uint8Array): InputEvents | null {
  const mcs = decode(mcsPdu, mcsBytesOf(pdu));
  if (mcs.kind !== 'sendDataRequest') return null;
  const found: InputEvents = { keys: false, active: false, whole: true };
  for (const share of sharePdusOf(mcs.data)) {
    if ((share.pduType & 15) !== PduType.data) continue;
    const { pduType2, compressedType, data } = decode(shareDataPdu, share.body);
    if (pduType2 !== PduType2.input) continue;
    const isCompressed = (compressedType & CompressionFlag.compressed) !== 0;
    const events = isCompressed ? { ...unread, active: true } : slowPathEvents(data);
    found.keys ||= events.keys;
    found.active ||= events.active;
  }
  return found;
}
