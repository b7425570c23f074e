import { beginsConnection, isPreconnection } from '@lucid-sessions/graphics';
import {
  CORE_INPUT_CHANNEL,
  coreInputPdu,
  errorInfoText,
  type InspectedEvent,
  type Monitor,
  MonitorLayouts,
  type MonitorLayoutsSnapshot,
  PduType2,
  readLogonInfo,
  SaveSessionInfoType,
  StreamInspector,
  type StreamInspectorSnapshot,
  saveSessionInfo,
  setErrorInfo,
  TOUCH_INPUT_CHANNEL,
  touchInputPdu,
} from '@lucid-sessions/rdp';
import { BulkDecompressor, type BulkSnapshot } from '@lucid-sessions/rdp/bulk';
import { DecodeError, decode } from '@lucid-sessions/wire';
import { type Frame, frameFlags, frameKinds } from '../frame.ts';
import { decodeNote } from '../note.ts';
import { type ClientInput, fastPathInputs, slowPathInputs, touchInputs } from './client-input.ts';
import { type ClipboardSnapshot, ClipboardWatch } from './clipboard-watch.ts';
import type { ContentSink } from './contents.ts';
import { type DriveSnapshot, DriveWatch } from './drive-watch.ts';
import type { Happening, IndexEvent, KeepPolicy } from './events.ts';
import { GRAPHICS_CHANNEL, GraphicsWatch, type GraphicsWatchSnapshot } from './graphics-watch.ts';
import { type ActivitySecond, EVENTS_PER_SEGMENT_MAX, type IndexSegment, SECONDS_PER_SEGMENT_MAX } from './segment.ts';
import { Typing, type TypingSnapshot } from './typing.ts';
import { WindowWatch, type WindowWatchSnapshot } from './window-watch.ts';

const STATE_VERSION = 5;
/** Errors of one segment: broken PDUs come in floods. */
const ERRORS_PER_SEGMENT_MAX = 100;

export interface SessionIndexerOptions {
  input?: KeepPolicy;
  clipboard?: KeepPolicy;
  /** Gets clipboard and drive contents as they pass by. */
  onContent?: ContentSink;
}

export interface SessionIndexerState {
  readonly version: number;
  readonly inspector: StreamInspectorSnapshot;
  readonly bulk: { readonly client: BulkSnapshot; readonly server: BulkSnapshot };
  readonly typing: TypingSnapshot;
  readonly clipboard: ClipboardSnapshot;
  readonly drive: DriveSnapshot;
  readonly graphics: GraphicsWatchSnapshot;
  readonly lost: { readonly client: boolean; readonly server: boolean };
  readonly size: { readonly width: number; readonly height: number };
  readonly layouts: MonitorLayoutsSnapshot;
  readonly monitors: string;
  readonly windows: WindowWatchSnapshot;
  readonly nextId: number;
  readonly lastUs: number;
  readonly begun: boolean;
  readonly atLogon: boolean;
}

/**
 * Makes the index of a recording from its frames: what happened and when, how much went over, and on the way what crossed
 * clipboard and drives. It draws nothing. `take` cuts a segment at a chunk's end; `state` carries it to the next chunk, also
 * on another day. Nothing a peer sent makes it throw.
 */
export class SessionIndexer {
  readonly #options: SessionIndexerOptions;
  readonly #bulk = { client: new BulkDecompressor(), server: new BulkDecompressor() };
  readonly #inspector: StreamInspector;
  readonly #typing: Typing;
  readonly #clipboard: ClipboardWatch;
  readonly #drive: DriveWatch;
  readonly #graphics = new GraphicsWatch();
  readonly #windows = new WindowWatch((happening) => this.#emit(this.#timeUs, happening));
  readonly #layouts = new MonitorLayouts();
  readonly #lost = { client: false, server: false };
  #size = { width: 0, height: 0 };
  /** The layout that was told last, as JSON. */
  #monitors = '';
  #nextId = 1;
  #timeUs = 0;
  #begun = false;
  #events: IndexEvent[] = [];
  #dropped = 0;
  #errors = 0;
  #activity = new Map<number, ActivitySecond>();

