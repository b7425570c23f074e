/**
 * A client that came to this recorder while another one holds its session: its connection goes on to that one as it came, from the
 * connection request on, and nothing of it is looked at any more. The other one serves it as its own, and passes it on to nobody.
 */
import type { Duplex } from 'node:stream';
import { type DoorVisit, doorHeader, openDoor, refuseUpgrade, type ServiceCaller } from '@lucid-sessions/kit';
import { addressOf, ipOf } from '../front-door/door-limits.ts';
import type { FrontDoor } from '../front-door/front-door.ts';
import type { PassOn } from '../front-door/ready-connection.ts';
import type { WantedHost } from '../front-door/wanted-host.ts';

const doorName = 'passed';
/** For the other recorder to answer. */
const answerMs = 5000;
const switching = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: rdp\r\n\r\n';
const headerCharactersMax = 8192;
const namesMax = 100;

/** What the first recorder's door knew of its client, beside the IP address: a JSON object in base64url. */
interface PassedClient {
  /** Its TCP port; null: not known. */
  port: number | null;
  /** Of an RD Gateway's client, which shows it outside of its RDP connection. */
  token: string | null;
  wanted: WantedHost | null;
}

/** Passes clients on, so many at a time. */
export class PassingOn {
  readonly #caller: ServiceCaller;
  readonly #connectionsMax: number;
  #count = 0;

  constructor(caller: ServiceCaller, connectionsMax: number) {
    this.#caller = caller;
    this.#connectionsMax = connectionsMax;
  }

  /** Connections that are being passed on. */
  get count(): number {
    return this.#count;
  }

  open: PassOn = async ({ stream, clientAddress, route, wanted = null }, { url }) => {
    if (this.#count >= this.#connectionsMax || route?.kind === 'listener') return null;
    const token = route?.kind === 'token' ? route.token : null;
    const passed = encode({ port: portOf(clientAddress), token, wanted });
    if (passed.length > headerCharactersMax) return null;
    this.#count += 1;
    const way = await this.#open(url, stream, clientAddress, passed).catch(() => null);
    if (way === null || way.closed) this.#count -= 1;
    else way.once('close', () => (this.#count -= 1));
    return way;
  };

  async #open(url: string, visitor: Duplex, clientAddress: string, passed: string): Promise<Duplex | null> {
    const answer = await openDoor({
      ...{ caller: this.#caller, service: 'recorder', url, name: doorName, visitor, waitMs: answerMs },
      headers: { upgrade: 'rdp', [doorHeader.clientAddress]: ipOf(clientAddress), [doorHeader.passedClient]: passed },
      first: new Uint8Array(0),
    });
    if (answer === null || answer.socket === null) return null;
    if (answer.head.length > 0) answer.socket.unshift(answer.head);
    return answer.socket;
  }
}

/** Where other recorders pass clients on to. */
export const passedDoor =
  (frontDoor: FrontDoor) =>
  ({ request, socket, head, clientAddress: ip }: DoorVisit): void => {
    const client = decode(request.headers[doorHeader.passedClient]);
    if (client === null) {
      refuseUpgrade(socket, '400 Bad Request');
      return;
    }
    socket.write(switching);
    if (head.length > 0) socket.unshift(head);
    const { port, token, wanted } = client;
    frontDoor.receive({
      stream: socket,
      clientAddress: addressOf(ip, port ?? undefined),
      route: token === null ? null : { kind: 'token', token },
      ...(wanted === null ? {} : { wanted }),
      isPassedOn: true,
    });
  };

function portOf(clientAddress: string): number | null {
  const digits = /^(?:[^:]+|\[.*\]):(\d+)$/.exec(clientAddress)?.[1];
  return digits === undefined ? null : Number(digits);
}

const encode = (client: PassedClient): string => Buffer.from(JSON.stringify(client)).toString('base64url');

const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 65_535;

function isWanted(value: unknown): value is WantedHost {
  const { names, port } = (value ?? {}) as Record<string, unknown>;
  return (
    isPort(port) && Array.isArray(names) && names.length <= namesMax && names.every((name) => typeof name === 'string')
  );
}

/** Null: it is none. */
function decode(header: string | string[] | undefined): PassedClient | null {
  if (typeof header !== 'string' || header.length > headerCharactersMax) return null;
  try {
    const value = JSON.parse(Buffer.from(header, 'base64url').toString()) as Record<string, unknown> | null;
    const { port = null, token = null, wanted = null } = value ?? {};
    if (port !== null && !isPort(port)) return null;
    if (token !== null && typeof token !== 'string') return null;
    if (wanted !== null && !isWanted(wanted)) return null;
    return value === null ? null : { port, token, wanted };
  } catch {
    return null;
  }
}
