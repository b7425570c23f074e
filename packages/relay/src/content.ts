/** What each PDU of a connection holds, as far as recording needs to know, from its place and its channel's name. */
import { type ChannelClass, type ChannelContent, channelKind } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import type { ChannelIds } from './classify.ts';
import { clientIoEvents, isSilentSecurityPdu } from './client-io.ts';
import { DynamicWatch, type NamedKind } from './dynamic-watch.ts';
import { eventsFrom, fastPathEvents, type InputEvents } from './input-events.ts';
import { seePdu } from './seen-pdu.ts';

export interface Content {
  content: ChannelContent;
  /** Keys, mouse or touch: also where what it holds is open, because it is only a mouse that moves. */
  isInput: boolean;
  /** Somebody did something. */
  isActive: boolean;
  /** Somebody wants to leave. */
  asksToEnd?: boolean;
  /** Where in the PDU the values begin that a policy may want zeroed; what stands before says what and when. */
  valuesAt: number;
  /** How those are zeroed: keys one by one, a clipboard message by its type, or all of it. null: not to be recorded masked. */
  values: 'fastPath' | 'slowPath' | 'coreInput' | 'clipboard' | 'all' | null;
}

const MCS_HEADERS_BYTES = 15;
const CHUNK_HEADER_BYTES = 8;
/** Names of channels are the server's and the client's: so many are kept. */
const NAMES_MAX = 256;
const OTHER_NAMES = '(others)';
const NO_NAME = '(not announced)';
/** RDP_CORE_INPUT_HEADER, [MS-RDPECI] 2.2.2.1. */
const CORE_INPUT_HEADER_BYTES = 4;
const CORE_INPUT_SIGNATURE = 3;
const CORE_INPUT_INIT = 1;
const CORE_INPUT_EVENTS = 3;
/** eventId of RDPINPUT_HEADER, [MS-RDPEI] 2.2.2.6: touch and pen frames. */
const touchEvents = [3, 8];

const open: Content = { content: 'open', isInput: false, isActive: false, valuesAt: 0, values: 'all' };
const unreadable: Content = { ...open, content: 'inputs', values: null };

export class ContentWatch {
  readonly #ids: ChannelIds;
  readonly #dynamic: DynamicWatch;
  /** What every channel that was named is for. */
  readonly classes = new Map<string, ChannelClass>();
  /** PDUs of the client on channels whose use is not known, by the channel's name. */
  readonly unknown = new Map<string, number>();

  constructor(ids: ChannelIds) {
    this.#ids = ids;
    this.#dynamic = new DynamicWatch((channel) => this.named(channel.name));
  }

  named(name: string): void {
    if (this.classes.has(name) || this.classes.size < NAMES_MAX) this.classes.set(name, channelKind(name).class);
  }

  /** Name of a dynamic channel the client may send on; null where none is known. */
  dynamicName(id: number): string | null {
    return this.#dynamic.nameOf(0, id);
  }

