/**
 * An S3 server's bad days, in front of a real one: a reverse proxy that a test tells, request by request, what goes wrong.
 * Requests pass as they are, with the host they were signed for.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export type S3Fault =
  /** Answers this without the server having heard of it. */
  | { kind: 'refuse'; status: number; code: string }
  /** Says that it is done, and is not. */
  | { kind: 'pretend' }
  /** The server does it; its answer never arrives. */
  | { kind: 'lose' }
  /** The server does it twice. */
  | { kind: 'repeat' }
  /** The connection breaks before the server hears of it. */
  | { kind: 'cut' }
  /** The answer breaks off in the middle. */
  | { kind: 'cutAnswer' }
  /** One bit of the answer's body is another. */
  | { kind: 'spoilAnswer' }
  /** One bit of the request's body is another. */
  | { kind: 'spoilRequest' }
  /** Held up until `until` is settled. */
  | { kind: 'hold'; until: Promise<unknown> }
  /** A listing of long ago: nothing is there. */
  | { kind: 'oldListing' }
  /** Answers as a server that encrypts nothing, whatever it is asked for. */
  | { kind: 'unencrypted' };

export interface S3Request {
  method: string;
  /** With its query. */
  path: string;
  isListing: boolean;
}

const bodyBytesMax = 64 * 1024 * 1024;
const noObjects =
  '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>';
const noVersions =
  '<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>';

interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > bodyBytesMax) throw new Error('a body too large for the fault proxy');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function flipped(body: Buffer): Buffer {
  const other = Buffer.from(body);
  if (other.length > 0) other[other.length >> 1]! ^= 1;
  return other;
}

export class S3Faults {
  readonly endpoint: string;
  /** Requests that came in, oldest first. */
  readonly seen: S3Request[] = [];
  readonly #server: Server;
  readonly #upstream: URL;
  #rule: (request: S3Request) => S3Fault | null = () => null;

  private constructor(upstream: string, server: Server) {
    this.#upstream = new URL(upstream);
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async before(upstream: string): Promise<S3Faults> {
    let faults: S3Faults | null = null;
    const server = createServer((request, response) => {
      faults!.#serve(request, response).catch(() => request.socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    faults = new S3Faults(upstream, server);
    return faults;
  }

  /** From now on `rule` says what befalls each request. */
  on(rule: (request: S3Request) => S3Fault | null): void {
    this.#rule = rule;
  }

  /** These befall the next requests `which` picks, one each; then all is well. */
  next(which: (request: S3Request) => boolean, ...faults: S3Fault[]): void {
    this.on((request) => (which(request) ? (faults.shift() ?? null) : null));
  }

  off(): void {
    this.on(() => null);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/';
    const query = new URL(path, 'http://s3').searchParams;
    const isListing = request.method === 'GET' && (query.has('list-type') || query.has('versions'));
    const heard: S3Request = { method: request.method ?? 'GET', path, isListing };
    this.seen.push(heard);
    const fault = this.#rule(heard);
    if (fault?.kind === 'cut') {
      request.socket.destroy();
      return;
    }
    let body = await bodyOf(request);
    if (fault?.kind === 'pretend') {
      response.writeHead(200).end();
      return;
    }
    if (fault?.kind === 'refuse') {
      const { status, code } = fault;
      response.writeHead(status, { 'content-type': 'application/xml' });
      response.end(request.method === 'HEAD' ? '' : `<Error><Code>${code}</Code><Message>${code}</Message></Error>`);
      return;
    }
    if (fault?.kind === 'oldListing') {
      response
        .writeHead(200, { 'content-type': 'application/xml' })
        .end(query.has('versions') ? noVersions : noObjects);
      return;
    }
    if (fault?.kind === 'hold') await fault.until;
    if (fault?.kind === 'spoilRequest') body = flipped(body);
    if (fault?.kind === 'repeat') await this.#ask(request, body);
    const answer = await this.#ask(request, body);
    if (fault?.kind === 'lose') {
      request.socket.destroy();
      return;
    }
    if (fault?.kind === 'unencrypted')
      for (const name of Object.keys(answer.headers))
        if (name.startsWith('x-amz-server-side-encryption')) delete answer.headers[name];
    response.writeHead(answer.status, answer.headers);
    if (fault?.kind === 'cutAnswer') {
      response.write(answer.body.subarray(0, answer.body.length >> 1), () => request.socket.destroy());
      return;
    }
    response.end(fault?.kind === 'spoilAnswer' ? flipped(answer.body) : answer.body);
  }

  #ask(request: IncomingMessage, body: Buffer): Promise<Answer> {
    const { expect: _, ...headers } = request.headers;
    const { hostname, port } = this.#upstream;
    return new Promise((resolve, reject) => {
      const asked = httpRequest({ hostname, port, method: request.method, path: request.url, headers }, (answer) => {
        bodyOf(answer).then(
          (bytes) => resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body: bytes }),
          reject,
        );
      });
      asked.once('error', reject);
      asked.end(body);
    });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
