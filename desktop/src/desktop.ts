import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import {
  Acceptor,
  type AcceptorEvent,
  type BitmapData,
  bitmapUpdate,
  type CapabilitySet,
  type ClientInfo,
  type ColorDepth,
  DYNAMIC_CHANNEL_NAME,
  dynamicChannelServerPdu,
  emptyBody,
  FastPathUpdateCode,
  Fragmentation,
  GeneralExtraFlag,
  PduType2,
  PointerFlag,
  Protocol,
  refreshRect,
  SaveSessionInfoType,
  type ShareDataPdu,
  saveSessionInfo,
  slowPathInput,
  slowPathUpdate,
  suppressOutput,
  UpdateType,
} from '@lucid-sessions/rdp';
import { DecodeError, decode, encode, Writer } from '@lucid-sessions/wire';
import { encodeTile, tiles } from './bitmap-encoder.ts';
import { type Area, overlap } from './canvas.ts';
import { makeCertificate, type TestCertificate } from './certificate.ts';
import { type DesktopAccount, DesktopLogon } from './desktop-logon.ts';
import { characterOf, Scancode } from './keyboard.ts';
import { Scene } from './scene.ts';

/** A small real RDP desktop: TLS, bitmaps, keyboard and mouse. Each connection gets a desktop of its own. */

export interface DesktopOptions {
  /** 0 picks a free one. */
  port?: number;
  host?: string;
  /** The desktop's size; what each client asks for when absent. */
  size?: { width: number; height: number };
  bitsPerPixel?: ColorDepth;
  certificate?: TestCertificate;
  /** Demands network level authentication, and lets this account in. */
  account?: DesktopAccount;
  /** The clock's time. */
  now?: () => Date;
  /** Says that the user has logged on, as Windows does; false: never, as other hosts. */
  tellsLogon?: boolean;
  /** Dynamic channels it opens where the client has drdynvc, with ids from 1 on; what comes on them is not looked at. */
  dynamicChannels?: readonly string[];
  /** Denies a Shutdown Request, as Windows does while somebody is logged on. */
  deniesShutdown?: boolean;
  /** Sent as they are on the first of those, behind one another. */
  dynamicMessages?: readonly Uint8Array[];
  /** Told what each client sends of who logs on: its password is in it. */
  onClientInfo?: (info: ClientInfo) => void;
  /** Refuses every client with this ERRINFO code once it listens. */
  refuseWith?: number;
}

export interface Desktop {
  readonly port: number;
  /** Of the server's certificate (DER), lower-case hex. */
  readonly certificateSha256: string;
  /** Lines typed into any session's terminal, in order. */
  typedLines(): string[];
  /** User names of Client Info, in order of connection. */
  users(): string[];
  /** Sessions that are active now. */
  sessionsCount(): number;
  stop(): Promise<void>;
}

/** Fast-path PDUs are filled up to here: 16 KB is what every client takes without fragments. */
const UPDATE_BYTES_MAX = 15_000;
/** Changes are gathered this long before they are sent. */
const FRAME_MS = 20;
const CLOCK_MS = 1000;
/** While more than this waits in a socket nothing is drawn: changes pile up as areas, not as bytes. */
const SOCKET_BACKLOG_BYTES_MAX = 1024 * 1024;
/** How long a peer may take to close after the goodbye. */
const GOODBYE_MS = 1000;
/** Areas kept apart before they are sent as one. */
const CHANGED_AREAS_MAX = 32;

interface Shared {
  options: DesktopOptions;
  secure: SecureContext;
  certificate: TestCertificate;
  lines: string[];
  users: string[];
  sessions: Set<DesktopSession>;
}

