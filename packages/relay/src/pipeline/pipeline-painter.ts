/**
 * Draws between what a server draws by its graphics pipeline. Its messages are compressed over one history, which anything put between
 * them shifts; so they are read from the first on, and while there is something of ours in the client's history they reach it
 * uncompressed. As soon as only the server's own fills that history again, they pass as they come.
 */
import {
  ChannelFlag,
  channelChunk,
  type DynamicChannelPdu,
  DynamicReassembler,
  dynamicChannelServerPdu,
} from '@lucid-sessions/rdp';
import { graphicsHistoryBytes, uncompressedSegments, ZgfxDecompressor } from '@lucid-sessions/rdp/bulk';
import { attempt, DecodeError, decode, joinBytes, Reader } from '@lucid-sessions/wire';
import { dynamicChunks } from '../dynamic-chunks.ts';
import { isGraphicsName } from '../graphics-advertise.ts';
import type { ChunksPassed } from '../policy/message-gate.ts';
import { Overlay, type OverlayPicture } from './overlay.ts';
import { OwnFrames } from './own-frames.ts';
import { type Area, PipelineView } from './pipeline-view.ts';

const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
/**
 * What may be read of what a server sends, and said because of it: all sessions share the thread, and a few bytes can decompress to much, or be many commands.
 * Windows was seen to send 1.7 bytes for one. A command counts as so many bytes.
 */
const [CREDIT_MAX, CREDIT_PER_BYTE, COMMAND_BYTES] = [64 * 1024 * 1024, 32, 64];
const SEGMENT_BYTES_MAX = 65_535;
/** A PDU of a dynamic channel in chunks of drdynvc; no server was seen to send one of more than a chunk. */
const PDU_BYTES_MAX = 256 * 1024;
const CHUNK_HEADER_BYTES = 8;

type DataPdu = Extract<DynamicChannelPdu, { data: Uint8Array; channelId: number }>;

class Channel {
  readonly id: number;
  readonly cbId: DynamicChannelPdu['cbId'];
  readonly parts = new DynamicReassembler(MESSAGE_BYTES_MAX);
  readonly history = new ZgfxDecompressor();
  readonly view = new PipelineView();
  readonly frames = new OwnFrames();
  readonly overlay = new Overlay(this.view, this.frames);
  isInsideMessage = false;
  /** Bytes that may still be read. */
  credit = CREDIT_MAX;
  /** Of the server's chunks. */
  flags = 0;
  /** Of the server's, what the client's history has had since there was something of ours in it; null: nothing of ours is in it. */
  sinceOurs: number | null = null;

  constructor(id: number, cbId: DynamicChannelPdu['cbId']) {
    this.id = id;
    this.cbId = cbId;
  }
}

export interface PipelinePainterOptions {
  /** Whether the client has opened that dynamic channel. */
  isOpen: (dynamicChannelId: number) => boolean;
}

export class PipelinePainter {
  readonly #options: PipelinePainterOptions;
  /** null: there is none, or what it holds is not known. */
  #channel: Channel | null = null;
  #picture: OverlayPicture | null = null;
  /** A PDU that came in chunks and is not whole, and those of its chunks that are held. */
  #pieces: Uint8Array[] | null = null;
  #piecesBytes = 0;
  #held: Uint8Array[] = [];

  constructor(options: PipelinePainterOptions) {
    this.#options = options;
  }

  /** Every chunk of drdynvc must be given to `chunk`, before it is passed on; otherwise to `follow`, when it was. */
  get isChanging(): boolean {
    return this.#picture !== null || this.#isOurs;
  }

