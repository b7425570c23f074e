import { createHash } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { SessionDecoder } from '@lucid-sessions/graphics';
import {
  Connector,
  type ConnectorConfig,
  type ConnectorEvent,
  emptyBody,
  type FastPathInputEvent,
  FastPathUpdateCode,
  PduType2,
  PointerFlag,
  Protocol,
  type RoutingLine,
  refreshRect,
  slowPathUpdate,
  suppressOutput,
  UpdateType,
} from '@lucid-sessions/rdp';
import { DecodeError, decode } from '@lucid-sessions/wire';
import { PNG } from 'pngjs';
import { type ClientLogonOptions, logOn } from './client-logon.ts';
import { keyOf, Scancode } from './keyboard.ts';

/** A real RDP client without a screen: connects, types, clicks, counts updates and can show what it would show. */

export interface ClientOptions extends Omit<ConnectorConfig, 'routing' | 'desktopWidth' | 'desktopHeight'> {
  host?: string;
  port: number;
  /** A line of an SSLKEYLOGFILE. */
  onKeyLog?: (line: string) => void;
  /** `Cookie: mstshash=` */
  cookie?: string;
  /** `Cookie: msts=` */
  routingToken?: string;
  size?: { width: number; height: number };
  /** Logs on by network level authentication where the server chooses it; ask for it in `requestedProtocols`. */
  logon?: ClientLogonOptions;
  /** The server certificate's SHA-256 (DER, hex). Any certificate is taken when absent. */
  serverSha256?: string;
  /** Keeps a decoder, so that `screenshot` works: costs the picture's memory. */
  screenshots?: boolean;
  /** How long connecting may take. */
  timeoutMs?: number;
}

export type ClientErrorCode =
  /** TCP or TLS did not come about. */
  | 'unreachable'
  /** The server's certificate isn't the one expected. */
  | 'wrong_certificate'
  /** The server refused the security protocol; `detail` is RDP_NEG_FAILURE's code. */
  | 'negotiation_failed'
  /** The server said why it ends the session; `detail` is the ERRINFO code. */
  | 'refused'
  /** The server let nobody log on; `detail` is its NTSTATUS, 0 when it gave none. */
  | 'logon_failed'
  /** The connection ended before the session was active. */
  | 'closed'
  | 'protocol_violation'
  | 'timeout';

export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: ClientErrorCode;
  readonly detail: number;

  constructor(code: ClientErrorCode, message: string, detail = 0) {
    super(message);
    this.code = code;
    this.detail = detail;
  }
}

/** How a session ended, as the client learned it. */
export interface ClientEnd {
  /** ERRINFO code and text, 0 and '' when the server gave none. */
  errorInfo: number;
  errorText: string;
  /** Whether the server said goodbye (Disconnect Provider Ultimatum) rather than just closing. */
  orderly: boolean;
  /** A violation of the protocol that made the client give up. */
  problem: string | null;
}

export interface ClientStatistics {
  receivedBytes: number;
  sentBytes: number;
  /** Graphics PDUs: fast-path PDUs and slow-path updates. */
  updatesCount: number;
}

const CONNECT_TIMEOUT_MS = 15_000;
/** How long the server may take to close after the goodbye. */
const GOODBYE_MS = 1000;
/** Events in one fast-path input PDU. */
const EVENTS_MAX = 15;
const QUIET_PIECE_MS = 20;
/** Updates that are neither pointers nor palettes nor marks. */
const painting: ReadonlySet<number> = new Set([
  FastPathUpdateCode.orders,
  FastPathUpdateCode.bitmap,
  FastPathUpdateCode.surfaceCommands,
]);

/**
 * Connects and resolves when the session is active. Rejects with `ClientError`. A server that refuses does so when the
 * client listens to error PDUs, which is then: whoever expects a refusal looks at `ended` too.
 */
export function connectClient(options: ClientOptions): Promise<RdpClient> {
  const client = new RdpClient(options);
  return client.connect();
}

