/** A WebSocket and the stream the gateway makes of it, without the API in between. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { acceptWebSocket, type BoundedStream } from '../../src/doors/web-socket.ts';
import type { FarEnd } from '../suites/peer.ts';

/** Takes one client. */
export async function webSocketServer(
  t: TestContext,
  earlyBytesMax: number,
): Promise<{ port: number; accepted: Promise<BoundedStream>; refused: Promise<void> }> {
  const accepted = Promise.withResolvers<BoundedStream>();
  const refused = Promise.withResolvers<void>();
  const server = createServer();
  server.once('upgrade', (request, socket, head) => {
    const near = acceptWebSocket({ request, socket, head, clientAddress: '127.0.0.1' }, { earlyBytesMax });
    if (near === null) refused.resolve();
    else accepted.resolve(near);
    server.close();
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, accepted: accepted.promise, refused: refused.promise };
}

export async function webSocketPair(
  t: TestContext,
  earlyBytesMax: number,
): Promise<{ near: BoundedStream; far: WebSocket }> {
  const { port, accepted } = await webSocketServer(t, earlyBytesMax);
  const far = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false });
  far.on('error', () => {});
  const opened = new Promise((resolve) => far.once('open', resolve));
  const near = await accepted;
  await opened;
  near.stream.on('error', () => {});
  t.after(() => {
    near.stream.destroy();
    far.terminate();
  });
  return { near, far };
}

export function webSocketFarEnd(far: WebSocket): FarEnd {
  const pieces: Buffer[] = [];
  far.on('message', (data) => pieces.push(data as Buffer));
  const gone = new Promise<void>((resolve) => far.once('close', () => resolve()));
  return {
    send: (bytes) => far.send(Buffer.from(bytes)),
    received: () => Buffer.concat(pieces),
    pause: () => far.pause(),
    resume: () => far.resume(),
    end: () => far.close(),
    cut: () => far.terminate(),
    gone,
  };
}
