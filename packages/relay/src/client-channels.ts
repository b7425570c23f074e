/**
 * What a client sends on its static channels, where the gateway has to read and change it: the graphics pipeline's messages, put
 * together from whatever pieces they come in. Everything else passes as it came.
 */
import {
  ChannelFlag,
  channelChunk,
  channelCompression,
  type DynamicChannelPdu,
  DynamicReassembler,
  dynamicChannelClientPdu,
} from '@lucid-sessions/rdp';
import { BulkDecompressor, dynamicChannelHistoryBytes, ZgfxDecompressor } from '@lucid-sessions/rdp/bulk';
import { attempt, DecodeError, decode, encode, joinBytes } from '@lucid-sessions/wire';
import type { Downgrade } from './downgrades.ts';
import { dynamicChunks } from './dynamic-chunks.ts';
import {
  type GraphicsOffer,
  graphicsMessage,
  isGraphicsName,
  looksLikeGraphics,
  mayBeGraphics,
} from './graphics-advertise.ts';

/** The longest message a client has to send: a cache import offer of 5,461 entries has 65,542 bytes. */
const MESSAGE_BYTES_MAX = 128 * 1024;
/** Held for messages that are not whole yet, of all channels together. */
const HELD_BYTES_MAX = 512 * 1024;
const HELD_PIECES_MAX = 8192;
/** Channels that may be in the middle of a message, or were compressed. */
const CHANNELS_MAX = 64;
const CHUNK_HEADER_BYTES = 8;
/** What manages channels is short. */
const MANAGING_BYTES_MAX = 256;
const COMPRESSION_BITS = ChannelFlag.packetCompressed | ChannelFlag.packetAtFront | ChannelFlag.packetFlushed;
/** All of what `channelCompression` reads. */
const COMPRESSION_MASK = 0x00ff0000;

interface GraphicsChannel {
  readonly parts: DynamicReassembler;
  /** Chunks of the message under way, as they came. */
  held: Uint8Array[];
  history: ZgfxDecompressor | null;
  /** Something of the message under way was compressed. */
  wasCompressed: boolean;
}

export interface ClientChannelsOptions {
  /** Stays in what the client offers. */
  leaves: (what: GraphicsOffer) => boolean;
  /** Name of the client's dynamic channel; null where none is known. */
  nameOf: (dynamicChannelId: number) => string | null;
  tell: (what: Downgrade) => void;
  /** A message on the graphics pipeline without what it says of frames that are not the server's; empty where nothing is left. */
  withoutOurs: (message: Uint8Array) => Uint8Array;
}

/** A data PDU of a dynamic channel. */
type DataPdu = Extract<DynamicChannelPdu, { data: Uint8Array; channelId: number }>;

/** What goes on in place of a chunk. null: the chunk itself; none: it is held until its message is whole. */
export type ChunksPassed = readonly Uint8Array[] | null;

export class ClientChannels {
  readonly #options: ClientChannelsOptions;
  readonly #channels = new Map<number, GraphicsChannel>();
  /** Chunks of the dynamic channel PDU under way; null where they pass as they come. */
  #pieces: Uint8Array[] | null = null;
  #heldPieces = 0;
  #heldBytes = 0;
  #bulk: BulkDecompressor | null = new BulkDecompressor();

  constructor(options: ClientChannelsOptions) {
    this.#options = options;
  }

  /**
   * The data of a chunk's PDU, in order. Every compressed chunk of every static channel must come here, since they share one
   * history. Throws `DecodeError` where the graphics pipeline's can't be read.
   */
  chunk(data: Uint8Array, isDynamic: boolean): ChunksPassed {
    const plain = this.#uncompressed(data);
    if (!isDynamic) return plain === data ? null : [plain];
    const passed = this.#dynamicChunk(plain);
    return passed === null && plain !== data ? [plain] : passed;
  }

