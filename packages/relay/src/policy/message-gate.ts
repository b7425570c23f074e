/**
 * One direction of a static channel that is under a policy: its messages, put together from whatever chunks they come in, go on
 * when they were judged. What can't be put together goes no further.
 */
import { Assembly, ChannelFlag, channelChunk, channelChunks } from '@lucid-sessions/rdp';
import { DecodeError, decode, encode } from '@lucid-sessions/wire';

/** What goes on in place of a chunk. null: the chunk itself; none: nothing (yet). */
export type ChunksPassed = readonly Uint8Array[] | null;

/** `more`: it takes more of the message to tell. Bytes: another message in its place, once the whole of it was seen. */
export type Verdict = 'more' | 'pass' | 'refuse' | Uint8Array;

/** `message` is what there is of it; the whole of it is always told apart, `more` is refused then. */
export type Judge = (message: Uint8Array, isWhole: boolean) => Verdict;

const CHUNK_HEADER_BYTES = 8;
/** Of a message that is judged as a whole: lists of formats and of devices. */
const HELD_BYTES_MAX = 1024 * 1024;
const HELD_CHUNKS_MAX = 2048;

type State =
  | { kind: 'between' }
  | { kind: 'head'; held: Uint8Array[]; message: Assembly }
  | { kind: 'pass' }
  | { kind: 'refuse' };

export class MessageGate {
  readonly #judge: Judge;
  readonly #onUnread: () => void;
  #state: State = { kind: 'between' };
  /** Of the message under way: bytes it has still to come, as its first chunk says. */
  #left = 0;

  constructor(judge: Judge, onUnread: () => void) {
    this.#judge = judge;
    this.#onUnread = onUnread;
  }

  /** The data of a chunk's PDU, in order. Throws `DecodeError` where it is compressed: then nothing behind it can be read. */
  chunk(data: Uint8Array): ChunksPassed {
    if (data.length < CHUNK_HEADER_BYTES) return this.#unread();
    const { flags, length, data: body } = decode(channelChunk, data);
    if ((flags & ChannelFlag.packetCompressed) !== 0)
      throw new DecodeError('unsupported', 'a channel under a policy is compressed, although that was not agreed on');
    if ((flags & ChannelFlag.first) !== 0) this.#begin(length);
    const passed = this.#take(data, flags, body);
    if ((flags & ChannelFlag.last) !== 0) this.#state = { kind: 'between' };
    return passed;
  }

  #begin(length: number): void {
    // One that was not ended is held no longer: what was not told apart is not passed.
    if (this.#state.kind === 'head') this.#onUnread();
    this.#state = { kind: 'head', held: [], message: new Assembly(HELD_BYTES_MAX) };
    this.#left = length;
  }

  #take(data: Uint8Array, flags: number, body: Uint8Array): ChunksPassed {
    const state = this.#state;
    if (state.kind === 'refuse') return [];
    if (state.kind === 'between' || body.length > this.#left) return this.#unread();
    this.#left -= body.length;
    if (state.kind === 'pass') return null;
    const isLast = (flags & ChannelFlag.last) !== 0;
    const isTooMuch = state.message.length + body.length > HELD_BYTES_MAX || state.held.length >= HELD_CHUNKS_MAX;
    if (isTooMuch || (isLast && this.#left > 0)) return this.#unread();
    state.message.add(body);
    const verdict = this.#judge(state.message.join(), isLast);
    if (verdict === 'more' && !isLast) {
      state.held.push(new Uint8Array(data));
      return [];
    }
    return this.#passed(verdict, state.held, data, flags);
  }

  #passed(verdict: Verdict, held: Uint8Array[], data: Uint8Array, flags: number): ChunksPassed {
    if (verdict === 'more') return this.#unread();
    if (verdict === 'refuse') {
      this.#state = { kind: 'refuse' };
      return [];
    }
    if (verdict === 'pass') {
      this.#state = { kind: 'pass' };
      return held.length === 0 ? null : [...held, data];
    }
    return messageChunks(verdict, flags & ChannelFlag.showProtocol);
  }

  #unread(): ChunksPassed {
    this.#onUnread();
    if (this.#state.kind !== 'between') this.#state = { kind: 'refuse' };
    return [];
  }
}

/** A message as the data of the PDUs it is sent in. */
export const messageChunks = (message: Uint8Array, flags = 0): Uint8Array[] =>
  channelChunks(message, undefined, flags).map((chunk) => encode(channelChunk, chunk));