/** Starts a desktop on 127.0.0.1 unless told otherwise. */
export async function startDesktop(options: DesktopOptions = {}): Promise<Desktop> {
  const certificate = options.certificate ?? (await makeCertificate('lucid-desktop'));
  const secure = createSecureContext({ key: certificate.key, cert: certificate.cert });
  const shared: Shared = { options, secure, certificate, lines: [], users: [], sessions: new Set() };
  const server = createServer({ noDelay: true }, (socket) => {
    const session = new DesktopSession(socket, shared);
    shared.sessions.add(session);
  });
  await listen(server, options.port ?? 0, options.host ?? '127.0.0.1');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('desktop has no port');
  return {
    port: address.port,
    certificateSha256: certificate.sha256,
    typedLines: () => [...shared.lines],
    users: () => [...shared.users],
    sessionsCount: () => [...shared.sessions].filter((session) => session.isActive).length,
    stop: () => stop(server, shared),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function stop(server: Server, shared: Shared): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const session of shared.sessions) session.end();
  await closed;
}

class DesktopSession {
  readonly #shared: Shared;
  readonly #acceptor: Acceptor;
  readonly #raw: Socket;
  #stream: Socket | TLSSocket;
  readonly #logon: DesktopLogon | null;
  #scene: Scene | null = null;
  #changed: Area[] = [];
  #frameTimer: NodeJS.Timeout | null = null;
  #clockTimer: NodeJS.Timeout | null = null;
  #isSuppressed = false;
  #fastPath = false;
  #withHeader = false;
  readonly #held = { shift: false, capsLock: false };