  /** Compressed contents can't be changed: what comes behind refers to them. So none of it stays compressed. */
  #uncompressed(data: Uint8Array): Uint8Array {
    if (data.length < CHUNK_HEADER_BYTES || this.#bulk === null) return data;
    const { length, flags, data: body } = decode(channelChunk, data);
    if ((flags & COMPRESSION_BITS) === 0) return data;
    try {
      const plain = this.#bulk.decompress(body, channelCompression(flags));
      this.#options.tell('channelCompression');
      return encode(channelChunk, { length, flags: (flags & ~COMPRESSION_MASK) >>> 0, data: plain });
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      // Not read here, so not by the server: the history is lost for both.
      this.#bulk = null;
      return data;
    }
  }

  #dynamicChunk(data: Uint8Array): ChunksPassed {
    if (data.length < CHUNK_HEADER_BYTES) return null;
    const { flags, length, data: body } = decode(channelChunk, data);
    if ((flags & COMPRESSION_BITS) !== 0) return null;
    if ((flags & ChannelFlag.first) !== 0) {
      // A message that was not ended: the server makes of it what it will.
      const unended = this.#released(this.#pieces ?? []);
      this.#pieces = this.#holdsPieces(body, length) ? [] : null;
      const passed = this.#piece(flags, data, body);
      return unended.length === 0 ? passed : [...unended, ...(passed ?? [data])];
    }
    return this.#piece(flags, data, body);
  }

  #piece(flags: number, data: Uint8Array, body: Uint8Array): ChunksPassed {
    const isLast = (flags & ChannelFlag.last) !== 0;
    if (isLast && (flags & ChannelFlag.first) !== 0) {
      this.#pieces = null;
      return this.#pdu(body, [data]);
    }
    if (this.#pieces === null) return null;
    this.#hold(this.#pieces, data);
    if (!isLast) return [];
    const pieces = this.#released(this.#pieces);
    this.#pieces = null;
    return this.#pdu(joinBytes(pieces.map((piece) => piece.subarray(CHUNK_HEADER_BYTES))), pieces);
  }

  /** Whether a PDU that comes in several chunks, of which this is the first, may be the graphics pipeline's. */
  #holdsPieces(body: Uint8Array, length: number): boolean {
    const pdu = attempt(() => decode(dynamicChannelClientPdu, body));
    if (pdu === null || !('channelId' in pdu) || !isData(pdu)) return body.length <= MANAGING_BYTES_MAX;
    return this.#isGraphics(pdu, length - body.length + pdu.data.length);
  }

  #hold(list: Uint8Array[], chunk: Uint8Array): void {
    list.push(new Uint8Array(chunk));
    this.#heldPieces += 1;
    this.#heldBytes += chunk.length;
    if (this.#heldPieces > HELD_PIECES_MAX || this.#heldBytes > HELD_BYTES_MAX)
      throw new DecodeError('limit', 'the client begins messages of the graphics pipeline and does not end them');
  }

  #released(list: Uint8Array[]): Uint8Array[] {
    this.#heldPieces -= list.length;
    for (const chunk of list) this.#heldBytes -= chunk.length;
    return list;
  }

  /** A whole PDU of drdynvc, and the chunks it came in. */
  #pdu(bytes: Uint8Array, chunks: Uint8Array[]): ChunksPassed {
    const pdu = attempt(() => decode(dynamicChannelClientPdu, bytes));
    const asItCame = chunks.length === 1 ? null : chunks;
    if (pdu === null || !('channelId' in pdu)) return asItCame;
    if (!isData(pdu)) {
      const unended = this.#forget(pdu.channelId);
      return unended.length === 0 ? asItCame : [...unended, ...chunks];
    }
    return this.#isGraphics(pdu, pdu.data.length) ? this.#data(pdu, chunks) : asItCame;
  }

  /** A channel that is opened or closed begins anew. What it left unended goes on where it is not known to be the pipeline's. */
  #forget(channelId: number): Uint8Array[] {
    const channel = this.#channels.get(channelId);
    if (channel === undefined) return [];
    const unended = this.#released(channel.held);
    this.#channels.delete(channelId);
    return this.#options.nameOf(channelId) === null ? unended : [];
  }

  /** `dataBytes` is how much data the whole PDU has. */
  #isGraphics(pdu: DataPdu, dataBytes: number): boolean {
    const name = this.#options.nameOf(pdu.channelId);
    if (name !== null) return isGraphicsName(name);
    if ((this.#channels.get(pdu.channelId)?.held.length ?? 0) > 0) return true;
    if (pdu.kind === 'data') return mayBeGraphics(pdu.data, dataBytes);
    return pdu.kind === 'dataFirst' && pdu.length <= MESSAGE_BYTES_MAX && mayBeGraphics(pdu.data, pdu.length);
  }

  #data(pdu: DataPdu, chunks: Uint8Array[]): ChunksPassed {
    const channel = this.#channel(pdu.channelId);
    const message = this.#assemble(channel, pdu);
    if (message === 'unread') {
      const unread = [...this.#released(channel.held), ...chunks];
      this.#channels.delete(pdu.channelId);
      return unread;
    }
    if (message === null) {
      for (const chunk of chunks) this.#hold(channel.held, chunk);
      return [];
    }
    const all = [...this.#released(channel.held), ...chunks];
    const { wasCompressed } = channel;
    channel.held = [];
    channel.wasCompressed = false;
    if (channel.history === null) this.#channels.delete(pdu.channelId);
    const bytes = this.#isNamed(pdu) || looksLikeGraphics(message) ? this.#cutDown(message) : message;
    if (bytes.length === 0 && message.length > 0) return [];
    if (bytes !== message || wasCompressed)
      return dynamicChunks(pdu, bytes, decode(channelChunk, all[0]!).flags & ChannelFlag.showProtocol);
    return all.length === 1 ? null : all;
  }

  #isNamed({ channelId }: DataPdu): boolean {
    return this.#options.nameOf(channelId) !== null;
  }

  #cutDown(message: Uint8Array): Uint8Array {
    const { leaves, tell, withoutOurs } = this.#options;
    const { bytes, changed } = graphicsMessage(message, leaves);
    for (const what of changed) tell(what);
    return withoutOurs(bytes);
  }

  /** The message this ends, or null; `unread` where a channel that only may be the graphics pipeline's holds something else. */
  #assemble(channel: GraphicsChannel, pdu: DataPdu): Uint8Array | 'unread' | null {
    try {
      const data = this.#plainData(channel, pdu);
      const isFirst = pdu.kind === 'dataFirst' || pdu.kind === 'dataFirstCompressed';
      return isFirst ? channel.parts.first(pdu.length, data) : channel.parts.next(data);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      if (!this.#isNamed(pdu)) return 'unread';
      // Passed on unread it could ask the server for pictures that nobody can replay.
      throw new DecodeError(
        error.code,
        `what the client sent on the graphics pipeline can't be read: ${error.message}`,
      );
    }
  }

  #plainData(channel: GraphicsChannel, { kind, data }: DataPdu): Uint8Array {
    if (kind === 'data' || kind === 'dataFirst') return data;
    channel.history ??= new ZgfxDecompressor(dynamicChannelHistoryBytes);
    channel.wasCompressed = true;
    return channel.history.decompress(data);
  }

  #channel(id: number): GraphicsChannel {
    let channel = this.#channels.get(id);
    if (channel !== undefined) return channel;
    if (this.#channels.size >= CHANNELS_MAX)
      throw new DecodeError('limit', `more than ${CHANNELS_MAX} graphics channels at once`);
    const parts = new DynamicReassembler(MESSAGE_BYTES_MAX);
    channel = { parts, held: [], history: null, wasCompressed: false };
    this.#channels.set(id, channel);
    return channel;
  }
}

const isData = (pdu: DynamicChannelPdu): pdu is DataPdu => 'data' in pdu;