export class RdpClient {
  readonly statistics: ClientStatistics = { receivedBytes: 0, sentBytes: 0, updatesCount: 0 };
  /** Resolves when the session is over; never rejects. */
  readonly ended: Promise<ClientEnd>;
  /** Of the server's certificate (DER), lower-case hex; '' before TLS. */
  serverSha256 = '';
  readonly #options: ClientOptions;
  readonly #connector: Connector;
  readonly #decoder: SessionDecoder | null;
  readonly #end: ClientEnd = { errorInfo: 0, errorText: '', orderly: false, problem: null };
  readonly #active = Promise.withResolvers<void>();
  readonly #denied = Promise.withResolvers<void>();
  /** Resolves when the server has denied a Shutdown Request. */
  readonly shutdownDenied = this.#denied.promise;
  readonly #pictured = Promise.withResolvers<void>();
  /** Resolves with the first update that paints; rejects where the connection ends before. */
  readonly pictured = this.#pictured.promise;
  readonly #ended = Promise.withResolvers<ClientEnd>();
  #stream: Socket | TLSSocket | null = null;
  #raw: Socket | null = null;
  #updateWaiters: (() => void)[] = [];

  constructor(options: ClientOptions) {
    this.#options = options;
    const { cookie, routingToken, size = { width: 1024, height: 768 } } = options;
    const routing = routingLine(cookie, routingToken);
    this.#connector = new Connector({
      ...options,
      desktopWidth: size.width,
      desktopHeight: size.height,
      ...(routing && { routing }),
    });
    this.#decoder = options.screenshots ? new SessionDecoder() : null;
    this.ended = this.#ended.promise;
    // Whoever never asks how connecting went must not bring the process down.
    this.#active.promise.catch(() => {});
    this.pictured.catch(() => {});
  }

  /** The session's desktop size. */
  get size(): { width: number; height: number } {
    return { width: this.#connector.shape.desktopWidth, height: this.#connector.shape.desktopHeight };
  }

  /** Static channels the server gave. */
  get channels(): { channelId: number; name: string }[] {
    return [...this.#connector.channels];
  }

  async connect(): Promise<this> {
    const timer = setTimeout(
      () => this.#fail(new ClientError('timeout', 'the session did not become active in time')),
      this.#options.timeoutMs ?? CONNECT_TIMEOUT_MS,
    );
    const raw = connectTcp({ host: this.#options.host ?? '127.0.0.1', port: this.#options.port, noDelay: true });
    this.#raw = raw;
    raw.on('error', (error) => this.#fail(new ClientError('unreachable', error.message)));
    raw.on('close', () => this.#closed());
    raw.once('connect', () => {
      this.#listen(raw);
      this.#send(this.#connector.start().output);
    });
    try {
      await this.#active.promise;
    } finally {
      clearTimeout(timer);
    }
    return this;
  }

  #listen(stream: Socket | TLSSocket): void {
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => this.#received(bytes));
  }

  #received(bytes: Buffer): void {
    this.statistics.receivedBytes += bytes.length;
    this.#decoder?.push({ fromServer: true, bytes });
    try {
      const { output, events } = this.#connector.step(bytes);
      this.#send(output);
      for (const event of events) this.#event(event);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      this.#end.problem = error.message;
      this.#fail(new ClientError('protocol_violation', error.message));
    }
  }

  #send(bytes: Uint8Array): void {
    if (bytes.length === 0 || !this.#stream?.writable) return;
    this.statistics.sentBytes += bytes.length;
    this.#decoder?.push({ fromServer: false, bytes });
    this.#stream.write(bytes);
  }

  #event(event: ConnectorEvent): void {
    switch (event.kind) {
      case 'startTls':
        this.#startTls(event.selectedProtocol);
        return;
      case 'negotiationFailed':
        this.#fail(new ClientError('negotiation_failed', `server refused the security protocol`, event.failureCode));
        return;
      case 'active':
        this.#active.resolve();
        return;
      case 'errorInfo':
        this.#end.errorInfo = event.code;
        this.#end.errorText = event.text;
        return;
      case 'ended':
        this.#end.orderly = true;
        this.#stream?.end();
        return;
      case 'fastPathOutput':
        this.#updated();
        if (event.output.updates.some(({ updateCode }) => painting.has(updateCode))) this.#pictured.resolve();
        return;
      case 'shareData':
        if (event.pdu.pduType2 === PduType2.update) this.#slowUpdate(event.pdu.data);
        if (event.pdu.pduType2 === PduType2.shutdownDenied) this.#denied.resolve();
        return;
      default:
    }
  }

  #slowUpdate(data: Uint8Array): void {
    this.#updated();
    const { updateType } = decode(slowPathUpdate, data);
    if (updateType === UpdateType.bitmap || updateType === UpdateType.orders) this.#pictured.resolve();
  }

  #updated(): void {
    this.statistics.updatesCount += 1;
    const waiters = this.#updateWaiters;
    this.#updateWaiters = [];
    for (const wake of waiters) wake();
  }

  #startTls(selectedProtocol: number): void {
    const raw = this.#raw!;
    raw.removeAllListeners('data');
    // Certificates of RDP servers are mostly self-signed; identity is the fingerprint, when one is given.
    const secured = connectTls({ socket: raw, rejectUnauthorized: false, minVersion: 'TLSv1.2' });
    secured.on('error', (error) => this.#fail(new ClientError('unreachable', error.message)));
    secured.on('keylog', (line: Buffer) => this.#options.onKeyLog?.(line.toString()));
    secured.once('secureConnect', () => void this.#secured(secured, selectedProtocol));
  }

  async #secured(secured: TLSSocket, selectedProtocol: number): Promise<void> {
    const certificate = secured.getPeerX509Certificate()?.raw ?? Buffer.alloc(0);
    this.serverSha256 = createHash('sha256').update(certificate).digest('hex');
    const expected = this.#options.serverSha256;
    if (expected !== undefined && expected.toLowerCase() !== this.serverSha256) {
      this.#fail(new ClientError('wrong_certificate', `server has certificate ${this.serverSha256}`));
      return;
    }
    let step = this.#connector.tlsEstablished();
    if (selectedProtocol !== Protocol.ssl) {
      const rest = await this.#logOn(secured, selectedProtocol);
      if (rest === null) return;
      if (rest.length > 0) secured.unshift(rest);
      step = this.#connector.credsspDone();
    }
    this.#listen(secured);
    this.#send(step.output);
  }

  async #logOn(secured: TLSSocket, selectedProtocol: number): Promise<Uint8Array | null> {
    const { logon, host = '127.0.0.1' } = this.#options;
    if (logon === undefined) {
      this.#fail(new ClientError('logon_failed', 'the server asks who logs on'));
      return null;
    }
    const answer = await logOn(secured, host, selectedProtocol === Protocol.hybridEx, logon);
    if (answer instanceof Uint8Array) return answer;
    this.#fail(new ClientError('logon_failed', `${answer.how}: ${answer.problem}`, answer.code ?? 0));
    return null;
  }

  #fail(error: ClientError): void {
    this.#active.reject(error);
    this.#raw?.destroy();
  }

  #closed(): void {
    const { errorInfo, errorText } = this.#end;
    const reason =
      errorInfo === 0
        ? new ClientError('closed', 'the server closed the connection before the session was active')
        : new ClientError('refused', errorText, errorInfo);
    this.#active.reject(reason);
    this.#pictured.reject(reason);
    this.#ended.resolve({ ...this.#end });
    for (const wake of this.#updateWaiters.splice(0)) wake();
  }

  /** Sends input events, a few to a PDU. */
  input(events: FastPathInputEvent[]): void {
    for (let at = 0; at < events.length; at += EVENTS_MAX)
      this.#send(this.#connector.input(events.slice(at, at + EVENTS_MAX)));
  }

  /** Presses and releases a key. */
  key(scancode: number, extended = false): void {
    const flags = extended ? 2 : 0;
    this.input([
      { kind: 'scancode', flags, keyCode: scancode },
      { kind: 'scancode', flags: flags | 1, keyCode: scancode },
    ]);
  }

  /** Types text as keys of a US keyboard; what that has no key for goes as Unicode. `\n` is Enter. */
  async type(text: string, delayMs = 0): Promise<void> {
    for (const character of text) {
      this.input(keystrokes(character));
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    }
  }

  move(x: number, y: number): void {
    this.input([{ kind: 'mouse', flags: 0, pointerFlags: PointerFlag.move, x, y }]);
  }

  /** Moves, presses and releases the left button. */
  click(x: number, y: number): void {
    const at = { kind: 'mouse', flags: 0, x, y } as const;
    this.input([
      { ...at, pointerFlags: PointerFlag.move },
      { ...at, pointerFlags: PointerFlag.button1 | PointerFlag.down },
      { ...at, pointerFlags: PointerFlag.button1 },
    ]);
  }

  /** Asks for the whole desktop again. */
  refresh(): void {
    const { width, height } = this.size;
    const areas = [{ left: 0, top: 0, right: width - 1, bottom: height - 1 }];
    const body = { pad3octets: new Uint8Array(3), areas };
    this.#send(this.#connector.shareData(PduType2.refreshRect, refreshRect, body));
  }

  /** Stops the server's updates (a minimized window), or lets them flow again. */
  suppress(isSuppressed: boolean): void {
    const { width, height } = this.size;
    const head = { pad3octets: new Uint8Array(3), allowDisplayUpdates: isSuppressed ? 0 : 1 };
    const desktopRect = { left: 0, top: 0, right: width - 1, bottom: height - 1 };
    const body = isSuppressed ? head : { ...head, desktopRect };
    this.#send(this.#connector.shareData(PduType2.suppressOutput, suppressOutput, body));
  }

  /** Asks the server to end the session, as a client does whose window is closed. */
  requestShutdown(): void {
    this.#send(this.#connector.shareData(PduType2.shutdownRequest, emptyBody, {}));
  }

  /** Sends a message on a static channel. */
  sendChannel(channelId: number, message: Uint8Array): void {
    this.#send(this.#connector.channelMessage(channelId, message));
  }

  /** Resolves with true after `count` more updates, or with false when none came for `quietMs` or the session ended. */
  async nextUpdates(count = 1, quietMs = 5000): Promise<boolean> {
    for (let i = 0; i < count; i += 1) if (!(await this.#nextUpdate(quietMs))) return false;
    return true;
  }

  #nextUpdate(quietMs: number): Promise<boolean> {
    const before = this.statistics.updatesCount;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        resolve(this.statistics.updatesCount > before);
      };
      let timer: NodeJS.Timeout | undefined;
      let leftMs = quietMs;
      // In pieces: while this process was kept from the processor nothing could come, and that was no quiet.
      const wait = (): void => {
        const pieceMs = Math.min(leftMs, QUIET_PIECE_MS);
        leftMs -= pieceMs;
        timer = setTimeout(leftMs <= 0 ? done : wait, pieceMs);
      };
      wait();
      this.#updateWaiters.push(done);
    });
  }

  /** Resolves once no update came for `quietMs`, or after `limitMs` where something always moves. */
  async settled(quietMs = 300, limitMs = 5000): Promise<void> {
    const end = Date.now() + limitMs;
    while (Date.now() < end && (await this.#nextUpdate(quietMs)));
  }

  /** What the client shows now: RGBA, top row first. Needs `screenshots: true`. */
  screenshot(): { width: number; height: number; rgba: Uint8Array } {
    if (!this.#decoder) throw new Error('connect with screenshots: true to take screenshots');
    const { pixels } = this.#decoder.screen;
    const { buffer, byteOffset, byteLength } = pixels.data;
    return { width: pixels.width, height: pixels.height, rgba: new Uint8Array(buffer, byteOffset, byteLength).slice() };
  }

  /** The same as a PNG file. */
  screenshotPng(): Buffer {
    const { width, height, rgba } = this.screenshot();
    const png = new PNG({ width, height });
    png.data.set(rgba);
    return PNG.sync.write(png);
  }

  /** What the decoder could not draw, by kind. */
  unsupported(): Map<string, number> {
    return new Map(this.#decoder?.screen.unsupported);
  }

  /** Says goodbye and closes. */
  async close(): Promise<ClientEnd> {
    if (this.#stream?.writable) {
      this.#send(this.#connector.disconnect());
      this.#stream.end();
    }
    const raw = this.#raw;
    const timer = setTimeout(() => raw?.destroy(), GOODBYE_MS);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  /** Drops the connection without a word, as a pulled cable does. */
  destroy(): void {
    this.#raw?.destroy();
  }
}

function routingLine(cookie: string | undefined, token: string | undefined): RoutingLine | undefined {
  if (token !== undefined) return { kind: 'msts', token };
  return cookie === undefined ? undefined : { kind: 'mstshash', name: cookie };
}

function keystrokes(character: string): FastPathInputEvent[] {
  const key = keyOf(character);
  if (!key) {
    const units = [...Array(character.length).keys()].map((i) => character.charCodeAt(i));
    return units.flatMap((unicodeCode) => [
      { kind: 'unicode', flags: 0, unicodeCode } as const,
      { kind: 'unicode', flags: 1, unicodeCode } as const,
    ]);
  }
  const press: FastPathInputEvent[] = [
    { kind: 'scancode', flags: 0, keyCode: key.scancode },
    { kind: 'scancode', flags: 1, keyCode: key.scancode },
  ];
  if (!key.shift) return press;
  return [
    { kind: 'scancode', flags: 0, keyCode: Scancode.leftShift },
    ...press,
    { kind: 'scancode', flags: 1, keyCode: Scancode.leftShift },
  ];
}
