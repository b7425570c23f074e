import { once } from 'node:events';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { connectFrameLength } from '@lucid-sessions/rdp';
import { makeCertificate } from './certificate.ts';

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
  readonly connectionsCount: number;
  stop(): Promise<void>;
}

interface Kept {
  clientToServer: Buffer[];
  serverToClient: Buffer[];
}

const keptBytesMax = 512 * 1024 * 1024;
const firstPduBytesMax = 65_536;

export async function startTap(target: { host: string; port: number }): Promise<Tap> {
  const certificate = await makeCertificate();
  const context = createSecureContext({ key: certificate.key, cert: certificate.cert });
  const connections: Kept[] = [];
  const open = new Set<Socket>();
  const server: Server = createServer((client) => {
    const kept: Kept = { clientToServer: [], serverToClient: [] };
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

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the tap has no port');
  return {
    port: address.port,
    certificateSha256: certificate.sha256,
    connection(index) {
      const kept = connections[index];
      if (kept === undefined) throw new RangeError(`the tap has seen ${connections.length} connections`);
      return { clientToServer: Buffer.concat(kept.clientToServer), serverToClient: Buffer.concat(kept.serverToClient) };
    },
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

function forward(from: TLSSocket, to: TLSSocket, kept: Buffer[]): void {
  let bytes = 0;
  from.on('data', (part: Buffer) => {
    bytes += part.length;
    if (bytes > keptBytesMax) from.destroy(new Error('the tap keeps at most 512 MiB'));
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
