import { once } from 'node:events';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { connectFrameLength } from '@lucid-sessions/rdp';

/**
 * An independent witness on the wire between gateway and server: ends TLS on both sides, passes bytes on as they come and
 * keeps them. Knows nothing of RDP beyond the X.224 exchange that comes before TLS.
 */
export interface Tap {
  readonly port: number;
  /** Of the certificate it shows, lower-case hex. */
  readonly certificateSha256: string;
  /** What crossed in the `index`-th connection, in clear. */
  connection(index: number): { clientToServer: Buffer; serverToClient: Buffer };
  /** How many bytes had crossed by `atMs` (`performance.now()` of this process). */
  crossedBy(index: number, atMs: number): { clientToServer: number; serverToClient: number };
  /** When the byte at `offset` crossed; null when it never did. */
  crossedAtMs(index: number, direction: 'clientToServer' | 'serverToClient', offset: number): number | null;
  readonly connectionsCount: number;
  stop(): Promise<void>;
}

interface Kept {
  clientToServer: Stream;
  serverToClient: Stream;
}

/** The parts of one direction and when each came. */
class Stream {
  readonly parts: Buffer[] = [];
  readonly #arrivals: { atMs: number; bytes: number }[] = [];
  bytes = 0;

  push(part: Buffer): void {
    this.parts.push(part);
    this.bytes += part.length;
    this.#arrivals.push({ atMs: performance.now(), bytes: this.bytes });
  }

  crossedBy(atMs: number): number {
    return this.#arrivals.findLast((arrival) => arrival.atMs <= atMs)?.bytes ?? 0;
  }

  crossedAtMs(offset: number): number | null {
    return this.#arrivals.find((arrival) => arrival.bytes > offset)?.atMs ?? null;
  }
}

const keptBytesMax = 512 * 1024 * 1024;
const firstPduBytesMax = 65_536;

export async function startTap(target: { host: string; port: number }): Promise<Tap> {
  const certificate = await makeCertificate();
  const context = createSecureContext({ key: certificate.key, cert: certificate.cert });
  const connections: Kept[] = [];
  const open = new Set<Socket>();
  const server: Server = createServer((client) => {
    const kept: Kept = { clientToServer: new Stream(), serverToClient: new Stream() };
    connections.push(kept);
    const upstream = connectTcp(target);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {
        client.destroy();
        upstream.destroy();
      });
      socket.on('close', () => open.delete(socket));
    }
    void pass(client, upstream, kept).catch(() => {
      client.destroy();
      upstream.destroy();
    });
  });

  async function pass(client: Socket, upstream: Socket, kept: Kept): Promise<void> {
    const request = await firstPdu(client);
    kept.clientToServer.push(request);
    upstream.write(request);
    const confirm = await firstPdu(upstream);
    kept.serverToClient.push(confirm);
    client.write(confirm);
    const near = new TLSSocket(client, { isServer: true, secureContext: context });
    const far = connectTls({ socket: upstream, rejectUnauthorized: false });
    await Promise.all([once(near, 'secure'), once(far, 'secureConnect')]);
    forward(near, far, kept.clientToServer);
    forward(far, near, kept.serverToClient);
  }

  const keptOf = (index: number): Kept => {
    const kept = connections[index];
    if (kept === undefined) throw new RangeError(`the tap has seen ${connections.length} connections`);
    return kept;
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the tap has no port');
  return {
    port: address.port,
    certificateSha256: certificate.sha256,
    connection(index) {
      const { clientToServer, serverToClient } = keptOf(index);
      return {
        clientToServer: Buffer.concat(clientToServer.parts),
        serverToClient: Buffer.concat(serverToClient.parts),
      };
    },
    crossedBy(index, atMs) {
      const { clientToServer, serverToClient } = keptOf(index);
      return { clientToServer: clientToServer.crossedBy(atMs), serverToClient: serverToClient.crossedBy(atMs) };
    },
    crossedAtMs: (index, direction, offset) => keptOf(index)[direction].crossedAtMs(offset),
    get connectionsCount() {
      return connections.length;
    },
    async stop() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function forward(from: TLSSocket, to: TLSSocket, kept: Stream): void {
  from.on('data', (part: Buffer) => {
    if (kept.bytes + part.length > keptBytesMax) from.destroy(new Error('the tap keeps at most 512 MiB'));
    kept.push(part);
    if (!to.write(part)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  });
  from.on('end', () => to.end());
  from.on('error', () => to.destroy());
}

/** The X.224 PDU a socket begins with; what follows it stays in the socket. */
async function firstPdu(socket: Socket): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const part: Buffer | null = socket.read();
    if (part === null) {
      if (socket.readableEnded || socket.destroyed) throw new Error('closed before TLS');
      await Promise.race([once(socket, 'readable'), once(socket, 'close')]);
      continue;
    }
    bytes = Buffer.concat([bytes, part]);
    const length = connectFrameLength(bytes, 0, bytes.length);
    if (length > firstPduBytesMax) throw new Error('the first PDU is too long');
    if (length > 0 && bytes.length >= length) {
      if (bytes.length > length) socket.unshift(bytes.subarray(length));
      return bytes.subarray(0, length);
    }
  }
}
