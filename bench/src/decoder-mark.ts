/** A desktop that sends one stream to one client, frame after frame, as fast as frames are acknowledged, and keeps what crossed the wire. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { type GfxPdu, gfxPdu } from '@lucid-sessions/graphics';
import {
  Acceptor,
  type AcceptorEvent,
  BitmapCodecGuid,
  type CapabilitySet,
  DYNAMIC_CHANNEL_NAME,
  type DynamicChannelPdu,
  dynamicChannelClientPdu,
  dynamicChannelServerPdu,
  type FastPathUpdate,
  FastPathUpdateCode,
  Fragmentation,
  frameAcknowledge,
  PduType2,
  Protocol,
  SurfaceCommandFlag,
  serverCapabilities,
  widthCode,
} from '@lucid-sessions/rdp';
import { type PeerClient, startXfreerdp } from '@lucid-sessions/testkit';
import { gfxMessage, pdu } from '@lucid-sessions/testkit/graphics-encoders';
import { decode, encode, Writer } from '@lucid-sessions/wire';
import { type DecoderStream, type StreamFrame, type SurfacePiece, surfaceId } from './decoder-streams.ts';

const width = 1920;
const height = 1080;
const graphicsChannelId = 1;
/** Acknowledged late: the client never waits for the server. */
const framesInFlightMax = 2;
const fragmentBytesMax = 30_000;
/** Data of one static channel chunk, 1600 bytes with the dynamic channel's header. */
const dynamicDataBytesMax = 1590;
const ackTimeoutMs = 60_000;
/** /proc/PID/stat counts in USER_HZ, which Linux fixes at 100. */
const ticksPerSecond = 100;

export interface WirePiece {
  readonly fromServer: boolean;
  readonly bytes: Uint8Array;
}

export interface MarkResult {
  readonly framesPerCpuSecond: number;
  /** Both directions from the first byte to before the first frame. */
  readonly connection: readonly WirePiece[];
  /** One frame as it was sent. */
  readonly frame: Uint8Array;
}

