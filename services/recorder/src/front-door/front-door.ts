/** The TCP listeners, and the bound on how many connections there may be. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { ListenerRule } from '../config.ts';
import { type ConnectionContext, serveConnection } from './connection.ts';

export interface ListenAddress {
  host: string;
  port: number;
  target: string | null;
}

export class FrontDoor {
  readonly #context: ConnectionContext;
  readonly #connectionsMax: number;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  constructor(context: ConnectionContext, connectionsMax: number) {
    this.#context = context;
    this.#connectionsMax = connectionsMax;
  }

  async listen(rules: readonly ListenerRule[]): Promise<ListenAddress[]> {
    const addresses: ListenAddress[] = [];
    for (const rule of rules) {
      const { host, port, target } = rule;
      const server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true, pauseOnConnect: true });
      server.on('connection', (socket) => this.#take(socket, rule));
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host, port, backlog: 511 }, resolve);
      });
      this.#servers.push(server);
      const bound = server.address() as AddressInfo;
      addresses.push({ host: bound.address, port: bound.port, target });
    }
    return addresses;
  }

  #take(socket: Socket, rule: ListenerRule): void {
    if (this.#sockets.size >= this.#connectionsMax) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    serveConnection(socket, rule, this.#context).catch((error: unknown) => {
      this.#context.onProblem(`a connection failed: ${error instanceof Error ? error.message : String(error)}`);
      socket.destroy();
    });
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
