/** An RFC 3161 timestamp authority of our own, for tests of the anchoring client and for the demo. Trust it with nothing. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { derChildren, derContext, derTags, readDer, writeDer } from '@lucid-sessions/evidence';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));
const { sequence, set, integer, octetString, oid, generalizedTime, null: nothing } = derTags;
const BIT_STRING = 0x03;
const UTF8_STRING = 0x0c;

const SHA256 = writeDer(sequence, writeDer(oid, hex('608648016503040201')));
/** AlgorithmIdentifier of the hash with digests of that length. */
const imprints: Readonly<Record<number, Uint8Array>> = {
  48: writeDer(sequence, writeDer(oid, hex('608648016503040202'))),
  64: writeDer(sequence, writeDer(oid, hex('608648016503040203'))),
};
const SIGNED_DATA = writeDer(oid, hex('2a864886f70d010702'));
const TST_INFO = writeDer(oid, hex('2a864886f70d0109100104'));
const CONTENT_TYPE = writeDer(oid, hex('2a864886f70d010903'));
const MESSAGE_DIGEST = writeDer(oid, hex('2a864886f70d010904'));
const algorithms = {
  rsa: writeDer(sequence, writeDer(oid, hex('2a864886f70d01010b')), writeDer(nothing)),
  ecdsa: writeDer(sequence, writeDer(oid, hex('2a8648ce3d040302'))),
} as const;

const small = (value: number): Uint8Array => writeDer(integer, Uint8Array.of(value));
const time = (ms: number): Uint8Array =>
  writeDer(generalizedTime, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));

export class FakeTimestampAuthority {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly #kind: 'rsa' | 'ecdsa';
  readonly #key: KeyObject;
  readonly #name: Uint8Array;
  readonly #nowMs: () => number;
  #server: Server | null = null;
  /** Answers this instead of the next response. */
  nextAnswer: { status: number; body: Uint8Array } | null = null;
  /** Of a stamp; Sigstore's authority says 201. */
  status = 200;
  requestsCount = 0;

  constructor(options: { kind?: 'rsa' | 'ecdsa'; nowMs?: () => number; validDays?: number } = {}) {
    this.#kind = options.kind ?? 'ecdsa';
    this.#nowMs = options.nowMs ?? Date.now;
    const { privateKey, publicKey } =
      this.#kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    const commonName = writeDer(
      sequence,
      writeDer(oid, hex('550403')),
      writeDer(UTF8_STRING, Buffer.from('test authority')),
    );
    this.#name = writeDer(sequence, writeDer(set, commonName));
    const now = this.#nowMs();
    const validity = writeDer(sequence, time(now - 86_400_000), time(now + (options.validDays ?? 30) * 86_400_000));
    const body = writeDer(
      sequence,
      writeDer(derContext(0), small(2)),
      small(1),
      algorithms[this.#kind],
      this.#name,
      validity,
      this.#name,
      new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    );
    this.certificate = writeDer(
      sequence,
      body,
      algorithms[this.#kind],
      writeDer(BIT_STRING, Uint8Array.of(0), this.#sign(body)),
    );
  }

  #sign(bytes: Uint8Array): Uint8Array {
    return new Uint8Array(sign('sha256', bytes, this.#key));
  }

  /** A token over a digest; `nonce` is an INTEGER element. */
  token(digest: Uint8Array, nonce: Uint8Array | null): Uint8Array {
    const imprint = imprints[digest.length] ?? SHA256;
    const info = writeDer(
      sequence,
      small(1),
      writeDer(oid, hex('2a0304')),
      writeDer(sequence, imprint, writeDer(octetString, digest)),
      small(7),
      time(this.#nowMs()),
      ...(nonce === null ? [] : [nonce]),
    );
    const hash = new Uint8Array(createHash('sha256').update(info).digest());
    const attributes = [
      writeDer(sequence, CONTENT_TYPE, writeDer(set, TST_INFO)),
      writeDer(sequence, MESSAGE_DIGEST, writeDer(set, writeDer(octetString, hash))),
    ];
    const signer = writeDer(
      sequence,
      small(1),
      writeDer(sequence, this.#name, small(1)),
      SHA256,
      writeDer(derContext(0), ...attributes),
      algorithms[this.#kind],
      writeDer(octetString, this.#sign(writeDer(set, ...attributes))),
    );
    const signedData = writeDer(
      sequence,
      small(3),
      writeDer(set, SHA256),
      writeDer(sequence, TST_INFO, writeDer(derContext(0), writeDer(octetString, info))),
      writeDer(set, signer),
    );
    return writeDer(sequence, SIGNED_DATA, writeDer(derContext(0), signedData));
  }

  /** A TimeStampResp to a TimeStampReq. */
  respond(query: Uint8Array): Uint8Array {
    const [, imprint, nonce] = derChildren(readDer(query, sequence));
    const [, digest] = derChildren(imprint!);
    return writeDer(sequence, writeDer(sequence, small(0)), this.token(digest!.content, nonce?.raw ?? null));
  }

  /** Serves over HTTP and gives the address. */
  async start(port = 0): Promise<string> {
    this.#server = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      this.requestsCount += 1;
      const answer = this.nextAnswer ?? { status: this.status, body: this.respond(Buffer.concat(parts)) };
      this.nextAnswer = null;
      response.writeHead(answer.status, { 'content-type': 'application/timestamp-reply' }).end(answer.body);
    });
    await new Promise<void>((resolve) => this.#server!.listen(port, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }
}
