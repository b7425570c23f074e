/**
 * Doors for RDP clients on the port for people: an upgrade request goes to a recorder, and after its answer bytes pass both ways
 * unread. Who may come in is the recorder's to say, by what the client then shows; here is only kept that nobody comes in as
 * somebody else's address, and that there is room for all.
 */
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { sessionIdSchema } from '@lucid-sessions/contract';
import {
  type DoorAnswer,
  doorHeader,
  openDoor,
  passBytes,
  refuseUpgrade,
  type ServiceCaller,
} from '@lucid-sessions/kit';
import { addressGroup } from './client-address.ts';
import type { RateLimiter } from './rate-limiter.ts';
import { passBody } from './rdg/pass-body.ts';
import { type RdgForm, type RdgVisit, serveRdg } from './rdg/rdg-connection.ts';
import { acceptOf, freshKey } from './rdg/web-socket-key.ts';

/** What says which recorder a visitor belongs to; without either, any. */
export interface DoorRoute {
  /** The session it asks for, where its path says so: it belongs to the recorder that holds this one. */
  sessionId: string | null;
  /** Visitors with the same key belong to the same recorder. */
  key: string | null;
}

export interface RecorderDoor {
  /** Base URLs; the first that answers has it. */
  urls: (route: DoorRoute) => Promise<readonly string[]>;
  caller: ServiceCaller;
}

/** One door: whether a page must be the console's own, and the headers of a client that go on. */
interface Door {
  name: string;
  sameOrigin: boolean;
  headers: readonly string[];
}

const webSocketHeaders = ['upgrade', 'sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'];

const gatewayDoor: Door = { name: 'rdg', sameOrigin: false, headers: [...webSocketHeaders, 'rdg-connection-id'] };

const browserPath = '/browser/rdp';
const steerPath = '/browser/steer';
/** With the session's id behind the path: no secret, it lets nobody in. */
export const browserDoorPath = (sessionId: string): string => `${browserPath}/${sessionId}`;
export const steerDoorPath = (sessionId: string): string => `${steerPath}/${sessionId}`;

/** By the path people's clients know. */
const doors: Readonly<Record<string, Door>> = {
  [browserPath]: { name: 'browser', sameOrigin: true, headers: webSocketHeaders },
  [steerPath]: { name: 'steer', sameOrigin: true, headers: webSocketHeaders },
  '/remoteDesktopGateway/': gatewayDoor,
};

/** What of a request says where it comes from and wants to go. */
export interface DoorRequest {
  url?: string | undefined;
  headers: IncomingHttpHeaders;
  socket: Pick<Socket, 'remoteAddress'>;
}

export interface PublicDoorsOptions {
  recorder: RecorderDoor | null;
  /** Address of the console; may be empty. */
  publicUrl: string;
  limiter: RateLimiter;
  /** Where a request comes from. */
  addressOf: (request: DoorRequest) => string;
  nowUs: () => number;
  onError: (thrown: unknown) => void;
}

/** A client on its way in. */
interface Visitor {
  door: Door;
  sessionId: string | null;
  request: DoorRequest;
  socket: Duplex;
  head: Buffer;
  clientAddress: string;
  form: RdgForm;
}

type Place = Pick<Visitor, 'door' | 'sessionId'>;
/** `place`: null, it is for no door. */
type Arriving = Omit<Visitor, keyof Place | 'clientAddress'> & { place: Place | null };

const comingPerMinute = 600;
const openingMax = 1000;
const openingPerAddressMax = 100;
/** For a recorder to answer. */
const answerMs = 15_000;

export class PublicDoors {
  readonly #options: PublicDoorsOptions;
  readonly #passing = new Set<Duplex>();
  /** Not answered yet, by address. */
  readonly #opening = new Map<string, number>();
  #openingCount = 0;

