/** Which channel inside drdynvc a PDU belongs to, read from its first bytes: [MS-RDPEDYC]. Nothing a peer sends makes it throw. */
import { ChannelFlag, type ChannelKind, channelKind, DYNAMIC_CHANNELS_MAX, DynamicCommand } from '@lucid-sessions/rdp';

const CHUNK_HEADER_BYTES = 8;
/** What manages channels is short; what is longer holds something. */
const MANAGING_BYTES_MAX = 256;
const NAME_BYTES_MAX = 1024;

export interface NamedKind {
  readonly name: string;
  readonly kind: ChannelKind;
}

interface OpenChannel extends NamedKind {
  /** Client messages that come in pieces can't be read one by one: bytes of the present one still to come. */
  remaining: number;
}

/** What one chunk of drdynvc holds. */
export interface SeenChunk {
  /** Whose data; null where it manages channels, or can't be told (`isFollowed` false). */
  channel: NamedKind | null;
  isFollowed: boolean;
  /** Offset in the chunk of what the channel's name speaks of. */
  dataAt: number;
  /** The chunk holds one whole message of the channel, uncompressed. */
  isMessage: boolean;
}

const unfollowed: SeenChunk = { channel: null, isFollowed: false, dataAt: CHUNK_HEADER_BYTES, isMessage: false };
const managing: SeenChunk = { channel: null, isFollowed: true, dataAt: CHUNK_HEADER_BYTES, isMessage: false };

export class DynamicWatch {
  /**
   * By channel id. A new name holds for the server from its Create Request on, for the client from its answer on: what it
   * sent before belongs to the channel that had the id before.
   */
  readonly #open: [Map<number, OpenChannel>, Map<number, OpenChannel>] = [new Map(), new Map()];
  /** The message under way in each direction, when a chunk has not ended it. */
  readonly #underWay: [SeenChunk | null, SeenChunk | null] = [null, null];
  #create: { bytes: Uint8Array; filled: number } | null = null;
  /**
   * Ids whose Create Request was read and not answered yet. An answer to any other id is to a request that could not be read,
   * compressed for example: the name the id had before is not the channel's.
   */
  readonly #asked = new Set<number>();
  readonly #onName: (channel: NamedKind) => void;

  constructor(onName: (channel: NamedKind) => void) {
    this.#onName = onName;
  }

  nameOf(direction: 0 | 1, id: number): string | null {
    return this.#open[direction].get(id)?.name ?? null;
  }

  /** Whether the whole chunk is needed to follow it: it names or answers. */
  needsWhole(direction: 0 | 1, head: Uint8Array): boolean {
    const flags = u32le(head, 4);
    if ((flags & ChannelFlag.first) === 0) return this.#create !== null && direction === 1;
    return (head[CHUNK_HEADER_BYTES] ?? 0) >> 4 === DynamicCommand.create;
  }

  /** One chunk, or as much of its beginning as is needed; `length` is that of all of it. */
  see(direction: 0 | 1, chunk: Uint8Array, length: number): SeenChunk {
    if (chunk.length < CHUNK_HEADER_BYTES) return unfollowed;
    const flags = u32le(chunk, 4);
    const isFirst = (flags & ChannelFlag.first) !== 0;
    const isLast = (flags & ChannelFlag.last) !== 0;
    if (direction === 1) this.#collect(chunk, flags, isFirst, isLast);
    const under = this.#underWay[direction];
    const seen = isFirst ? this.#begin(direction, chunk, length, flags) : (under ?? unfollowed);
    this.#underWay[direction] = isLast ? null : { ...seen, dataAt: CHUNK_HEADER_BYTES, isMessage: false };
    return isFirst && !isLast ? { ...seen, isMessage: false } : seen;
  }

