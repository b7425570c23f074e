/**
 * Doors for people that stand on the API's port and lead to another service: the API passes an HTTP upgrade on, with the services'
 * secret and the client's address, and from the answer on the bytes as they come. Recorders pass clients on to each other the same way.
 */
import type { IncomingMessage, Server } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { mayEnter } from '@lucid-sessions/contract';
import type { ServiceGate } from './service-gate.ts';

/** Headers between those who pass clients on and the service; the API never takes them from outside. */
export const doorHeader = {
  clientAddress: 'x-lucid-client-address',
  /** What the client itself sent as `Authorization`. */
  authorization: 'x-lucid-client-authorization',
  /** The client's method, where it is not GET. */
  method: 'x-lucid-client-method',
  /** What a recorder knows of a client it passes on to another one. */
  passedClient: 'x-lucid-passed-client',
} as const;

export const doorPath = (name: string): string => `/doors/${name}`;

/** A client that has been passed on. Nothing is answered yet: that is the door's to do on `socket`, a whole HTTP head first. */
export interface DoorVisit {
  request: IncomingMessage;
  socket: Duplex;
  /** Bytes that came behind the request's head. */
  head: Buffer;
  /** An IP address. */
  clientAddress: string;
}

/** By name: what is behind `doorPath(name)`. */
export type Doors = Readonly<Record<string, (visit: DoorVisit) => void>>;

/** Answers an upgrade with an error and closes. */
export function refuseUpgrade(socket: Duplex, status: string, headers: readonly string[] = []): void {
  const head = [`HTTP/1.1 ${status}`, 'Connection: close', 'Content-Length: 0', ...headers];
  socket.on('error', () => {});
  socket.once('finish', () => socket.destroy());
  socket.end(`${head.join('\r\n')}\r\n\r\n`);
}

/** Serves `doors` beside what the server serves already. */
export function serveDoors(server: Server, gate: ServiceGate, doors: Doors): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => {});
    // A fault of the door's costs this connection.
    void open(request, socket, head).catch(() => socket.destroy());
  });

  async function open(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const name = /^\/doors\/([a-z]{1,20})$/.exec(request.url ?? '')?.[1] ?? '';
    try {
      await gate.admit(request, doorPath(name), (callers) => mayEnter(callers, name));
    } catch {
      refuseUpgrade(socket, '401 Unauthorized');
      return;
    }
    const door = Object.hasOwn(doors, name) ? doors[name] : undefined;
    const clientAddress = request.headers[doorHeader.clientAddress];
    if (door === undefined) refuseUpgrade(socket, '404 Not Found');
    else if (typeof clientAddress !== 'string' || isIP(clientAddress) === 0) refuseUpgrade(socket, '400 Bad Request');
    else door({ request, socket, head, clientAddress });
  }
}
