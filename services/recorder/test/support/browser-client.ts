/** A browser's RDP client as IronRDP's is on the wire: RDCleanPath in a WebSocket, its own logon where the target wants one. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { Connector, Protocol, RD_CLEAN_PATH_VERSION, type RdCleanPath, rdCleanPath } from '@lucid-sessions/rdp';
import { CredSspClient, subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';
import { decode, encode } from '@lucid-sessions/wire';
import { WebSocket } from 'ws';
import type { Recorder } from '../../src/index.ts';

/** Stands for the API: where a recorder's door for browsers is reached. */
export async function browserUrl(t: TestContext, { doors }: Recorder, clientAddress = '127.0.0.1'): Promise<string> {
  const server = createServer();
  server.on('upgrade', (request, socket, head) => doors.browser!({ request, socket, head, clientAddress }));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export interface BrowserOptions {
  url: string;
  token?: string;
  userName?: string;
  password?: string;
  domain?: string;
  requestedProtocols?: number;
  /** Changes its first message. */
  hello?: (message: RdCleanPath) => Uint8Array;
}

export interface BrowserEnd {
  code: number;
  reason: string;
}

export class BrowserClient {
  readonly webSocket: WebSocket;
  readonly closed: Promise<BrowserEnd>;
  readonly connector: Connector;
  /** The gateway's answer. */
  answer: RdCleanPath | null = null;
  /** All bytes behind it. */
  readonly received: Buffer[] = [];
  /** The error the server ended the session with. */
  errorInfo = 0;
  updatesCount = 0;
  /** Why its own logon was refused. */
  logonProblem: string | null = null;
  readonly #options: BrowserOptions;
  #logon: CredSspClient | null = null;
  #isActive = false;

  constructor(options: BrowserOptions) {
    this.#options = options;
    const { url, userName = 'alice', password = '', domain = '', requestedProtocols = 0xb } = options;
    this.connector = new Connector({
      requestedProtocols,
      userName,
      password,
      domain,
      desktopWidth: 800,
      desktopHeight: 600,
      bitsPerPixel: 16,
    });
    this.webSocket = new WebSocket(url, { perMessageDeflate: false });
    this.webSocket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      this.webSocket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
    });
    this.webSocket.once('open', () => this.webSocket.send(this.#hello()));
    this.webSocket.on('message', (data) => this.#take(data as Buffer));
  }

  get isActive(): boolean {
    return this.#isActive;
  }

  send(bytes: Uint8Array): void {
    if (bytes.length > 0 && this.webSocket.readyState === WebSocket.OPEN) this.webSocket.send(bytes);
  }

  #hello(): Uint8Array {
    const { token = 'a token', hello } = this.#options;
    const x224 = this.connector.start().output;
    const message = { version: RD_CLEAN_PATH_VERSION, destination: 'nowhere:1', proxyAuth: token, x224 };
    return hello?.(message) ?? encode(rdCleanPath, message);
  }

  #take(bytes: Buffer): void {
    if (this.answer === null) {
      this.answer = decode(rdCleanPath, bytes);
      if (this.answer.x224 !== undefined) this.#accepted(this.answer.x224);
      return;
    }
    this.received.push(Buffer.from(bytes));
    if (this.#logon !== null) this.#step(this.#logon, bytes);
    else this.#rdp(bytes);
  }

  #accepted(confirm: Uint8Array): void {
    this.connector.step(confirm);
    const { output } = this.connector.tlsEstablished();
    const selected = confirm.at(-4)!;
    if (selected === Protocol.ssl) {
      this.send(output);
      return;
    }
    const { userName: username = 'alice', password = '', domain = '' } = this.#options;
    this.#logon = new CredSspClient({
      credentials: { username, password, domain },
      publicKey: subjectPublicKeyOf(this.answer!.certificates![0]!),
      earlyAuthorization: selected === Protocol.hybridEx,
      targetName: 'TERMSRV/nowhere',
      workstation: 'browser',
      envelope: 'raw',
      restrictedAdmin: false,
      minimumVersion: 5,
      platform: { randomBytes: (length) => randomBytes(length), nowMs: Date.now },
    });
    this.send(this.#logon.start().output);
  }

  #step(logon: CredSspClient, bytes: Uint8Array): void {
    const { output, events } = logon.step(bytes);
    this.send(output);
    for (const event of events)
      if (event.kind === 'ended') this.logonProblem = event.how;
      else {
        this.#logon = null;
        this.send(this.connector.credsspDone().output);
        const rest = logon.takeRest();
        if (rest.length > 0) this.#rdp(rest);
      }
  }

  #rdp(bytes: Uint8Array): void {
    const { output, events } = this.connector.step(bytes);
    this.send(output);
    for (const event of events) {
      if (event.kind === 'active') this.#isActive = true;
      if (event.kind === 'fastPathOutput') this.updatesCount += 1;
      if (event.kind === 'errorInfo') this.errorInfo = event.code;
      if (event.kind === 'ended') this.webSocket.close();
    }
  }
}
