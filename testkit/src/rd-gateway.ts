/**
 * A client of an RD Gateway ([MS-TSGU] over HTTP) that says what a test wants it to: over a WebSocket, or on two connections as
 * clients without one. `startTunnel` lends it to RDP clients that know of no gateway.
 */
import { randomUUID } from 'node:crypto';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { dataPackets, ExtendedAuth, type GatewayPacket, gatewayPacket } from '@lucid-sessions/rdp';
import { decode, encode } from '@lucid-sessions/wire';

export type TunnelForm = 'webSocket' | 'twoConnections';

export interface TunnelOptions {
  /** http:// or https:// and the host. */
  url: string;
  form: TunnelForm;
  cookie: string;
  /** What it asks to reach. */
  host: string;
  port: number;
}

/** What carries packets: bytes both ways. */
interface Carrier {
  send(bytes: Uint8Array): void;
  close(): void;
}

const path = '/remoteDesktopGateway/';
export const gatewayName = (text: string): Uint8Array => Buffer.from(`${text}\0`, 'utf16le');

export class GatewayClient {
  readonly #carrier: Promise<Carrier>;
  readonly #packets: GatewayPacket[] = [];
  #gathered = Buffer.alloc(0);
  #wake: () => void = () => {};
  #closed = false;
  onData: (bytes: Uint8Array) => void = () => {};
  onClosed: () => void = () => {};

