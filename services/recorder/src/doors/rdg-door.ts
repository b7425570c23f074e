/** The RD Gateway's door: a WebSocket, or two HTTP connections that belong together, from the API to `serveGateway`. */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { type DoorVisit, doorHeader, refuseUpgrade } from '@lucid-sessions/kit';
import { addressOf } from '../front-door/door-limits.ts';
import type { FrontDoor } from '../front-door/front-door.ts';
import { serveGateway } from './rd-gateway.ts';
import { TwoChannels } from './two-channels.ts';
import { acceptWebSocket } from './web-socket.ts';

/** A tunnel's requests: names of hosts, and a statement of health. */
const earlyBytesMax = 64 * 1024;
const connectionId = /^\{?[0-9A-Fa-f-]{32,40}\}?$/;
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: rdg\r\n\r\n';
/** [MS-TSGU] 3.3.5.1: what a client skips before the packets; ten bytes in practice. */
const seedBytes = 10;

export class RdgDoor {
  readonly #frontDoor: FrontDoor;
  /** Clients whose second connection is awaited, by address and the id they gave both. */
  readonly #halves = new Map<string, TwoChannels>();

  constructor(frontDoor: FrontDoor) {
    this.#frontDoor = frontDoor;
  }

  enter = (visit: DoorVisit): void => {
    const method = visit.request.headers[doorHeader.method];
    if (method === 'RDG_OUT_DATA') this.#out(visit);
    else if (method === 'RDG_IN_DATA') this.#in(visit);
    else this.#webSocket(visit);
  };

  #webSocket(visit: DoorVisit): void {
    const accepted = acceptWebSocket(visit, { earlyBytesMax });
    if (accepted === null) return;
    const { stream, letIn } = accepted;
    this.#receive(stream, visit.clientAddress, letIn);
  }

  #receive(stream: Duplex, ip: string, letIn: () => void): void {
    const caller = { stream, clientAddress: addressOf(ip), route: null };
    this.#frontDoor.receive(caller, (_caller, context) => serveGateway(caller, context, letIn));
  }

  #out(visit: DoorVisit): void {
    const key = keyOf(visit);
    if (key === null || this.#halves.has(key)) {
      refuseUpgrade(visit.socket, key === null ? '400 Bad Request' : '409 Conflict');
      return;
    }
    const stream = new TwoChannels(visit.socket);
    this.#halves.set(key, stream);
    // A later pair may have the id by then.
    stream.once('close', () => this.#halves.get(key) === stream && this.#halves.delete(key));
    visit.socket.write(switching);
    visit.socket.write(randomBytes(seedBytes));
    this.#receive(stream, visit.clientAddress, () => {});
  }

  /** Its first connection waits for it, and for no other of its kind. */
  #in(visit: DoorVisit): void {
    const { socket, head } = visit;
    const key = keyOf(visit);
    const first = key === null ? undefined : this.#halves.get(key);
    if (first === undefined) {
      refuseUpgrade(socket, '404 Not Found');
      return;
    }
    this.#halves.delete(key!);
    socket.write(switching);
    if (head.length > 0) socket.unshift(head);
    first.attach(socket);
  }
}

/** Null where the client gave no id. */
function keyOf({ request, clientAddress }: DoorVisit): string | null {
  const id = request.headers['rdg-connection-id'];
  return typeof id === 'string' && connectionId.test(id) ? `${clientAddress} ${id.toLowerCase()}` : null;
}
