/** The TCP listeners, and the bounds on how many connections there may be that are no session yet. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Route } from '@lucid-sessions/contract';
import { beginSpan, SpanKind, traceOf, within } from '@lucid-sessions/kit';
import type { ListenerRule } from '../config.ts';
import { serveConnection } from './connection.ts';
import { addressOf, clientGroup, DoorLimits, type DoorLimitsOptions, ipOf } from './door-limits.ts';
import type { Caller, ConnectionContext } from './ready-connection.ts';

export interface ListenAddress {
  host: string;
  port: number;
  target: string | null;
}

export interface FrontDoorOptions extends Omit<DoorLimitsOptions, 'nowMs'> {
  /** A connection was closed because its address has too many. */
  onOverLimit: (clientAddress: string) => void;
}

/** What one door does with who comes in. */
export type Serve = (caller: Caller, context: ConnectionContext) => Promise<void>;

/** The kernel holds connections that come while others are being taken; it cuts this at its own limit. */
const backlog = 4096;

export class FrontDoor {
  readonly #context: ConnectionContext;
  readonly #options: FrontDoorOptions;
  readonly #limits: DoorLimits;
  readonly #servers: Server[] = [];
  readonly #streams = new Set<Duplex>();

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
      server.on('connection', (socket) => this.receive(callerOf(socket, rule)));
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

  /** Whoever comes in counts as waiting until `serve` is done with them; a client of an address that has too many is cut off. */
  receive(caller: Caller, serve: Serve = serveConnection): void {
    const { stream, clientAddress } = caller;
    stream.on('error', () => {});
    const group = clientGroup(ipOf(clientAddress));
    if (!this.#limits.enter(group, stream)) {
      stream.destroy();
      this.#options.onOverLimit(clientAddress);
      return;
    }
    this.#streams.add(stream);
    stream.once('close', () => {
      this.#streams.delete(stream);
      this.#limits.leave(group, stream);
    });
    void this.#serve(caller, serve, group);
  }

  async #serve(caller: Caller, serve: Serve, group: string): Promise<void> {
    const { stream } = caller;
    // A trace begins with the connection; its session goes on with it.
    const span = beginSpan('rdp.connection', {
      kind: SpanKind.SERVER,
      attributes: { 'client.address': ipOf(caller.clientAddress) },
      parent: traceOf(null),
    });
    try {
      await within(span.context, () => serve(caller, this.#context));
      span.end();
    } catch (error) {
      span.end(error);
      this.#context.onProblem(`a connection failed: ${(error as Error).stack ?? String(error)}`);
      stream.destroy();
    }
    this.#limits.leave(group, stream);
  }

  /** Takes no more connections; those that are there go on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }

  /** Cuts what is left. */
  destroy(): void {
    for (const stream of this.#streams) stream.destroy();
  }
}

function callerOf(socket: Socket, { target, host: _host, port: _port, ...trust }: ListenerRule): Caller {
  const route: Route | null = target === null ? null : { kind: 'listener', target, ...trust };
  return { stream: socket, clientAddress: addressOf(socket.remoteAddress, socket.remotePort), route };
}