  get #isOurs(): boolean {
    return this.#channel !== null && (this.#channel.sinceOurs !== null || !this.#channel.overlay.isGone);
  }

  /** Where on the output a picture is shown; null where it can't be. */
  get canvas(): Area | null {
    const channel = this.#channel;
    return channel?.view.isShown && this.#options.isOpen(channel.id) ? channel.view.main : null;
  }

  /** Shown as soon as it can be, and until another is or (null) none. */
  show(picture: OverlayPicture | null): void {
    this.#picture = picture;
    this.#channel?.overlay.show(picture);
  }

  /** A chunk the client has got. */
  follow(chunk: Uint8Array): void {
    this.#chunk(chunk, false);
  }

  /** What goes on in place of a chunk. Throws `DecodeError` where it can't be read and the client could not go on either. */
  chunk(chunk: Uint8Array): ChunksPassed {
    return this.#chunk(chunk, true);
  }

  #chunk(chunk: Uint8Array, mayChange: boolean): ChunksPassed {
    if (chunk.length < CHUNK_HEADER_BYTES) return null;
    const { flags, data } = decode(channelChunk, chunk);
    if ((flags & ChannelFlag.packetCompressed) !== 0) return this.#lose();
    const isLast = (flags & ChannelFlag.last) !== 0;
    if ((flags & ChannelFlag.first) !== 0) {
      if (isLast) return this.#pdu(data, mayChange, [chunk], flags);
      this.#pieces = [];
      this.#piecesBytes = 0;
      this.#held = [];
    }
    if (this.#pieces === null) return null;
    this.#pieces.push(new Uint8Array(data));
    this.#piecesBytes += data.length;
    if (this.#piecesBytes > PDU_BYTES_MAX) return this.#lose();
    const holds = mayChange && this.#channel?.sinceOurs != null;
    if (holds) this.#held.push(new Uint8Array(chunk));
    if (!isLast) return holds ? [] : null;
    const whole = joinBytes(this.#pieces);
    this.#pieces = null;
    const held = this.#held;
    this.#held = [];
    return this.#pdu(whole, mayChange, held.length > 0 ? held : [chunk], flags);
  }

  #pdu(bytes: Uint8Array, mayChange: boolean, chunks: Uint8Array[], flags: number): ChunksPassed {
    const asItCame = chunks.length === 1 ? null : chunks;
    const pdu = attempt(() => decode(dynamicChannelServerPdu, bytes));
    if (pdu === null || !('channelId' in pdu)) return asItCame;
    if (pdu.kind === 'createRequest') this.#created(pdu);
    const channel = this.#channel;
    if (channel === null || pdu.channelId !== channel.id) return asItCame;
    if (pdu.kind === 'close') this.#channel = null;
    if (!('data' in pdu)) return asItCame;
    channel.flags = flags & ChannelFlag.showProtocol;
    if (!mayChange || channel.sinceOurs === null) {
      if (attempt(() => this.#read(channel, pdu)) === null) this.#lose();
      return asItCame;
    }
    const message = this.#read(channel, pdu);
    return message === 'unended' ? [] : this.#said(channel, message);
  }

  #created({ channelId, cbId, channelName }: Extract<DynamicChannelPdu, { kind: 'createRequest' }>): void {
    if (isGraphicsName(channelName)) {
      this.#channel = new Channel(channelId, cbId);
      this.#channel.overlay.show(this.#picture);
    } else if (this.#channel?.id === channelId) this.#channel = null;
  }

  /** The commands of the message this ends, with ours where one of the server's demands it. */
  #read(channel: Channel, pdu: DataPdu): Uint8Array | 'unended' {
    const { parts, history, view, overlay, frames } = channel;
    if (pdu.kind !== 'data' && pdu.kind !== 'dataFirst')
      throw new DecodeError('unsupported', 'the server compresses the graphics pipeline as a dynamic channel too');
    const whole = pdu.kind === 'dataFirst' ? parts.first(pdu.length, pdu.data) : parts.next(pdu.data);
    channel.isInsideMessage = whole === null;
    if (whole === null) return 'unended';
    channel.credit = Math.min(CREDIT_MAX, channel.credit + whole.length * CREDIT_PER_BYTE);
    if (announcedBytes(whole) > channel.credit) throw tooMuch();
    const commands = history.decompress(whole);
    spend(channel, commands.length);
    const pieces: Uint8Array[] = [];
    let from = 0;
    view.see(commands, (command, at) => {
      spend(channel, COMMAND_BYTES);
      if (command.kind === 'endFrame') frames.ended(command.body.frameId);
      const ours = overlay.before(command);
      if (ours === null) return;
      pieces.push(commands.subarray(from, at), ours);
      from = at;
    });
    if (channel.sinceOurs !== null) channel.sinceOurs = (from > 0 ? 0 : channel.sinceOurs) + commands.length - from;
    return pieces.length === 0 ? commands : joinBytes([...pieces, commands.subarray(from)]);
  }

  /** What is read no further: nothing can be put into it. */
  #lose(): null {
    if (this.#channel?.sinceOurs != null)
      throw new DecodeError(
        'unsupported',
        'what the server draws can not be read any more, while a message lies over it',
      );
    this.#channel = null;
    this.#pieces = null;
    return null;
  }

  #said({ id: channelId, cbId, flags }: Channel, commands: Uint8Array): Uint8Array[] {
    return dynamicChunks({ channelId, cbId }, uncompressedSegments(commands), flags);
  }

  /** Chunks of ours for the client, now, between two PDUs of the server's. */
  due(): readonly Uint8Array[] {
    const channel = this.#channel;
    if (channel === null || this.#pieces !== null || channel.isInsideMessage || channel.view.inFrame) return none;
    if (!this.#options.isOpen(channel.id)) return none;
    const ours = channel.overlay.due();
    if (ours !== null) {
      // A server can take the picture away by a few bytes, and have it said again.
      channel.credit -= ours.length;
      channel.sinceOurs = 0;
      return this.#said(channel, ours);
    }
    if (channel.overlay.isGone && (channel.sinceOurs ?? 0) >= graphicsHistoryBytes) channel.sinceOurs = null;
    return none;
  }

  /** A message of the client's on the pipeline without what it says of frames of ours. */
  withoutOurs(message: Uint8Array): Uint8Array {
    return this.#channel?.frames.withoutOurs(message) ?? message;
  }
}

/** So many bytes a message says that it decompresses to, at most. */
const announcedBytes = (segmented: Uint8Array): number =>
  segmented[0] === 0xe1 && segmented.length >= 7 ? new Reader(segmented, 3).u32le() : SEGMENT_BYTES_MAX;

const tooMuch = (): DecodeError =>
  new DecodeError('limit', 'the server draws too much by too few bytes to be read along');

function spend(channel: Channel, bytes: number): void {
  channel.credit -= bytes;
  if (channel.credit < 0) throw tooMuch();
}

const none: readonly Uint8Array[] = [];
