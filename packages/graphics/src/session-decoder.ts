import {
  FastPathUpdateCode,
  InfoFlag,
  type InspectedEvent,
  MOUSE_CURSOR_CHANNEL,
  type MouseCursorPdu,
  MouseCursorType,
  mouseCursorPdu,
  PduType2,
  SOUND_CHANNEL,
  SOUND_DYNAMIC_CHANNELS,
  StreamInspector,
  type StreamInspectorSnapshot,
} from '@lucid-sessions/rdp';
import { BulkDecompressor, type BulkSnapshot, type HistoryDepth } from '@lucid-sessions/rdp/bulk';
import { type SoundPiece, type SoundSnapshot, SoundStreams } from '@lucid-sessions/rdp/sound';
import { DecodeError, decode } from '@lucid-sessions/wire';
import type { MainChroma } from './avc/chroma-votes.ts';
import type { H264DecoderFactory } from './avc/h264-decoder.ts';
import { fillWindow } from './gfx/output.ts';
import type { PixelBuffer } from './pixels.ts';
import { Screen, type ScreenSnapshot } from './screen.ts';
import {
  type GraphicsCapabilities,
  readCacheLimits,
  readConfirmActive,
  readDemandActive,
} from './session/capabilities.ts';
import { followFastPathMouse, followInputChannel, followSlowPathMouse } from './session/client-input.ts';
import { GraphicsChannel, type GraphicsChannelSnapshot } from './session/graphics-channel.ts';
import { guarded } from './session/guard.ts';
import { UpdateDecoder, type UpdatesSnapshot } from './session/update-decoder.ts';
import { videoKind } from './session/video-channels.ts';

/** One PDU as recorded. */
export interface RecordedPdu {
  /** True for server → client. */
  readonly fromServer: boolean;
  /** The PDU's bytes; pieces of PDUs are put together. Not to be changed before `push` is done with them. */
  readonly bytes: Uint8Array;
  /** Recorded before TLS: with the client's X.224 Connection Request among them a connection begins, the first or another. */
  readonly beforeTls?: boolean;
  /** When, in µs since the session's start: what can't be drawn is counted with it. */
  readonly timeUs?: number;
}

export interface SessionDecoderOptions {
  /** Brings H.264; without it AVC frames are counted and not drawn. */
  readonly createH264Decoder?: H264DecoderFactory;
  /** Gets the session's sound as it comes; its bytes are views, to be copied where they are kept. */
  readonly onSound?: (piece: SoundPiece) => void;
}

export interface SessionSnapshot {
  readonly screen: ScreenSnapshot;
  readonly graphics: GraphicsChannelSnapshot;
  readonly inspector: StreamInspectorSnapshot;
  readonly bulk: { readonly client: BulkSnapshot; readonly server: BulkSnapshot };
  readonly updates: UpdatesSnapshot;
  readonly capabilities: Readonly<GraphicsCapabilities>;
  readonly lost: { readonly client: boolean; readonly server: boolean };
  /** Absent in states from before sound was read. */
  readonly sound?: SoundSnapshot;
}

/**
 * Replays a recorded session onto a screen: give it every PDU that was delivered, both directions, in order, from the
 * first byte of the connection. When another connection continues the session, everything but the screen is reset. An update that can't be drawn is counted in `screen.unsupported` and never ends the replay.
 */