/** Sends `stream` to a new xfreerdp until its process has used `seconds` of processor time on it. */
export async function measureFreeRdp(stream: DecoderStream, seconds: number): Promise<MarkResult> {
  const { key, cert } = await makeCertificate('bench');
  const secure = createSecureContext({ key, cert });
  const server = createServer({ noDelay: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connected = connection(server, stream, secure);
  const size = [`/w:${width}`, `/h:${height}`];
  const client = await startXfreerdp(`127.0.0.1:${port}`, ...size, '/gdi:sw', '/sec:tls', ...stream.clientFlags);
  try {
    return await drive(await connected, client, seconds);
  } catch (error) {
    throw new Error(`${stream.name}: ${error instanceof Error ? error.message : error}\n${client.log('client')}`);
  } finally {
    server.close();
    await client.stop();
  }
}

async function drive(desktop: MarkDesktop, client: PeerClient, seconds: number): Promise<MarkResult> {
  await within(desktop.ready, 'the client did not become ready');
  const frame = desktop.frame(1);
  await desktop.send(5);
  const started = cpuSeconds(client.pid);
  let frames = 0;
  let used = 0;
  while (used < seconds) {
    await desktop.send(10);
    frames += 10;
    used = cpuSeconds(client.pid) - started;
  }
  return { framesPerCpuSecond: frames / used, connection: desktop.connection, frame };
}

/** Processor time of all threads of a process, user and system. */
function cpuSeconds(pid: number): number {
  // Fields count from behind the name, which may hold anything: [proc_pid_stat(5)] utime and stime.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const timeout = AbortSignal.timeout(ackTimeoutMs);
  return await Promise.race([promise, once(timeout, 'abort').then(() => Promise.reject(new Error(what)))]);
}

async function connection(server: Server, stream: DecoderStream, secure: ReturnType<typeof createSecureContext>) {
  const [socket] = (await once(server, 'connection')) as [Socket];
  return new MarkDesktop(socket, stream, secure);
}

class MarkDesktop {
  readonly connection: WirePiece[] = [];
  readonly ready: Promise<void>;
  readonly #acceptor: Acceptor;
  readonly #stream: DecoderStream;
  readonly #secure: ReturnType<typeof createSecureContext>;
  #socket: Socket;
  #setReady: () => void = () => {};
  #fail: (error: Error) => void = () => {};
  #isReady = false;
  #codecId = 0;
  #channelId = 0;
  #sent = 0;
  #acknowledged = 0;
  #onAck: () => void = () => {};

  constructor(socket: Socket, stream: DecoderStream, secure: ReturnType<typeof createSecureContext>) {
    this.#stream = stream;
    this.#secure = secure;
    this.#socket = socket;
    this.ready = new Promise((resolve, reject) => {
      this.#setReady = resolve;
      this.#fail = reject;
    });
    this.#acceptor = new Acceptor({
      protocols: Protocol.ssl,
      desktop: { width, height },
      bitsPerPixel: stream.bitsPerPixel,
      capabilitySets: (shape) => [...serverCapabilities(shape), ...codecCapabilities],
    });
    this.#listen(socket);
  }

  /** Sends this many frames and waits until all are acknowledged. */
  async send(frames: number): Promise<void> {
    const end = this.#sent + frames;
    while (this.#acknowledged < end) {
      while (this.#sent < end && this.#sent - this.#acknowledged < framesInFlightMax) {
        this.#sent += 1;
        this.#write(this.frame(this.#sent));
      }
      const acknowledged = new Promise<void>((resolve) => {
        this.#onAck = resolve;
      });
      await within(acknowledged, `frame ${this.#acknowledged + 1} was not acknowledged`);
    }
  }

  /** The stream's frame under this number, as bytes to send. */
  frame(frameId: number): Uint8Array {
    const { frame } = this.#stream;
    if (frame.kind === 'gfx')
      return this.#graphics(
        pdu('startFrame', { timestamp: 0, frameId }),
        ...frame.commands,
        pdu('endFrame', { frameId }),
      );
    const updates = frame.kind === 'updates' ? frame.updates : surfaceUpdates(frame, this.#codecId);
    const pieces = [
      this.#update(FastPathUpdateCode.surfaceCommands, frameMarker(0, frameId)),
      ...updates.map(({ isSurface, data }) =>
        this.#update(isSurface ? FastPathUpdateCode.surfaceCommands : FastPathUpdateCode.bitmap, data),
      ),
      this.#update(FastPathUpdateCode.surfaceCommands, frameMarker(1, frameId)),
    ];
    return Buffer.concat(pieces);
  }

  #write(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (!this.#isReady) this.connection.push({ fromServer: true, bytes });
    this.#socket.write(bytes);
  }

  #listen(socket: Socket): void {
    this.#socket = socket;
    socket.on('data', (bytes: Buffer) => this.#input(bytes));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the client closed the connection')));
  }

  #input(bytes: Buffer): void {
    if (!this.#isReady) this.connection.push({ fromServer: false, bytes });
    const { output, events } = this.#acceptor.step(bytes);
    this.#write(output);
    for (const event of events) this.#event(event);
  }

  #event(event: AcceptorEvent): void {
    if (event.kind === 'startTls') {
      this.#socket.removeAllListeners('data');
      if (event.rest.length > 0) this.#socket.unshift(event.rest);
      const secured = new TLSSocket(this.#socket, { isServer: true, secureContext: this.#secure });
      this.#acceptor.tlsEstablished();
      this.#listen(secured);
    } else if (event.kind === 'connectInitial') {
      this.#channelId = event.channels.find(({ name }) => name === DYNAMIC_CHANNEL_NAME)?.channelId ?? 0;
    } else if (event.kind === 'active') {
      this.#active(event.capabilitySets);
    } else if (event.kind === 'shareData' && event.pdu.pduType2 === PduType2.frameAcknowledge) {
      this.#ack(decode(frameAcknowledge, event.pdu.data).frameId);
    } else if (event.kind === 'channelData' && event.channelId === this.#channelId) {
      this.#dynamic(decode(dynamicChannelClientPdu, event.chunk.data));
    }
  }

  #active(capabilitySets: readonly CapabilitySet[]): void {
    const { frame } = this.#stream;
    if (frame.kind === 'gfx') {
      this.#channelPdu({ kind: 'capabilities', cbId: 0, sp: 0, pad: 0, version: 1 });
      return;
    }
    if (frame.kind === 'surface') {
      const codecs = capabilitySets.flatMap((set) => (set.kind === 'bitmapCodecs' ? set.bitmapCodecs : []));
      const codec = codecs.find(({ codecGuid }) => Buffer.from(codecGuid).toString('hex') === frame.guid);
      if (codec === undefined) {
        this.#fail(new Error('the client did not announce the codec'));
        return;
      }
      this.#codecId = codec.codecId;
    }
    this.#becomeReady();
  }

  #dynamic(message: DynamicChannelPdu): void {
    if (message.kind === 'capabilities') {
      const channelName = 'Microsoft::Windows::RDS::Graphics';
      this.#channelPdu({ kind: 'createRequest', cbId: 0, sp: 0, channelId: graphicsChannelId, channelName });
    }
    if (message.kind !== 'data' || message.channelId !== graphicsChannelId) return;
    const command = decode(gfxPdu, message.data);
    if (command.kind === 'frameAcknowledge') this.#ack(command.body.frameId);
    if (command.kind !== 'capsAdvertise') return;
    const monitors = [{ left: 0, top: 0, right: width - 1, bottom: height - 1, flags: 1 }];
    const pad = new Uint8Array(340 - 8 - 12 - 20);
    this.#write(
      this.#graphics(
        pdu('capsConfirm', { capsSet: command.body.capsSets[0]! }),
        pdu('resetGraphics', { width, height, monitors, pad }),
        pdu('createSurface', { surfaceId, width, height, pixelFormat: 0x20 }),
        pdu('mapSurfaceToOutput', { surfaceId, reserved: 0, outputOriginX: 0, outputOriginY: 0 }),
      ),
    );
    this.#becomeReady();
  }

  #becomeReady(): void {
    this.#isReady = true;
    this.#setReady();
  }

  #ack(frameId: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, frameId);
    this.#onAck();
  }

  #channelPdu(message: DynamicChannelPdu): void {
    this.#write(this.#acceptor.channelMessage(this.#channelId, encode(dynamicChannelServerPdu, message)));
  }

  #graphics(...commands: readonly GfxPdu[]): Uint8Array {
    const message = gfxMessage(...commands);
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < message.length; at += dynamicDataBytesMax) {
      const data = message.subarray(at, at + dynamicDataBytesMax);
      const head = { cbId: 0, channelId: graphicsChannelId, data } as const;
      const isWhole = data.length === message.length;
      const piece: DynamicChannelPdu =
        at === 0 && !isWhole
          ? { ...head, kind: 'dataFirst', sp: widthCode(message.length), length: message.length }
          : { ...head, kind: 'data', sp: 0 };
      pieces.push(this.#acceptor.channelMessage(this.#channelId, encode(dynamicChannelServerPdu, piece)));
    }
    return Buffer.concat(pieces);
  }

  /** One update, in fragments where a fast-path PDU can't hold it. */
  #update(updateCode: number, whole: Uint8Array): Uint8Array {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < whole.length; at += fragmentBytesMax) {
      const data = whole.subarray(at, at + fragmentBytesMax);
      const isLast = at + data.length === whole.length;
      const { single, first, next, last } = Fragmentation;
      const fragmentation = at === 0 ? (isLast ? single : first) : isLast ? last : next;
      const update: FastPathUpdate = { updateCode, fragmentation, compression: 0, data };
      pieces.push(this.#acceptor.fastPath([update]));
    }
    return Buffer.concat(pieces);
  }
}

