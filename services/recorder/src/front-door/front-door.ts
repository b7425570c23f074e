/** The TCP listeners, and the bounds on how many connections there may be that are no session yet. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { ListenerRule } from '../config.ts';
import { addressOf, serveConnection } from './connection.ts';
import { clientGroup, DoorLimits, type DoorLimitsOptions } from './door-limits.ts';
import type { ConnectionContext } from './ready-connection.ts';

export interface ListenAddress {
  host: string;
  port: number;
  target: string | null;
}

export interface FrontDoorOptions extends Omit<DoorLimitsOptions, 'nowMs'> {
  /** A connection was closed because its address has too many. */
  onOverLimit: (clientAddress: string) => void;
}

/** The kernel holds connections that come while others are being taken; it cuts this at its own limit. */
const backlog = 4096;

export class FrontDoor {
  readonly #context: ConnectionContext;
  readonly #options: FrontDoorOptions;
  readonly #limits: DoorLimits;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  constructor(context: ConnectionContext, options: FrontDoorOptions) {
    this.#context = context;
    this.#options = options;
    this.#limits = new DoorLimits({ ...options, nowMs: () => performance.now() });
  }

  /** Connections that are no session yet. */
  get waitingCount(): number {
    return this.#limits.waitingCount;
  }

  async listen(rules: readonly ListenerRule[]): Promise<ListenAddress[]> {
    const addresses: ListenAddress[] = [];
    for (const rule of rules) {
      const { host, port, target } = rule;
      const server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true });
      server.on('connection', (socket) => this.#take(socket, rule));
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, backlog }, resolve);
      });
      // Out of file descriptors, say: the connection is lost, the listener goes on.
      server.on('error', (error) => this.#context.onProblem(`listener ${host}:${port}: ${error.message}`));
      this.#servers.push(server);
      const bound = server.address() as AddressInfo;
      addresses.push({ host: bound.address, port: bound.port, target });
    }
    return addresses;
  }

  #take(socket: Socket, rule: ListenerRule): void {
    socket.on('error', () => {});
    const group = clientGroup(socket.remoteAddress ?? 'unknown');
    if (!this.#limits.enter(group, socket)) {
      const address = addressOf(socket);
      socket.destroy();
      this.#options.onOverLimit(address);
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#limits.leave(group, socket);
    });
    void this.#serve(socket, rule, group);
  }

  async #serve(socket: Socket, rule: ListenerRule, group: string): Promise<void> {
    try {
      await serveConnection(socket, rule, this.#context);
    } catch (error) {
      this.#context.onProblem(`a connection failed: ${(error as Error).stack ?? String(error)}`);
      socket.destroy();
    }
    this.#limits.leave(group, socket);
  }

  /** Takes no more connections; those that are there go on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }

  /** Cuts what is left. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