export class SessionDecoder {
  readonly screen = new Screen();
  readonly #bulk = { client: new BulkDecompressor(), server: new BulkDecompressor() };
  readonly #inspector: StreamInspector;
  readonly #capabilities: GraphicsCapabilities = {
    desktopWidth: 0,
    desktopHeight: 0,
    bitsPerPixel: 0,
    codecs: new Map(),
  };
  readonly #updates: UpdateDecoder;
  readonly #graphics: GraphicsChannel;
  readonly #sound = new SoundStreams();
  readonly #onSound: ((piece: SoundPiece) => void) | undefined;
  /** Set when a direction's bytes could not even be framed: PDUs after them have no known boundaries. */
  readonly #lost = { client: false, server: false };
  /** It has seen something of a connection. */
  #begun = false;
  #waiting: Promise<void> | null = null;

  constructor(options: SessionDecoderOptions = {}) {
    const { client, server } = this.#bulk;
    this.#inspector = new StreamInspector({
      client: (data, flags) => client.decompress(data, flags),
      server: (data, flags) => server.decompress(data, flags),
    });
    this.#updates = new UpdateDecoder(this.screen, this.#capabilities);
    this.#onSound = options.onSound;
    this.#graphics = new GraphicsChannel(this.screen, options.createH264Decoder);
  }

  /** The first failure of the H.264 decoder that was not the stream's fault, such as a missing program. */
  get h264Failure(): unknown {
    return this.#graphics.failure;
  }

  /**
   * Draws one PDU. Returns nothing when it is drawn, or a promise where an H.264 picture must be waited for: await it
   * before the next push, or pushes pile up behind it. Never throws or rejects for what a peer sent. `later`: nobody looks at
   * the screen before `settle` or a push that is not `later`. H.264 pictures are decoded together then, which is several times
   * as fast; the screen does not change meanwhile.
   */
  push(pdu: RecordedPdu, later = false): void | Promise<void> {
    return this.#track(() => this.#draw(pdu, later));
  }

  /** Draws what `later` pushes left. Await it. */
  settle(): void | Promise<void> {
    return this.#track(() => this.#graphics.settle());
  }

  /**
   * Everything the decoder knows, as plain values that can be cloned and kept: a keyframe. null while a push is waited
   * for, before `settle`, inside a frame of the graphics channel, and where the state of an H.264 stream can't be saved.
   * `lean` leaves out up to 2.5 MB of the channel's past while nothing refers to it: see `usesGraphicsHistory`.
   */
  snapshot(depth?: HistoryDepth): SessionSnapshot | null {
    const graphics = this.#waiting ? null : this.#graphics.snapshot(depth);
    if (!graphics) return null;
    return {
      graphics,
      screen: this.screen.snapshot(),
      inspector: this.#inspector.snapshot(),
      bulk: { client: this.#bulk.client.snapshot(), server: this.#bulk.server.snapshot() },
      updates: this.#updates.snapshot(),
      capabilities: { ...this.#capabilities, codecs: new Map(this.#capabilities.codecs) },
      lost: { ...this.#lost },
      sound: this.#sound.snapshot(),
    };
  }

  /** The graphics channel's messages refer to earlier ones: lean snapshots from before can't be gone on from. */
  get usesGraphicsHistory(): boolean {
    return this.#graphics.usesHistory;
  }

  /** How the chroma of AVC444's main views is read, for each surface that has them: see `ChromaVotes`. */
  get mainChroma(): readonly MainChroma[] {
    return this.#graphics.mainChroma;
  }

  /** Goes back (or forward) to a snapshot of this or another decoder. Not while a push is waited for. */
  restore(snapshot: SessionSnapshot): void {
    this.screen.restore(snapshot.screen);
    this.#restoreConnection(snapshot);
  }

  #restoreConnection(snapshot: Omit<SessionSnapshot, 'screen'>): void {
    this.#begun = true;
    this.#graphics.restore(snapshot.graphics);
    this.#inspector.restore(snapshot.inspector);
    this.#bulk.client.restore(snapshot.bulk.client);
    this.#bulk.server.restore(snapshot.bulk.server);
    this.#updates.restore(snapshot.updates);
    const { codecs, ...rest } = snapshot.capabilities;
    Object.assign(this.#capabilities, rest);
    this.#capabilities.codecs.clear();
    for (const [codecId, codec] of codecs) this.#capabilities.codecs.set(codecId, codec);
    Object.assign(this.#lost, snapshot.lost);
    this.#sound.restore(snapshot.sound ?? []);
  }

  /** Ends H.264 decoders. The screen stays. */
  close(): void {
    this.#graphics.close();
  }

  #track(work: () => void | Promise<void>): void | Promise<void> {
    const done = this.#waiting ? this.#waiting.then(work) : work();
    if (!done) return;
    const waiting = done.finally(() => {
      if (this.#waiting === waiting) this.#waiting = null;
    });
    this.#waiting = waiting;
    return waiting;
  }

  #draw(pdu: RecordedPdu, later: boolean): void | Promise<void> {
    const sender = pdu.fromServer ? 'server' : 'client';
    this.screen.timeUs = pdu.timeUs ?? this.screen.timeUs;
    if (isPreconnection(pdu)) return;
    if (beginsConnection(pdu)) return this.#beginConnection(pdu);
    this.#begun = true;
    if (!this.#lost[sender]) return this.#drawFrom(this.#inspect(sender, pdu.bytes), 0, later);
  }

  /** The screen stays as it was until the new connection's server draws. */
  #beginConnection(pdu: RecordedPdu): void | Promise<void> {
    const begin = (): void => {
      this.screen.forgetWindows();
      if (this.#begun) this.#restoreConnection(new SessionDecoder().snapshot()!);
      this.#begun = true;
      this.#inspect('client', pdu.bytes);
    };
    const settled = this.#begun ? this.#graphics.settle() : undefined;
    return settled ? settled.then(begin) : begin();
  }

  #drawFrom(events: readonly InspectedEvent[], first: number, later: boolean): void | Promise<void> {
    for (let index = first; index < events.length; index += 1) {
      const event = events[index]!;
      const settled = later && !drawsOver(event) ? undefined : this.#graphics.settle();
      const done = settled ? settled.then(() => this.#event(event, later)) : this.#event(event, later);
      if (done) return done.then(() => this.#drawFrom(events, index + 1, later));
    }
    if (!later) return this.#graphics.settle();
  }

  #inspect(sender: 'client' | 'server', bytes: Uint8Array): InspectedEvent[] {
    try {
      return this.#inspector.push(sender, bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#lost[sender] = true;
      this.screen.countUnsupported(`stream.${sender}.${error.code}`);
      return [];
    }
  }

  #event(event: InspectedEvent, later: boolean): void | Promise<void> {
    this.screen.layouts.see(event);
    this.screen.windowsAsked = asksForWindows(event) ?? this.screen.windowsAsked;
    if (event.kind === 'channelMessage' || event.kind === 'dynamicMessage') this.#hear(event);
    if (event.sender === 'server') return this.#serverEvent(event, later);
    this.#clientEvent(event);
  }

  #serverEvent(event: InspectedEvent, later: boolean): void | Promise<void> {
    switch (event.kind) {
      case 'malformed':
        return this.screen.countUnsupported(`pdu.${event.error.code}`);
      case 'demandActive':
        readDemandActive(this.#capabilities, event.demand);
        return this.#activate();
      case 'fastPathUpdate':
        return this.#compressible(event.data, (data) => this.#updates.fastPath(event.updateCode, data));
      case 'slowPathUpdate':
        return this.#updates.slowPath(event.updateType, event.data);
      case 'shareData':
        if (event.pdu.pduType2 !== PduType2.pointer && event.data !== null) return;
        return this.#compressible(event.data, (data) => this.#updates.slowPathPointer(data));
      case 'dynamicChannel':
        return this.#graphics.track(event.pdu);
      case 'dynamicMessage':
        if (event.channelName === MOUSE_CURSOR_CHANNEL) return this.#mouseCursor(event.message);
        if (event.channelName !== GraphicsChannel.channelName) return this.#video(event.channelName, event.message);
        if (event.message === null) return this.screen.countUnsupported('gfx.compressed');
        return this.#graphics.process(event.message, later);
      default:
    }
  }

  #hear({ kind, channelName, message, sender }: SoundEvent): void {
    const isSound =
      channelName !== null &&
      (kind === 'channelMessage' ? channelName === SOUND_CHANNEL : SOUND_DYNAMIC_CHANNELS.has(channelName));
    if (!isSound || message === null) return;
    guarded(this.screen, 'sound', () => {
      const piece = this.#sound.push(channelName, sender, message);
      if (piece !== null) this.#onSound?.(piece);
    });
  }

  /** [MS-RDPEMSC]: its update types have the numbers of fast-path updates. */
  #mouseCursor(message: Uint8Array | null): void {
    if (message === null) this.screen.countUnsupported('pointer.compressed');
    else guarded(this.screen, 'pointer', () => this.#pointerUpdate(decode(mouseCursorPdu, message)));
  }

  /** What plays in a video channel is drawn by nobody here. */
  #video(channelName: string | null, message: Uint8Array | null): void {
    const kind = channelName === null ? null : videoKind(channelName, message);
    if (kind !== null) this.screen.countUnsupported(kind);
  }

  #pointerUpdate({ pduType, updateType, data }: MouseCursorPdu): void {
    if (pduType === MouseCursorType.pointerUpdate) this.#updates.fastPath(updateType, data);
  }

  /** Data is null where a compression type isn't known. */
  #compressible(data: Uint8Array | null, draw: (data: Uint8Array) => void): void {
    if (data === null) this.screen.countUnsupported('update.compression');
    else draw(data);
  }

  /** The server's Demand Active begins a share: the first, or after a Deactivate All one of another size. */
  #activate(): void {
    const { desktopWidth, desktopHeight } = this.#capabilities;
    guarded(this.screen, 'desktop', () => this.screen.resize(desktopWidth, desktopHeight));
    this.screen.layouts.desktop(desktopWidth, desktopHeight);
    this.#updates.orders.reset();
  }

  #clientEvent(event: InspectedEvent): void {
    const { pointer } = this.screen;
    if (event.kind === 'confirmActive') {
      readConfirmActive(this.#capabilities, event.confirm);
      readCacheLimits(this.#updates.orders.limits, event.confirm);
    } else if (event.kind === 'fastPathInput') {
      followFastPathMouse(pointer, event.input);
    } else if (event.kind === 'dynamicMessage' && event.message !== null) {
      const { channelName, message } = event;
      guarded(this.screen, 'input', () => followInputChannel(pointer, channelName, message));
    } else if (event.kind === 'shareData' && event.pdu.pduType2 === PduType2.input && event.data !== null) {
      const { data } = event;
      guarded(this.screen, 'input', () => followSlowPathMouse(pointer, data));
    }
  }
}

