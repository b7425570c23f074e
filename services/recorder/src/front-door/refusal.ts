/** Telling a client no, so that its user reads why. */
import type { Socket } from 'node:net';
import { Acceptor, type AcceptorEvent, Protocol } from '@lucid-sessions/rdp';
import { acceptTls } from './client-tls.ts';
import type { GatewayIdentity } from './identity.ts';

/**
 * Finishes the client's connection sequence on the gateway's own account, then sends Set Error Info and disconnects.
 * `request` is the client's X.224 request; nothing has been answered yet. Never rejects: a client that leaves earlier, or
 * that `signal` is too slow for, is just closed.
 */
export async function refuseClient(
  tcp: Socket,
  request: Uint8Array,
  identity: GatewayIdentity,
  errorInfo: number,
  signal: AbortSignal,
): Promise<void> {
  const acceptor = new Acceptor({ protocols: Protocol.ssl });
  try {
    const { output, events } = acceptor.step(request);
    tcp.write(output);
    if (!events.some((event) => event.kind === 'startTls')) return closeGently(tcp);
    const socket = await acceptTls(tcp, identity, signal);
    acceptor.tlsEstablished();
    acceptor.refuse(errorInfo);
    await drive(socket, acceptor, signal);
    closeGently(socket);
  } catch {
    tcp.destroy();
  }
}

/** Feeds the acceptor until it has said everything. */
function drive(socket: Socket, acceptor: Acceptor, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (event: AcceptorEvent): boolean => event.kind === 'ended';
    const onAbort = (): void => reject(new Error('the client was too slow to be told'));
    signal.addEventListener('abort', onAbort);
    socket.on('error', reject).on('close', () => reject(new Error('the client left')));
    socket.on('data', (bytes: Buffer) => {
      try {
        const { output, events } = acceptor.step(bytes);
        if (output.length > 0) socket.write(output);
        if (events.some(over)) resolve();
      } catch (error) {
        reject(error as Error);
      }
    });
  });
}

const lingerMs = 1000;

/** Sends what is queued, then closes; a peer that does not close its side is cut off. */
export function closeGently(socket: Socket): void {
  if (socket.destroyed) return;
  socket.on('error', () => {});
  socket.end();
  // Unread data would turn the close into a reset, and the peer might lose our last words.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once('close', () => clearTimeout(timer));
}
