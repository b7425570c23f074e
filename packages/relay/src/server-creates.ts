/**
 * The server's requests to open dynamic channels ([MS-RDPEDYC] 2.2.2.1), whole or in chunks. One for a channel by which pictures
 * would come that replay can't show is answered in the client's place, as by a client that does not know the channel.
 */
import {
  ChannelFlag,
  channelChunk,
  channelKind,
  DynamicCommand,
  dynamicChannelClientPdu,
  dynamicChannelServerPdu,
} from '@lucid-sessions/rdp';
import { attempt, DecodeError, decode, encode, joinBytes } from '@lucid-sessions/wire';

/** What mstsc and FreeRDP answer about a channel they do not know. */
const STATUS_UNSUCCESSFUL = 0xc000_0001;
const CHUNK_HEADER_BYTES = 8;
/** The longest name that is read, and its header; in so many chunks. */
const REQUEST_BYTES_MAX = 2048;
const CHUNKS_MAX = 64;

/** `passed`: PDUs that go on; null: the one given, as it came. `answer`: what the server is told, as chunk of drdynvc. */
export interface SeenCreate {
  passed: readonly Uint8Array[] | null;
  answer: Uint8Array | null;
}

interface Held {
  pdus: Uint8Array[];
  parts: Uint8Array[];
  bytes: number;
}

export class ServerCreates {
  #held: Held | null = null;

  /** A request has begun and not ended: all of the channel's chunks must come here. */
  get isUnderWay(): boolean {
    return this.#held !== null;
  }

  /** A PDU of the server on drdynvc, and the chunk in it. Throws `DecodeError` where a request does not end. */
  see(pdu: Uint8Array, chunk: Uint8Array): SeenCreate {
    if (chunk.length < CHUNK_HEADER_BYTES) return this.#release(pdu);
    const { flags, data } = decode(channelChunk, chunk);
    const isFirst = (flags & ChannelFlag.first) !== 0;
    // What is compressed can't be read here.
    if ((flags & ChannelFlag.packetCompressed) !== 0) return this.#release(pdu);
    if (isFirst ? (data[0] ?? 0) >> 4 !== DynamicCommand.create : this.#held === null) return this.#release(pdu);
    const unended = isFirst ? this.#takeHeld() : [];
    this.#hold(pdu, data);
    if ((flags & ChannelFlag.last) === 0) return { passed: unended, answer: null };
    const message = joinBytes(this.#held!.parts);
    const isAlone = unended.length === 0 && this.#held!.pdus.length === 1;
    const held = this.#takeHeld();
    const answer = refusalOf(message);
    if (answer !== null) return { passed: unended, answer };
    return { passed: isAlone ? null : [...unended, ...held], answer: null };
  }

  #release(pdu: Uint8Array): SeenCreate {
    const held = this.#takeHeld();
    return { passed: held.length === 0 ? null : [...held, pdu], answer: null };
  }

  #takeHeld(): Uint8Array[] {
    const pdus = this.#held?.pdus ?? [];
    this.#held = null;
    return pdus;
  }

  #hold(pdu: Uint8Array, part: Uint8Array): void {
    const held = this.#held ?? { pdus: [], parts: [], bytes: 0 };
    this.#held = held;
    held.pdus.push(new Uint8Array(pdu));
    held.parts.push(new Uint8Array(part));
    held.bytes += part.length;
    if (held.bytes > REQUEST_BYTES_MAX || held.pdus.length > CHUNKS_MAX)
      throw new DecodeError('limit', 'the server begins to open a dynamic channel and does not end it');
  }
}

function refusalOf(message: Uint8Array): Uint8Array | null {
  const request = attempt(() => decode(dynamicChannelServerPdu, message));
  if (request?.kind !== 'createRequest' || channelKind(request.channelName).class !== 'video') return null;
  const data = createRefusal(request);
  return encode(channelChunk, { length: data.length, flags: ChannelFlag.first | ChannelFlag.last, data });
}

/** What a client answers about a channel it does not know. */
export const createRefusal = ({ cbId, channelId }: { cbId: 0 | 1 | 2 | 3; channelId: number }): Uint8Array =>
  encode(dynamicChannelClientPdu, {
    kind: 'createResponse',
    cbId,
    sp: 0,
    channelId,
    creationStatus: STATUS_UNSUCCESSFUL,
  });