  constructor({ url, form }: Pick<TunnelOptions, 'url' | 'form'>) {
    const take = (bytes: Buffer): void => this.#take(bytes);
    const over = (): void => this.#over();
    this.#carrier = form === 'webSocket' ? openWebSocket(url, take, over) : openTwo(url, take, over);
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  async send(...packets: GatewayPacket[]): Promise<void> {
    await this.sendBytes(Buffer.concat(packets.map((packet) => encode(gatewayPacket, packet))));
  }

  async sendBytes(bytes: Uint8Array): Promise<void> {
    (await this.#carrier).send(bytes);
  }

  /** The next packet that is no data; null when the gateway closed. */
  async next(): Promise<GatewayPacket | null> {
    while (this.#packets.length === 0 && !this.#closed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#packets.shift() ?? null;
  }

  async ask(packet: GatewayPacket): Promise<GatewayPacket | null> {
    await this.send(packet);
    return this.next();
  }

  /** Up to the open channel. Answers the HRESULT it was refused with; 0: it is open. */
  async open({ cookie, host, port }: Pick<TunnelOptions, 'cookie' | 'host' | 'port'>): Promise<number> {
    for (const request of requestsFor(cookie, host, port)) {
      const answer = await this.ask(request);
      const code = answer === null ? -1 : 'errorCode' in answer ? answer.errorCode : 0;
      if (code !== 0) return code;
    }
    return 0;
  }

  async close(): Promise<void> {
    (await this.#carrier).close();
  }

  #take(bytes: Buffer): void {
    this.#gathered = Buffer.concat([this.#gathered, bytes]);
    while (this.#gathered.length >= 8 && this.#gathered.length >= this.#gathered.readUInt32LE(4)) {
      const length = this.#gathered.readUInt32LE(4);
      const packet = decode(gatewayPacket, new Uint8Array(this.#gathered.subarray(0, length)));
      this.#gathered = this.#gathered.subarray(length);
      if (packet.kind === 'data') this.onData(packet.data);
      else this.#packets.push(packet);
    }
    this.#wake();
  }

  #over(): void {
    this.#closed = true;
    this.#wake();
    this.onClosed();
  }
}

/** What a client says, in order. */
export function requestsFor(cookie: string, host: string, port: number): GatewayPacket[] {
  return [
    { kind: 'handshakeRequest', versionMajor: 1, versionMinor: 0, clientVersion: 0, extendedAuth: ExtendedAuth.paa },
    { kind: 'tunnelCreate', capabilities: 0x3f, fieldsPresent: 1, reserved: 0, paaCookie: gatewayName(cookie) },
    { kind: 'tunnelAuth', fieldsPresent: 0, clientName: gatewayName('laptop') },
    { kind: 'channelCreate', port, protocol: 3, resources: [gatewayName(host)], alternatives: [] },
  ];
}

async function openWebSocket(url: string, take: (bytes: Buffer) => void, over: () => void): Promise<Carrier> {
  const socket = new WebSocket(new URL(path, url.replace(/^http/, 'ws')));
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('message', ({ data }) => take(Buffer.from(data as ArrayBuffer)));
  socket.addEventListener('close', over);
  await new Promise<void>((resolve) => {
    socket.addEventListener('open', () => resolve());
    socket.addEventListener('error', () => resolve());
  });
  return { send: (bytes) => socket.send(new Uint8Array(bytes)), close: () => socket.close() };
}

/** Raw connections: no HTTP client knows these methods. */
async function openTwo(url: string, take: (bytes: Buffer) => void, over: () => void): Promise<Carrier> {
  const id = `{${randomUUID()}}`;
  const [out, incoming] = [dial(url), dial(url)];
  for (const socket of [out, incoming]) socket.on('error', () => {});
  out.once('close', over);
  incoming.once('close', () => out.destroy());
  out.write(rdgHead('RDG_OUT_DATA', id, 'Content-Length: 0'));
  // The answer, and ten bytes of anything.
  await skip(out, 10);
  out.on('data', take);
  incoming.write(rdgHead('RDG_IN_DATA', id, 'Content-Length: 0'));
  await skip(incoming, 0);
  incoming.write(rdgHead('RDG_IN_DATA', id, 'Transfer-Encoding: chunked'));
  return {
    send: (bytes) => incoming.write(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, crlf])),
    close: () => {
      incoming.destroy();
      out.destroy();
    },
  };
}

const crlf = Buffer.from('\r\n');

export const rdgHead = (method: string, id: string, ...lines: string[]): string =>
  `${[`${method} ${path} HTTP/1.1`, 'Host: gateway', `RDG-Connection-Id: ${id}`, ...lines].join('\r\n')}\r\n\r\n`;

function dial(url: string): Socket {
  const { protocol, hostname, port } = new URL(url);
  const address = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
  return protocol === 'https:' ? connectTls({ ...address, rejectUnauthorized: false }) : connectTcp(address);
}

/** Passes over the head of an answer and `more` bytes behind it. */
async function skip(socket: Socket, more: number): Promise<void> {
  let gathered = Buffer.alloc(0);
  for await (const bytes of socket.iterator({ destroyOnReturn: false })) {
    gathered = Buffer.concat([gathered, bytes as Buffer]);
    const end = gathered.indexOf('\r\n\r\n');
    if (end < 0 || gathered.length < end + 4 + more) continue;
    const rest = gathered.subarray(end + 4 + more);
    if (rest.length > 0) socket.unshift(rest);
    return;
  }
}

/** The channel of an open tunnel as a stream. */
function channelOf(client: GatewayClient): Duplex {
  const stream = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      client.sendBytes(Buffer.concat(dataPackets(bytes))).then(
        () => done(),
        (error: Error) => done(error),
      );
    },
    final(done) {
      void client.close();
      done();
    },
    destroy(error, done) {
      void client.close();
      done(error);
    },
  });
  client.onData = (bytes) => stream.push(bytes);
  client.onClosed = () => stream.push(null);
  return stream;
}

/** A port on this machine whose connections go through the gateway, each by a tunnel of its own. */
export async function startTunnel(options: TunnelOptions): Promise<{ port: number; refusals: number[]; stop(): void }> {
  const refusals: number[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
    const client = new GatewayClient(options);
    void client.open(options).then((code) => {
      if (code === 0) {
        const channel = channelOf(client).on('error', () => {});
        socket.pipe(channel).pipe(socket);
        return;
      }
      refusals.push(code);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: address !== null && typeof address === 'object' ? address.port : 0,
    refusals,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