  constructor(options: SessionIndexerOptions = {}) {
    this.#options = options;
    const { client, server } = this.#bulk;
    this.#inspector = new StreamInspector({
      client: (data, flags) => client.decompress(data, flags),
      server: (data, flags) => server.decompress(data, flags),
    });
    const emit = (timeUs: number, happening: Happening): void => this.#emit(timeUs, happening);
    const nextId = (): number => this.#nextId++;
    this.#typing = new Typing(options.input ?? 'full', emit);
    this.#clipboard = new ClipboardWatch(options.clipboard ?? 'full', emit, nextId, options.onContent);
    this.#drive = new DriveWatch(emit, nextId, options.onContent);
  }

  state(): SessionIndexerState {
    return {
      version: STATE_VERSION,
      inspector: this.#inspector.snapshot(),
      bulk: { client: this.#bulk.client.snapshot(), server: this.#bulk.server.snapshot() },
      typing: this.#typing.snapshot(),
      clipboard: this.#clipboard.snapshot(),
      drive: this.#drive.snapshot(),
      graphics: this.#graphics.snapshot(),
      lost: { ...this.#lost },
      size: { ...this.#size },
      layouts: this.#layouts.snapshot(),
      monitors: this.#monitors,
      windows: this.#windows.snapshot(),
      nextId: this.#nextId,
      lastUs: this.#timeUs,
      begun: this.#begun,
      atLogon: this.#typing.atLogon,
    };
  }

  /** Goes on from a state. Throws `DecodeError` when another version of this code made it: begin at the first chunk then. */
  restore(state: SessionIndexerState): void {
    if (state.version !== STATE_VERSION)
      throw new DecodeError('unsupported', `index state version ${state.version} is not ${STATE_VERSION}`);
    this.#inspector.restore(state.inspector);
    this.#bulk.client.restore(state.bulk.client);
    this.#bulk.server.restore(state.bulk.server);
    this.#typing.restore(state.typing);
    this.#clipboard.restore(state.clipboard);
    this.#drive.restore(state.drive);
    this.#graphics.restore(state.graphics);
    Object.assign(this.#lost, state.lost);
    this.#size = { ...state.size };
    this.#layouts.restore(state.layouts);
    this.#monitors = state.monitors;
    this.#windows.restore(state.windows);
    this.#nextId = state.nextId;
    this.#timeUs = state.lastUs;
    this.#begun = state.begun;
    this.#typing.atLogon = state.atLogon;
  }

  push(frame: Frame): void {
    if ((frame.flags & frameFlags.receivedOnly) !== 0) return;
    this.#timeUs = frame.timeUs;
    if (!this.#begun) this.#begin();
    this.#typing.tick(frame.timeUs);
    if (frame.kind === frameKinds.note) {
      this.#note(frame.body);
      return;
    }
    const fromServer = (frame.flags & frameFlags.serverToClient) !== 0;
    const beforeTls = (frame.flags & frameFlags.beforeTls) !== 0;
    if (isPreconnection({ fromServer, beforeTls, bytes: frame.body })) return;
    if (beginsConnection({ fromServer, beforeTls, bytes: frame.body })) this.#beginConnection();
    const sender = fromServer ? 'server' : 'client';
    const second = this.#second();
    if (sender === 'server') second.serverBytes += frame.body.length;
    else second.clientBytes += frame.body.length;
    // Not opened by this reader: whatever it is, it can't be told.
    if (this.#lost[sender] || (frame.flags & frameFlags.inputs) !== 0) return;
    for (const event of this.#inspect(sender, frame.body)) this.#guarded(() => this.#event(event));
  }

  /** Something the caller could not give: a chunk that is missing or can't be opened. */
  problem(code: string, message: string): void {
    this.#emit(this.#timeUs, { kind: 'error', code, message });
  }

  /** What happened since the last call, as the segment of one chunk. `last`: nothing follows, what is under way ends. */
  take(chunkIndex: number, last: boolean): IndexSegment {
    if (last) this.#endOpen();
    const activity = [...this.#activity.values()].sort((a, b) => a.second - b.second);
    const events = this.#events.sort((a, b) => a.timeUs - b.timeUs);
    const segment: IndexSegment = { chunkIndex, last, untilUs: this.#timeUs, dropped: this.#dropped, activity, events };
    this.#events = [];
    this.#activity = new Map();
    this.#dropped = 0;
    this.#errors = 0;
    return segment;
  }

  #begin(): void {
    this.#begun = true;
    for (const what of ['input', 'clipboard'] as const) {
      const policy = this.#options[what] ?? 'full';
      if (policy !== 'full') this.#emit(this.#timeUs, { kind: 'not_kept', what, policy });
    }
  }

  /** The first connection, or one that continues the session: what was incomplete in the previous one ended with it. */
  #beginConnection(): void {
    this.#endOpen();
    const { size, layouts, monitors, nextId, lastUs, begun } = this.state();
    this.restore({ ...new SessionIndexer().state(), size, layouts, monitors, nextId, lastUs, begun });
  }

  #endOpen(): void {
    this.#typing.end();
    this.#clipboard.end();
    this.#drive.end(this.#timeUs);
  }

  #emit(timeUs: number, happening: Happening): void {
    if (happening.kind === 'error' && ++this.#errors > ERRORS_PER_SEGMENT_MAX) this.#dropped += 1;
    else if (this.#events.length >= EVENTS_PER_SEGMENT_MAX) this.#dropped += 1;
    else this.#events.push({ timeUs, ...happening } as IndexEvent);
  }

  #second(): ActivitySecond {
    const second = Math.floor(this.#timeUs / 1e6);
    let found = this.#activity.get(second);
    if (found === undefined) {
      found = { second, serverBytes: 0, clientBytes: 0, updates: 0, inputs: 0 };
      // Times of a recording are the gateway's own; more seconds than a chunk can have are counted nowhere.
      if (this.#activity.size < SECONDS_PER_SEGMENT_MAX) this.#activity.set(second, found);
    }
    return found;
  }

  #note(body: Uint8Array): void {
    this.#guarded(() => {
      const note = decodeNote(body);
      // What crossed meanwhile is not in the recording.
      if (note.type === 'gap' || note.type === 'resume') {
        this.#clipboard.lost();
        this.#drive.lost();
      }
      if (note.type === 'connected') this.#connected();
      if (note.type === 'client') this.#typing.keyboard(note.keyboardLayout);
      this.#emit(this.#timeUs, { kind: 'note', note });
    });
  }

  #inspect(sender: 'client' | 'server', bytes: Uint8Array): InspectedEvent[] {
    try {
      return this.#inspector.push(sender, bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#lost[sender] = true;
      this.#emit(this.#timeUs, { kind: 'error', code: `stream.${sender}.${error.code}`, message: error.message });
      return [];
    }
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#emit(this.#timeUs, { kind: 'error', code: `content.${error.code}`, message: error.message });
    }
  }

  #event(event: InspectedEvent): void {
    this.#windows.push(event);
    this.#layouts.see(event);
    switch (event.kind) {
      case 'connectInitial':
        for (const block of event.conference.blocks)
          if (block.kind === 'core') this.#typing.keyboard(block.keyboardLayout, block.keyboardType);
        return;
      case 'clientInfo': {
        // Older clients count the terminators.
        const [userName = ''] = event.info.userName.split('\0');
        const [domain = ''] = event.info.domain.split('\0');
        if (userName !== '') this.#emit(this.#timeUs, { kind: 'logon', from: 'client', userName, domain });
        return;
      }
      case 'demandActive':
        for (const set of event.demand.capabilitySets)
          if (set.kind === 'bitmap') this.#resized(set.desktopWidth, set.desktopHeight);
        return;
      case 'fastPathInput':
        for (const input of fastPathInputs(event.input)) this.#input(input);
        return;
      case 'fastPathUpdate':
      case 'slowPathUpdate':
        this.#second().updates += 1;
        return;
      case 'shareData':
        this.#shareData(event);
        return;
      case 'channelMessage':
        this.#channel(event);
        return;
      case 'dynamicChannel':
        this.#graphics.track(event.pdu);
        return;
      case 'dynamicMessage':
        this.#dynamic(event);
        return;
      case 'mcs':
        if (event.pdu.kind === 'disconnectProviderUltimatum')
          this.#emit(this.#timeUs, { kind: 'disconnect', from: event.sender, reason: event.pdu.reason });
        return;
      case 'malformed':
        throw event.error;
    }
  }

  #shareData({ pdu, data, sender }: Extract<InspectedEvent, { kind: 'shareData' }>): void {
    if (data === null) return;
    if (sender === 'client') {
      if (pdu.pduType2 === PduType2.input) for (const input of slowPathInputs(data)) this.#input(input);
      return;
    }
    if (pdu.pduType2 === PduType2.setErrorInfo) {
      const { errorInfo } = decode(setErrorInfo, data);
      if (errorInfo === 0) return;
      const code = `error_info.${errorInfo.toString(16).padStart(8, '0')}`;
      this.#emit(this.#timeUs, { kind: 'error', code, message: errorInfoText(errorInfo) });
    }
    if (pdu.pduType2 === PduType2.monitorLayout) this.#laidOut(this.#layouts.monitors);
    if (pdu.pduType2 === PduType2.saveSessionInfo) {
      const info = decode(saveSessionInfo, data);
      if (info.infoType !== SaveSessionInfoType.logonExtendedInfo) this.#loggedOn(true);
      const logon = readLogonInfo(info);
      if (logon === null || logon.userName === '') return;
      const { userName, domain } = logon;
      this.#emit(this.#timeUs, { kind: 'logon', from: 'server', userName, domain });
    }
  }

  /** The first connection, or the client is back: the host may ask who it is. */
  #connected(): void {
    this.#loggedOn(false);
    this.#inspector.restart();
    Object.assign(this.#lost, { client: false, server: false });
  }

  /** What was typed until now belongs to the time before. */
  #loggedOn(is: boolean): void {
    this.#typing.end();
    this.#typing.atLogon = !is;
  }

  #channel({ channelName, message, sender }: Extract<InspectedEvent, { kind: 'channelMessage' }>): void {
    const watch = channelName === 'cliprdr' ? this.#clipboard : channelName === 'rdpdr' ? this.#drive : null;
    if (message === null) watch?.lost();
    else if (message.length > 0) watch?.push(this.#timeUs, sender, message);
  }

  #dynamic({ channelName, message, sender }: Extract<InspectedEvent, { kind: 'dynamicMessage' }>): void {
    if (sender === 'server') {
      if (channelName !== GRAPHICS_CHANNEL) return;
      this.#second().updates += 1;
      for (const { width, height, monitors } of this.#graphics.push(message)) this.#resized(width, height, monitors);
      return;
    }
    if (message === null) return;
    if (channelName === CORE_INPUT_CHANNEL) {
      const pdu = decode(coreInputPdu, message);
      if (pdu.kind === 'input') for (const input of fastPathInputs(pdu)) this.#input(input);
    }
    if (channelName === TOUCH_INPUT_CHANNEL)
      for (const input of touchInputs(decode(touchInputPdu, message))) this.#input(input);
  }

  #laidOut(monitors: readonly Monitor[]): void {
    const layout = JSON.stringify(monitors);
    const isNews = monitors.length > 1 ? layout !== this.#monitors : this.#monitors !== '';
    if (!isNews) return;
    this.#monitors = monitors.length > 1 ? layout : '';
    this.#emit(this.#timeUs, { kind: 'monitors', monitors: [...monitors] });
  }

  #resized(width: number, height: number, monitors: readonly Monitor[] = []): void {
    if (this.#size.width !== width || this.#size.height !== height) {
      this.#size = { width, height };
      this.#emit(this.#timeUs, { kind: 'resize', width, height });
    }
    this.#layouts.desktop(width, height, monitors);
    this.#laidOut(this.#layouts.monitors);
  }

  #input(input: ClientInput): void {
    this.#second().inputs += 1;
    switch (input.kind) {
      case 'key':
        this.#typing.key(this.#timeUs, input);
        return;
      case 'unicode':
        this.#typing.unicode(this.#timeUs, input.unit);
        return;
      case 'locks':
        this.#typing.locks(input.capsLock, input.numLock);
        return;
      case 'click': {
        this.#typing.end();
        const { button, x, y } = input;
        this.#emit(this.#timeUs, { kind: 'click', button, x, y });
      }
    }
  }
}