  /** Whether all of a PDU is needed to tell what it holds, or to follow what comes behind it. */
  needsWhole(flags: number, channelId: number, head: Uint8Array): boolean {
    const isFromClient = (flags & frameFlags.serverToClient) === 0;
    if (channelId !== 0 && channelId === this.#ids.dynamicChannelId)
      return isFromClient || this.#dynamic.needsWhole(1, head.subarray(dataOffset(head)));
    if (!isFromClient) return false;
    return (
      (flags & frameFlags.fastPath) !== 0 ||
      channelId === this.#ids.ioChannelId ||
      channelId === this.#ids.messageChannelId
    );
  }

  /** `pdu` is all of a PDU of `length` bytes, or as much of it as `needsWhole` could do with. */
  see(flags: number, channelId: number, pdu: Uint8Array, length: number): Content {
    const direction = (flags & frameFlags.serverToClient) === 0 ? 0 : 1;
    if ((flags & frameFlags.inputs) !== 0) return unreadable;
    if (direction === 0) {
      if ((flags & frameFlags.fastPath) !== 0) return inputContent(fastPathEvents(pdu), 'fastPath');
      if (channelId === this.#ids.ioChannelId) return ioContent(pdu);
      if (channelId !== 0 && channelId === this.#ids.messageChannelId) return messageContent(pdu);
    }
    if (channelId === 0 || channelId === this.#ids.ioChannelId || channelId === this.#ids.messageChannelId) return open;
    const at = dataOffset(pdu);
    if (channelId === this.#ids.dynamicChannelId) return this.#dynamicContent(direction, pdu, at, length);
    const channel = this.#ids.channels.get(channelId) ?? null;
    return this.#channelContent(direction, channel, at + CHUNK_HEADER_BYTES);
  }

  #dynamicContent(direction: 0 | 1, pdu: Uint8Array, at: number, length: number): Content {
    const { channel, isFollowed, dataAt, isMessage } = this.#dynamic.see(direction, pdu.subarray(at), length - at);
    if (channel === null && isFollowed) return open;
    const content = this.#channelContent(direction, channel, at + dataAt);
    if (direction === 1 || channel?.kind.class !== 'inputs') return content;
    const message = isMessage ? pdu.subarray(at + dataAt) : null;
    if (channel.kind.reads === 'coreInput') return coreInputContent(message, at + dataAt);
    const isTouch = channel.kind.reads !== 'touch' || message === null || touchEvents.includes(u16le(message, 0));
    return { ...content, isInput: true, isActive: isTouch };
  }

  #channelContent(direction: 0 | 1, channel: NamedKind | null, valuesAt: number): Content {
    if (direction === 0 && (channel === null || channel.kind.class === 'unknown'))
      this.#count(channel?.name ?? NO_NAME);
    const content =
      channel === null ? (direction === 0 ? 'inputs' : 'open') : channel.kind[direction === 0 ? 'client' : 'server'];
    return {
      content,
      isInput: false,
      isActive: false,
      valuesAt,
      values: content === 'clipboard' ? 'clipboard' : 'all',
    };
  }

  #count(name: string): void {
    const key = this.unknown.has(name) || this.unknown.size < NAMES_MAX ? name : OTHER_NAMES;
    this.unknown.set(key, (this.unknown.get(key) ?? 0) + 1);
  }
}

function inputContent({ keys, active, whole }: InputEvents, values: Content['values'], valuesAt = 0): Content {
  return {
    content: keys ? 'inputs' : 'open',
    isInput: true,
    isActive: active,
    valuesAt,
    values: whole ? values : null,
  };
}

function ioContent(pdu: Uint8Array): Content {
  const seen = seePdu(pdu, 'client');
  if (seen.kind !== 'data' || seen.trailing > 0) return unreadable;
  let isInput = false;
  const events = clientIoEvents(seen.data, () => {
    isInput = true;
  });
  const content = isInput || events.keys ? inputContent(events, 'slowPath') : open;
  return events.asksToEnd === true ? { ...content, asksToEnd: true } : content;
}

function messageContent(pdu: Uint8Array): Content {
  const seen = seePdu(pdu, 'client');
  return seen.kind === 'data' && seen.trailing === 0 && isSilentSecurityPdu(seen.data) ? open : unreadable;
}

/** [MS-RDPECI] 2.2.3: events coded as fast-path has them, behind a header that counts them. */
function coreInputContent(message: Uint8Array | null, valuesAt: number): Content {
  const input: Content = { content: 'inputs', isInput: true, isActive: true, valuesAt, values: 'all' };
  if (message === null || message[0] !== CORE_INPUT_SIGNATURE || message.length < CORE_INPUT_HEADER_BYTES) return input;
  if (message[1] === CORE_INPUT_INIT && message.length <= 16) return { ...open, isInput: false };
  if (message[1] !== CORE_INPUT_EVENTS) return input;
  const events = eventsFrom(message, CORE_INPUT_HEADER_BYTES, message[2] ?? 0);
  return events.whole ? inputContent(events, 'coreInput', valuesAt) : input;
}

/** Where the data of an MCS Send Data begins. */
const dataOffset = (pdu: Uint8Array): number =>
  ((pdu[MCS_HEADERS_BYTES - 2] ?? 0) & 0x80) === 0 ? MCS_HEADERS_BYTES - 1 : MCS_HEADERS_BYTES;
const u16le = (bytes: Uint8Array, at: number): number => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