  constructor(server: Server, options: PublicDoorsOptions) {
    this.#options = options;
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => {});
      this.#take({ place: placeOf(request), request, socket, head, form: 'webSocket' });
    });
  }

  /** A connection that began with a method of the RD Gateway: none of HTTP's. */
  takeRdg(socket: Socket): void {
    this.#keep(socket);
    void serveRdg(socket, ({ head: { url, headers }, rest, form }: RdgVisit) => {
      // What stands behind the head is the body's, which is opened before it goes on.
      if (form === 'in' && rest.length > 0) socket.unshift(rest);
      const head = form === 'in' ? Buffer.alloc(0) : rest;
      const place = { door: gatewayDoor, sessionId: null };
      this.#take({ place, request: { url, headers, socket }, socket, head, form });
    });
  }

  #take(visit: Arriving): void {
    void this.#enter(visit).catch((error: unknown) => {
      this.#options.onError(error);
      visit.socket.destroy();
    });
  }

  /** Every other request with an `Upgrade` header is a request like any. */
  static isFor(this: void, request: IncomingMessage): boolean {
    return placeOf(request) !== null;
  }

  /** Cuts what passes. */
  close(): void {
    for (const socket of this.#passing) socket.destroy();
  }

  #keep(socket: Duplex): void {
    if (this.#passing.has(socket)) return;
    this.#passing.add(socket);
    socket.once('close', () => this.#passing.delete(socket));
  }

  async #enter({ place, ...visit }: Arriving): Promise<void> {
    const { request, socket } = visit;
    if (place === null || this.#options.recorder === null) {
      refuseUpgrade(socket, '404 Not Found');
      return;
    }
    if (place.door.sameOrigin && !isSameOrigin(request, this.#options.publicUrl)) {
      refuseUpgrade(socket, '403 Forbidden');
      return;
    }
    const clientAddress = this.#options.addressOf(request);
    const group = addressGroup(clientAddress);
    const { allowed } = await this.#options.limiter.take(group, comingPerMinute, this.#options.nowUs() / 1000);
    const openingHere = this.#opening.get(group) ?? 0;
    if (!allowed || openingHere >= openingPerAddressMax || this.#openingCount >= openingMax) {
      refuseUpgrade(socket, '429 Too Many Requests', ['Retry-After: 60']);
      return;
    }
    this.#opening.set(group, openingHere + 1);
    this.#openingCount += 1;
    this.#keep(socket);
    try {
      await this.#passOn({ ...visit, ...place, clientAddress }, this.#options.recorder);
    } finally {
      this.#openingCount -= 1;
      const left = this.#opening.get(group)! - 1;
      if (left === 0) this.#opening.delete(group);
      else this.#opening.set(group, left);
    }
  }

  async #passOn(visitor: Visitor, recorder: RecorderDoor): Promise<void> {
    // The two connections of one RD Gateway visit meet at one recorder.
    const id = visitor.door === gatewayDoor ? visitor.request.headers['rdg-connection-id'] : null;
    const key = typeof id === 'string' ? id : null;
    for (const url of await recorder.urls({ sessionId: visitor.sessionId, key })) {
      const answer = await ask(url, visitor, recorder.caller);
      if (answer === null) continue;
      if (answer.socket === null) refuseWith(visitor.socket, answer.response);
      else if (visitor.socket.destroyed) answer.socket.destroy();
      else pass(visitor, answer.response, answer.socket, answer.head);
      return;
    }
    refuseUpgrade(visitor.socket, '503 Service Unavailable');
  }
}

/** The client is answered as the form in which it came has it, and everything behind that is not looked at. */
function pass(
  { socket, request, form, door }: Visitor,
  response: IncomingMessage,
  recorder: Duplex,
  head: Buffer,
): void {
  if (form === 'in') {
    passBody(socket, request.headers, recorder);
    return;
  }
  const key = request.headers['sec-websocket-key'];
  if (door === gatewayDoor && key !== undefined) response.headers['sec-websocket-accept'] = acceptOf(key);
  socket.write(form === 'out' ? 'HTTP/1.1 200 OK\r\n\r\n' : switchingHead(response));
  if (head.length > 0) socket.write(head);
  passBytes(socket, recorder);
}

function placeOf({ url = '' }: DoorRequest): Place | null {
  const path = url.split('?')[0]!;
  if (Object.hasOwn(doors, path)) return { door: doors[path]!, sessionId: null };
  const [, start = '', id] = /^(\/browser\/[a-z]+)\/([^/]+)$/.exec(path) ?? [];
  const { data: sessionId } = sessionIdSchema.safeParse(id);
  return sessionId !== undefined && Object.hasOwn(doors, start) ? { door: doors[start]!, sessionId } : null;
}

/** Browsers say which page calls; only the console's own pages may, under the address they came by or the installation's. */
function isSameOrigin({ headers: { origin = '', host } }: DoorRequest, publicUrl: string): boolean {
  if (!URL.canParse(origin)) return false;
  return new URL(origin).host === host || (publicUrl !== '' && new URL(publicUrl).origin === origin);
}

/** Null: this recorder can't be reached, or has no room. */
const ask = (url: string, visitor: Visitor, caller: ServiceCaller): Promise<DoorAnswer | null> =>
  openDoor({
    ...{ caller, service: 'recorder', url, name: visitor.door.name, waitMs: answerMs },
    headers: headersFor(visitor),
    first: visitor.head,
    visitor: visitor.socket,
  });

function headersFor({ door, request, clientAddress, form }: Visitor): Record<string, string> {
  const passed = door.headers.flatMap((name) => {
    const value = request.headers[name];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  const { authorization } = request.headers;
  return {
    ...Object.fromEntries(passed),
    ...(door === gatewayDoor && form === 'webSocket' ? { 'sec-websocket-key': freshKey() } : {}),
    ...(form === 'webSocket' ? {} : { upgrade: 'rdg', [doorHeader.method]: `RDG_${form.toUpperCase()}_DATA` }),
    [doorHeader.clientAddress]: clientAddress,
    ...(authorization === undefined ? {} : { [doorHeader.authorization]: authorization }),
  };
}

const switchingHeaders = ['upgrade', 'sec-websocket-accept', 'sec-websocket-protocol'];

function headerLines({ headers }: IncomingMessage, names: readonly string[]): string[] {
  return names.flatMap((name) => {
    const value = headers[name];
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map((text) => `${name}: ${text}`);
  });
}

function switchingHead(response: IncomingMessage): string {
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', ...headerLines(response, switchingHeaders)];
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function refuseWith(socket: Duplex, response: IncomingMessage): void {
  const { statusCode = 502, statusMessage = '' } = response;
  // The recorder refusing the API is no word about the client.
  const isOurs = statusCode === 401 && response.headers['www-authenticate'] === undefined;
  const status = isOurs ? '502 Bad Gateway' : `${statusCode} ${statusMessage}`;
  refuseUpgrade(socket, status, headerLines(response, ['www-authenticate', 'retry-after']));
}