const guid = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));

/** What a server says that has surface commands with NSCodec and RemoteFX, and wants frames acknowledged. */
const codecCapabilities: CapabilitySet[] = [
  {
    kind: 'surfaceCommands',
    cmdFlags: SurfaceCommandFlag.setSurfaceBits | SurfaceCommandFlag.frameMarker | SurfaceCommandFlag.streamSurfaceBits,
    reserved: 0,
  },
  {
    kind: 'bitmapCodecs',
    bitmapCodecs: [
      { codecGuid: guid(BitmapCodecGuid.nsCodec), codecId: 1, codecProperties: Uint8Array.of(1, 1, 3) },
      { codecGuid: guid(BitmapCodecGuid.remoteFx), codecId: 0, codecProperties: new Uint8Array(4) },
      { codecGuid: guid(BitmapCodecGuid.imageRemoteFx), codecId: 0, codecProperties: new Uint8Array(4) },
    ],
  },
  { kind: 'frameAcknowledge', maxUnacknowledgedFrameCount: framesInFlightMax },
];

/** TS_FRAME_MARKER, [MS-RDPBCGR] 2.2.9.2.3: action 0 begins a frame, 1 ends it. */
function frameMarker(action: 0 | 1, frameId: number): Uint8Array {
  return new Writer().u16le(4).u16le(action).u32le(frameId).bytes();
}

function surfaceUpdates({ pieces }: Extract<StreamFrame, { kind: 'surface' }>, codecId: number) {
  return pieces.map((piece) => ({ isSurface: true, data: surfaceBits(piece, codecId) }));
}

/** TS_SURFCMD_SET_SURF_BITS, [MS-RDPBCGR] 2.2.9.2.1. */
function surfaceBits({ left, top, width, height, data }: SurfacePiece, codecId: number): Uint8Array {
  const writer = new Writer().u16le(1);
  for (const value of [left, top, left + width, top + height]) writer.u16le(value);
  writer.u8(32).u8(0).u8(0).u8(codecId).u16le(width).u16le(height);
  return writer.u32le(data.length).slice(data).bytes();
}