  #begin(direction: 0 | 1, chunk: Uint8Array, length: number, flags: number): SeenChunk {
    const header = chunk[CHUNK_HEADER_BYTES];
    if (header === undefined || (flags & ChannelFlag.packetCompressed) !== 0) return unfollowed;
    const command = header >> 4;
    const idBytes = widthOf(header & 3);
    const idAt = CHUNK_HEADER_BYTES + 1;
    switch (command) {
      case DynamicCommand.capabilities:
      case DynamicCommand.softSyncRequest:
      case DynamicCommand.softSyncResponse:
        return isShort(direction, length) ? managing : unfollowed;
    }
    if (idBytes === 0 || idAt + idBytes > chunk.length) return unfollowed;
    const id = uintLe(chunk, idAt, idBytes);
    switch (command) {
      case DynamicCommand.create:
        if (direction === 0) this.#answered(id, chunk, idAt + idBytes);
        return isShort(direction, length) ? managing : unfollowed;
      case DynamicCommand.close:
        if (direction === 0) this.#open[0].delete(id);
        return isShort(direction, length) ? managing : unfollowed;
      case DynamicCommand.data:
      case DynamicCommand.dataCompressed:
        return this.#data(direction, id, command === DynamicCommand.data, idAt + idBytes, length);
      case DynamicCommand.dataFirst:
      case DynamicCommand.dataFirstCompressed: {
        const lengthBytes = widthOf((header >> 2) & 3);
        if (lengthBytes === 0 || idAt + idBytes + lengthBytes > chunk.length) return unfollowed;
        const whole = uintLe(chunk, idAt + idBytes, lengthBytes);
        return this.#data(
          direction,
          id,
          command === DynamicCommand.dataFirst,
          idAt + idBytes + lengthBytes,
          length,
          whole,
        );
      }
      default:
        return unfollowed;
    }
  }

  /** `whole` is the length of the message this begins; without it the PDU continues one, or is one by itself. */
  #data(direction: 0 | 1, id: number, isPlain: boolean, dataAt: number, length: number, whole?: number): SeenChunk {
    const channel = this.#open[direction].get(id);
    if (channel === undefined) return { ...unfollowed, dataAt };
    const here = length - dataAt;
    const expected = whole ?? (channel.remaining > 0 ? channel.remaining : here);
    const isMessage = isPlain && expected === here && (whole !== undefined || channel.remaining === 0);
    // What is compressed says nothing of its length: it ends with the next message that begins.
    channel.remaining = isPlain ? Math.max(0, expected - here) : (whole ?? channel.remaining);
    return { channel, isFollowed: true, dataAt, isMessage };
  }

  #answered(id: number, chunk: Uint8Array, statusAt: number): void {
    if (!this.#asked.delete(id)) this.#open[1].delete(id);
    const created = this.#open[1].get(id);
    const isRefused = statusAt + 4 > chunk.length || u32le(chunk, statusAt) >= 0x8000_0000;
    if (created === undefined || isRefused) this.#open[0].delete(id);
    else put(this.#open[0], id, { name: created.name, kind: created.kind, remaining: 0 });
  }

  /** A Create Request, which may come in several chunks. One of which a chunk is compressed is not read. */
  #collect(chunk: Uint8Array, flags: number, isFirst: boolean, isLast: boolean): void {
    if ((flags & ChannelFlag.packetCompressed) !== 0) {
      this.#create = null;
      return;
    }
    if (isFirst) {
      const isCreate = (chunk[CHUNK_HEADER_BYTES] ?? 0) >> 4 === DynamicCommand.create;
      this.#create = isCreate ? { bytes: new Uint8Array(NAME_BYTES_MAX), filled: 0 } : null;
    }
    const create = this.#create;
    if (create === null) return;
    const data = chunk.subarray(CHUNK_HEADER_BYTES, CHUNK_HEADER_BYTES + create.bytes.length - create.filled);
    create.bytes.set(data, create.filled);
    create.filled += data.length;
    if (!isLast) return;
    this.#create = null;
    this.#created(create.bytes.subarray(0, create.filled));
  }

  #created(message: Uint8Array): void {
    const idBytes = widthOf((message[0] ?? 0) & 3);
    if (idBytes === 0 || message.length < 1 + idBytes) return;
    const id = uintLe(message, 1, idBytes);
    const end = message.indexOf(0, 1 + idBytes);
    if (end < 0) {
      this.#open[1].delete(id);
      this.#asked.delete(id);
      return;
    }
    const name = String.fromCharCode(...message.subarray(1 + idBytes, end));
    const channel = { name, kind: channelKind(name) };
    if (put(this.#open[1], id, { ...channel, remaining: 0 })) this.#asked.add(id);
    this.#onName(channel);
  }
}

/** Channels beyond the bound are not followed: false. */
function put(open: Map<number, OpenChannel>, id: number, channel: OpenChannel): boolean {
  const isFollowed = open.has(id) || open.size < DYNAMIC_CHANNELS_MAX;
  if (isFollowed) open.set(id, channel);
  return isFollowed;
}

/** A server may say more: its managing PDUs hold nothing anybody typed. */
const isShort = (direction: 0 | 1, length: number): boolean =>
  direction === 1 || length <= CHUNK_HEADER_BYTES + MANAGING_BYTES_MAX;

/** Bytes of a field by its width code; 0 where there is no such width. */
const widthOf = (code: number): number => [1, 2, 4, 0][code]!;

function uintLe(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = count - 1; i >= 0; i -= 1) value = value * 256 + bytes[at + i]!;
  return value;
}

const u32le = (bytes: Uint8Array, at: number): number => uintLe(bytes, at, 4) || 0;