/** What a state shows, without what it takes to go on from it. To be read only. */
export function pictureOf({ screen: state, graphics }: Pick<SessionSnapshot, 'screen' | 'graphics'>): PixelBuffer {
  if (!state.windows) return state.pixels;
  const screen = new Screen();
  screen.restore(state);
  for (const surface of graphics.pipeline?.surfaces ?? []) fillWindow({ ...surface }, screen);
  return screen.pixels;
}

const X224_CONNECTION_REQUEST = 0xe0;

/** The gateway alone says what came before TLS: nothing a peer sends later can make a reader forget what it knows. */
export const beginsConnection = ({ fromServer, bytes, beforeTls }: RecordedPdu): boolean =>
  beforeTls === true && !fromServer && bytes[0] === 3 && ((bytes[5] ?? 0) & 0xf0) === X224_CONNECTION_REQUEST;

/** Said before RDP, [MS-RDPEPS]: the gateway alone sends it, and it is no PDU of RDP's. */
export const isPreconnection = ({ fromServer, bytes, beforeTls }: RecordedPdu): boolean =>
  beforeTls === true && !fromServer && bytes[0] !== 3;

/**
 * Whether the client wants windows of remote applications: no where it begins without their channel, yes where it says so later; null
 * for an event that doesn't tell. The window list capability set alone tells nothing: mstsc always sends it.
 */
function asksForWindows(event: InspectedEvent): boolean | null {
  if (event.kind === 'connectInitial')
    return event.conference.blocks.some(
      (block) => block.kind === 'network' && block.channels.some(({ name }) => name.text.toLowerCase() === 'rail'),
    );
  if (event.kind === 'clientInfo' && (event.info.flags & InfoFlag.rail) !== 0) return true;
  const sets = event.kind === 'confirmActive' ? event.confirm.capabilitySets : [];
  return sets.some(({ kind }) => kind === 'remotePrograms') ? true : null;
}

type SoundEvent = Extract<InspectedEvent, { kind: 'channelMessage' | 'dynamicMessage' }>;

/** Whether an event may draw on the screen beside the graphics channel, or end that channel. */
function drawsOver(event: InspectedEvent): boolean {
  switch (event.kind) {
    case 'fastPathUpdate':
      return event.updateCode <= FastPathUpdateCode.surfaceCommands;
    case 'dynamicChannel':
      return event.pdu.kind === 'createRequest' || event.pdu.kind === 'close';
    default:
      return event.kind === 'slowPathUpdate' || event.kind === 'demandActive';
  }
}
