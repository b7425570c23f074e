import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import type { FarEnd } from '../suites/peer.ts';

const certificate = await makeCertificate('pump');
const secureContext = createSecureContext({ key: certificate.key, cert: certificate.cert });

/** Two ends of one connection on the loopback. */
export async function socketPair(t: TestContext, tls: boolean): Promise<{ near: Socket; far: Socket }> {
  const server = createServer({ noDelay: true, pauseOnConnect: !tls });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const raw = connect(port, '127.0.0.1');
  const other = await accepted;
  server.close();
  const near = tls ? new TLSSocket(other, { isServer: true, secureContext }) : other;
  const far = tls ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw;
  if (tls) await new Promise((resolve) => far.once('secureConnect', resolve));
  for (const socket of [near, far, raw, other]) socket.on('error', () => {});
  t.after(() => {
    near.destroy();
    far.destroy();
  });
  return { near, far };
}

export function farEnd(socket: Socket): FarEnd {
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  const gone = new Promise<void>((resolve) => {
    socket.once('end', () => resolve()).once('close', () => resolve());
  });
  return {
    send: (bytes) => void socket.write(bytes),
    received: () => Buffer.concat(pieces),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => void socket.end(),
    cut: () => void socket.destroy(),
    gone,
  };
}