  constructor(socket: Socket, shared: Shared) {
    this.#shared = shared;
    this.#raw = socket;
    this.#stream = socket;
    const { size, bitsPerPixel, account } = shared.options;
    this.#logon = account === undefined ? null : new DesktopLogon(shared.certificate.cert, account);
    this.#acceptor = new Acceptor({
      protocols: account === undefined ? Protocol.ssl : Protocol.hybrid,
      ...(size && { desktop: size }),
      ...(bitsPerPixel && { bitsPerPixel }),
    });
    if (shared.options.refuseWith !== undefined) this.#acceptor.refuse(shared.options.refuseWith);
    this.#listen(socket);
    socket.on('close', () => this.#closed());
  }

  get isActive(): boolean {
    return this.#scene !== null;
  }

  /** Says goodbye and closes. */
  end(): void {
    if (this.#scene) this.#stream.write(this.#acceptor.disconnect());
    this.#stream.end();
    // The goodbye must get out before the connection dies; a peer that never closes must not keep the desktop alive.
    setTimeout(() => this.#raw.destroy(), GOODBYE_MS).unref();
    this.#closed();
  }

  #listen(stream: Socket | TLSSocket): void {
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => this.#input(bytes));
    stream.on('drain', () => this.#wakeUp());
    // A peer that vanishes is no news to a test desktop; 'close' cleans up.
    stream.on('error', () => stream.destroy());
  }

  #closed(): void {
    if (this.#frameTimer) clearTimeout(this.#frameTimer);
    if (this.#clockTimer) clearInterval(this.#clockTimer);
    this.#scene = null;
    this.#shared.sessions.delete(this);
  }

  #input(bytes: Uint8Array): void {
    try {
      const { output, events } = this.#acceptor.step(bytes);
      if (output.length > 0) this.#stream.write(output);
      for (const event of events) this.#event(event);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#stream.destroy();
    }
  }

  #event(event: AcceptorEvent): void {
    switch (event.kind) {
      case 'startTls':
        this.#startTls(event.rest);
        return;
      case 'credssp':
        this.#logOn(event.message);
        return;
      case 'clientInfo':
        this.#shared.users.push(event.info.userName);
        this.#shared.options.onClientInfo?.(event.info);
        return;
      case 'active':
        this.#begin(event.capabilitySets);
        return;
      case 'fastPathInput':
        for (const input of event.input.events) {
          if (input.kind === 'scancode') this.#key(input.keyCode, (input.flags & 1) !== 0);
          if (input.kind === 'unicode' && (input.flags & 1) === 0) this.#type(String.fromCharCode(input.unicodeCode));
          if (input.kind === 'mouse') this.#mouse(input.pointerFlags, input.x, input.y);
          if (input.kind === 'sync') this.#held.capsLock = (input.flags & 4) !== 0;
        }
        return;
      case 'shareData':
        this.#shareData(event.pdu);
        return;
      case 'ended':
      case 'negotiationFailed':
        this.#stream.end();
        return;
      default:
    }
  }

  #startTls(rest: Uint8Array): void {
    const raw = this.#raw;
    raw.removeAllListeners('data');
    raw.removeAllListeners('drain');
    if (rest.length > 0) raw.unshift(rest);
    const secured = new TLSSocket(raw, { isServer: true, secureContext: this.#shared.secure });
    this.#acceptor.tlsEstablished();
    this.#listen(secured);
  }

  #logOn(message: Uint8Array): void {
    // A client need not wait for an answer to its last message: what comes behind that is RDP.
    if (this.#acceptor.state !== 'credssp') {
      this.#input(message);
      return;
    }
    const { output, state } = this.#logon!.step(message);
    if (output.length > 0) this.#stream.write(output);
    if (state === 'loggedOn') this.#acceptor.credsspDone();
    if (state === 'refused') this.#stream.end();
  }

  #begin(capabilitySets: CapabilitySet[]): void {
    const { desktopWidth, desktopHeight } = this.#acceptor.shape;
    for (const set of capabilitySets) {
      if (set.kind !== 'general') continue;
      this.#fastPath = (set.extraFlags & GeneralExtraFlag.fastpathOutputSupported) !== 0;
      this.#withHeader = (set.extraFlags & GeneralExtraFlag.noBitmapCompressionHdr) === 0;
    }
    this.#scene = new Scene(desktopWidth, desktopHeight);
    if (this.#shared.options.tellsLogon !== false) this.#tellLogon();
    this.#openChannels();
    this.#tick();
    this.#clockTimer = setInterval(() => this.#tick(), CLOCK_MS);
    this.#clockTimer.unref();
    this.#change(this.#scene.area);
  }

  #openChannels(): void {
    const channelId = this.#acceptor.channels.find(({ name }) => name === DYNAMIC_CHANNEL_NAME)?.channelId;
    if (channelId === undefined) return;
    for (const [i, channelName] of (this.#shared.options.dynamicChannels ?? []).entries()) {
      const request = { kind: 'createRequest', cbId: 0, sp: 0, channelId: i + 1, channelName } as const;
      this.#stream.write(this.#acceptor.channelMessage(channelId, encode(dynamicChannelServerPdu, request)));
    }
    for (const data of this.#shared.options.dynamicMessages ?? []) {
      const message = encode(dynamicChannelServerPdu, { kind: 'data', cbId: 0, sp: 0, channelId: 1, data } as const);
      this.#stream.write(this.#acceptor.channelMessage(channelId, message));
    }
  }

  /** Plain notify: [MS-RDPBCGR] 2.2.10.1.1.3. */
  #tellLogon(): void {
    const info = { infoType: SaveSessionInfoType.plainNotify, infoData: new Uint8Array(576) };
    this.#stream.write(this.#acceptor.shareData(PduType2.saveSessionInfo, saveSessionInfo, info));
  }

  #tick(): void {
    const time = (this.#shared.options.now?.() ?? new Date()).toISOString().slice(11, 19);
    const changed = this.#scene?.tick(time);
    if (changed) this.#change(changed);
  }

  #shareData(pdu: ShareDataPdu): void {
    if (pdu.pduType2 === PduType2.input) this.#slowInput(pdu.data);
    if (pdu.pduType2 === PduType2.suppressOutput) {
      this.#isSuppressed = decode(suppressOutput, pdu.data).allowDisplayUpdates === 0;
      if (!this.#isSuppressed && this.#scene) this.#change(this.#scene.area);
    }
    if (pdu.pduType2 === PduType2.refreshRect)
      for (const { left, top, right, bottom } of decode(refreshRect, pdu.data).areas)
        this.#change({ left, top, width: right - left + 1, height: bottom - top + 1 });
    if (pdu.pduType2 === PduType2.shutdownRequest) this.#shutdown();
  }

  #shutdown(): void {
    if (this.#shared.options.deniesShutdown !== true) this.end();
    else this.#stream.write(this.#acceptor.shareData(PduType2.shutdownDenied, emptyBody, {}));
  }

  #slowInput(data: Uint8Array): void {
    for (const input of decode(slowPathInput, data).events) {
      if (input.kind === 'scancode') this.#key(input.keyCode & 0xff, (input.keyboardFlags & 0x8000) !== 0);
      if (input.kind === 'unicode' && (input.keyboardFlags & 0x8000) === 0)
        this.#type(String.fromCharCode(input.keyCode));
      if (input.kind === 'mouse') this.#mouse(input.pointerFlags, input.x, input.y);
      if (input.kind === 'synchronize') this.#held.capsLock = (input.toggleFlags & 4) !== 0;
    }
  }

  #key(scancode: number, isRelease: boolean): void {
    if (scancode === Scancode.leftShift || scancode === Scancode.rightShift) this.#held.shift = !isRelease;
    if (isRelease) return;
    if (scancode === Scancode.capsLock) this.#held.capsLock = !this.#held.capsLock;
    if (scancode === Scancode.enter) this.#type('\n');
    if (scancode === Scancode.backspace) this.#type('\b');
    const character = characterOf(scancode, this.#held.shift, this.#held.capsLock);
    if (character !== undefined) this.#type(character);
  }

  #type(character: string): void {
    const result = this.#scene?.type(character);
    if (!result) return;
    if (result.line !== undefined) this.#shared.lines.push(result.line);
    this.#change(result.changed);
  }

  #mouse(flags: number, x: number, y: number): void {
    const isPress = (flags & PointerFlag.button1) !== 0 && (flags & PointerFlag.down) !== 0;
    if (!isPress) return;
    for (const area of this.#scene?.click(x, y) ?? []) this.#change(area);
  }

  #change(area: Area): void {
    const visible = this.#scene && overlap(area, this.#scene.area);
    if (!visible) return;
    this.#changed.push(visible);
    if (this.#changed.length > CHANGED_AREAS_MAX && this.#scene) this.#changed = [this.#scene.area];
    this.#wakeUp();
  }

  #wakeUp(): void {
    if (this.#frameTimer !== null || this.#changed.length === 0) return;
    this.#frameTimer = setTimeout(() => this.#sendFrame(), FRAME_MS);
  }

  #sendFrame(): void {
    this.#frameTimer = null;
    // 'drain' or the end of the suppression wakes this up again.
    if (!this.#scene || this.#isSuppressed || this.#stream.writableLength > SOCKET_BACKLOG_BYTES_MAX) return;
    const areas = withoutCovered(this.#changed);
    this.#changed = [];
    for (const area of areas) this.#sendArea(area, this.#scene);
  }

  #sendArea(area: Area, scene: Scene): void {
    let batch: BitmapData[] = [];
    let batchBytes = 0;
    for (const band of tiles(area)) {
      const tile = encodeTile(scene.paint(band), band, this.#acceptor.shape.bitsPerPixel, this.#withHeader);
      if (batchBytes + tile.data.length > UPDATE_BYTES_MAX) {
        this.#sendBitmaps(batch);
        batch = [];
        batchBytes = 0;
      }
      batch.push(tile);
      batchBytes += tile.data.length + 18;
    }
    this.#sendBitmaps(batch);
  }

  #sendBitmaps(rectangles: BitmapData[]): void {
    if (rectangles.length === 0) return;
    const body = encode(bitmapUpdate, { rectangles });
    if (!this.#fastPath) {
      const update = { updateType: UpdateType.bitmap, data: body };
      this.#stream.write(this.#acceptor.shareData(PduType2.update, slowPathUpdate, update));
      return;
    }
    const data = new Writer().u16le(UpdateType.bitmap).slice(body).bytes();
    const update = {
      updateCode: FastPathUpdateCode.bitmap,
      fragmentation: Fragmentation.single,
      compression: 0,
      data,
    };
    this.#stream.write(this.#acceptor.fastPath([update]));
  }
}

/** Areas that lie inside another one are painted with it. */
function withoutCovered(areas: Area[]): Area[] {
  const isCovered = (area: Area, i: number) =>
    areas.some((other, j) => {
      const common = overlap(area, other);
      const inside = common !== null && common.width === area.width && common.height === area.height;
      const isSame = other.width === area.width && other.height === area.height;
      return i !== j && inside && (!isSame || j < i);
    });
  return areas.filter((area, i) => !isCovered(area, i));
}
