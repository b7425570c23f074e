/** A captured TLS connection, opened: TLS 1.0 to 1.3 (RFC 2246, 5246, 8446), whole, resumed and renegotiated handshakes. */
import { constants, privateDecrypt } from 'node:crypto';
import { CaptureError } from './packet-file.ts';
import type { StreamPiece } from './tcp-streams.ts';
import type { TlsSecrets } from './tls-keys.ts';
import {
  masterSecret,
  openerOfSecret,
  openersOf,
  type RecordContext,
  type RecordOpener,
  tls13,
  updatedSecret,
} from './tls-record-keys.ts';
import { type CipherSuite, cipherSuites } from './tls-suites.ts';

const contentType = { changeCipherSpec: 20, alert: 21, handshake: 22, application: 23 } as const;
const handshakeType = { clientHello: 1, serverHello: 2, clientKeyExchange: 16, finished: 20, keyUpdate: 24 } as const;
const extension = { encryptThenMac: 22, extendedMasterSecret: 23, supportedVersions: 43 } as const;
const recordBytesMax = 16_384 + 2048;
const handshakeBytesMax = 1 << 20;
const transcriptBytesMax = 4 << 20;
const sessionsMax = 1000;
/** RFC 8446 4.1.3: a ServerHello with this random asks for another ClientHello. */
const helloRetryRequest = 'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c';

/** Master secrets of sessions that were seen from the start, by session id (hex): resumed ones have no key exchange. */
export type SessionCache = Map<string, Buffer>;

interface Direction {
  /** Of the next record. */
  pending: Uint8Array;
  handshake: Uint8Array;
  opener: RecordOpener | null;
  /** TLS 1.3: what the opener was made from, and whether the handshake is over. */
  secret: Buffer | null;
  finished: boolean;
}

const direction = (): Direction => ({
  pending: new Uint8Array(0),
  handshake: new Uint8Array(0),
  opener: null,
  secret: null,
  finished: false,
});

/** Takes the bytes of both directions as they were captured; what the ends said to each other comes out. */
export class TlsConnection {
  readonly #secrets: TlsSecrets;
  readonly #sessions: SessionCache;
  readonly #directions = [direction(), direction()] as const;
  #clientRandom = Buffer.alloc(0);
  #serverRandom = Buffer.alloc(0);
  #sessionId = '';
  #context: RecordContext | null = null;
  #extendedMasterSecret = false;
  #transcript: Uint8Array[] = [];
  #transcriptBytes = 0;
  #master: Buffer | null = null;
  suiteNumber = 0;

  constructor(secrets: TlsSecrets, sessions: SessionCache) {
    this.#secrets = secrets;
    this.#sessions = sessions;
  }

  get version(): number {
    return this.#context?.version ?? 0;
  }

  /** Application data in `piece` and what came before. Throws `CaptureError` that says what is missing. */
  push({ fromServer, bytes }: Pick<StreamPiece, 'fromServer' | 'bytes'>): Uint8Array[] {
    const side = this.#directions[fromServer ? 1 : 0];
    side.pending = joined(side.pending, bytes);
    const application: Uint8Array[] = [];
    for (;;) {
      const { pending } = side;
      if (pending.length < 5) return application;
      const length = ((pending[3] ?? 0) << 8) | (pending[4] ?? 0);
      const type = pending[0] ?? 0;
      if (type < 20 || type > 24 || pending[1] !== 3 || length > recordBytesMax)
        throw new CaptureError('what follows the negotiation is not TLS');
      if (pending.length < 5 + length) return application;
      side.pending = pending.subarray(5 + length);
      this.#record(fromServer, type, pending.subarray(5, 5 + length), application);
    }
  }

  #record(fromServer: boolean, outerType: number, body: Uint8Array, application: Uint8Array[]): void {
    const side = this.#directions[fromServer ? 1 : 0];
    if (outerType === contentType.changeCipherSpec) {
      if (this.version !== tls13) this.#changeCipher(fromServer);
      return;
    }
    const opened = side.opener === null ? { type: outerType, bytes: body } : this.#open(side, outerType, body);
    if (opened === null) return;
    if (opened.type === contentType.application) {
      if (side.opener === null) throw new CaptureError('the TLS handshake was not captured');
      application.push(opened.bytes);
    } else if (opened.type === contentType.handshake) this.#handshake(fromServer, opened.bytes);
  }

  /** Null: a record of the handshake, whose secrets the key log leaves out. */
  #open(side: Direction, type: number, body: Uint8Array): { type: number; bytes: Uint8Array } | null {
    try {
      return side.opener?.open(type, body) ?? null;
    } catch (error) {
      if (this.version === tls13 && !side.finished) return null;
      throw error;
    }
  }

  #handshake(fromServer: boolean, bytes: Uint8Array): void {
    const side = this.#directions[fromServer ? 1 : 0];
    side.handshake = joined(side.handshake, bytes);
    for (;;) {
      const { handshake } = side;
      if (handshake.length < 4) return;
      const length = ((handshake[1] ?? 0) << 16) | ((handshake[2] ?? 0) << 8) | (handshake[3] ?? 0);
      if (length > handshakeBytesMax) throw new CaptureError('a TLS handshake message is too long');
      if (handshake.length < 4 + length) return;
      const message = handshake.subarray(0, 4 + length);
      side.handshake = handshake.subarray(4 + length);
      this.#message(fromServer, message[0] ?? 0, message);
    }
  }

  #message(fromServer: boolean, type: number, message: Uint8Array): void {
    if (type === handshakeType.clientHello) this.#clientHello(message.subarray(4));
    if (this.#transcriptBytes < transcriptBytesMax) this.#transcript.push(message);
    this.#transcriptBytes += message.length;
    switch (type) {
      case handshakeType.serverHello:
        this.#serverHello(message.subarray(4));
        return;
      case handshakeType.clientKeyExchange:
        this.#keyExchange(message.subarray(4));
        return;
      case handshakeType.finished:
        if (this.version === tls13) this.#finished13(fromServer);
        return;
      case handshakeType.keyUpdate:
        if (this.version === tls13) this.#update13(fromServer);
    }
  }

  #clientHello(body: Uint8Array): void {
    this.#clientRandom = Buffer.from(body.subarray(2, 34));
    this.#transcript = [];
    this.#transcriptBytes = 0;
    this.#master = null;
  }

  #serverHello(body: Uint8Array): void {
    const random = Buffer.from(body.subarray(2, 34));
    if (random.toString('hex') === helloRetryRequest) return;
    this.#serverRandom = random;
    const idBytes = body[34] ?? 0;
    this.#sessionId = Buffer.from(body.subarray(35, 35 + idBytes)).toString('hex');
    const at = 35 + idBytes;
    this.suiteNumber = ((body[at] ?? 0) << 8) | (body[at + 1] ?? 0);
    const extensions = extensionsOf(body.subarray(at + 3));
    const versions = extensions.get(extension.supportedVersions);
    const version =
      versions === undefined ? ((body[0] ?? 0) << 8) | (body[1] ?? 0) : ((versions[0] ?? 0) << 8) | (versions[1] ?? 0);
    const suite = cipherSuites.get(this.suiteNumber);
    if (suite === undefined)
      throw new CaptureError(`cipher suite 0x${this.suiteNumber.toString(16).padStart(4, '0')} can't be opened`);
    this.#context = { version, suite, encryptThenMac: extensions.has(extension.encryptThenMac) };
    this.#extendedMasterSecret = extensions.has(extension.extendedMasterSecret);
    if (version === tls13) for (const fromServer of [false, true]) this.#begin13(fromServer);
  }

  // ---- up to TLS 1.2

  #keyExchange(body: Uint8Array): void {
    const context = this.#context;
    if (context?.suite.rsa !== true) return;
    // Two bytes of length before it, from TLS 1.0 on.
    const preMaster = rsaDecrypted(this.#secrets, body.subarray(2));
    if (preMaster === null) return;
    const randoms = Buffer.concat([this.#clientRandom, this.#serverRandom]);
    const transcript = this.#extendedMasterSecret ? Buffer.concat(this.#transcript) : null;
    this.#master = masterSecret(context, preMaster, randoms, transcript);
    if (this.#sessionId !== '' && this.#sessions.size < sessionsMax) this.#sessions.set(this.#sessionId, this.#master);
  }

  #changeCipher(fromServer: boolean): void {
    const context = this.#context;
    if (context === null) throw new CaptureError('the TLS handshake was not captured');
    const master = this.#logged('CLIENT_RANDOM') ?? this.#master ?? this.#sessions.get(this.#sessionId) ?? null;
    if (master === null) throw new CaptureError(lacking(context.suite, this.#clientRandom));
    const openers = openersOf(context, master, this.#clientRandom, this.#serverRandom);
    this.#directions[fromServer ? 1 : 0].opener = fromServer ? openers.server : openers.client;
  }

  #logged(label: string): Buffer | null {
    return this.#secrets.keyLog.get(`${label} ${this.#clientRandom.toString('hex')}`) ?? null;
  }

  // ---- TLS 1.3

  #begin13(fromServer: boolean): void {
    const name = fromServer ? 'SERVER' : 'CLIENT';
    const handshake = this.#logged(`${name}_HANDSHAKE_TRAFFIC_SECRET`);
    const traffic = this.#logged(`${name}_TRAFFIC_SECRET_0`);
    if (traffic === null) throw new CaptureError(lacking(this.#context!.suite, this.#clientRandom));
    this.#use13(fromServer, handshake ?? traffic);
  }

  #use13(fromServer: boolean, secret: Buffer): void {
    const side = this.#directions[fromServer ? 1 : 0];
    side.secret = secret;
    side.opener = openerOfSecret(this.#context!, secret);
  }

  #finished13(fromServer: boolean): void {
    const traffic = this.#logged(`${fromServer ? 'SERVER' : 'CLIENT'}_TRAFFIC_SECRET_0`);
    if (traffic !== null) this.#use13(fromServer, traffic);
    this.#directions[fromServer ? 1 : 0].finished = true;
  }

  #update13(fromServer: boolean): void {
    const { secret } = this.#directions[fromServer ? 1 : 0];
    if (secret !== null) this.#use13(fromServer, updatedSecret(this.#context!, secret));
  }
}

function lacking({ rsa }: CipherSuite, clientRandom: Uint8Array): string {
  const key = rsa ? ', and no RSA key given opens it' : '';
  return `the key log has no secret of this connection (client random ${Buffer.from(clientRandom).toString('hex').slice(0, 16)}…)${key}`;
}

function extensionsOf(bytes: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = 2; at + 4 <= bytes.length; ) {
    const length = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    found.set(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}

/** The pre-master secret: 48 bytes under one of the keys. */
function rsaDecrypted({ rsaKeys }: TlsSecrets, sealed: Uint8Array): Buffer | null {
  for (const key of rsaKeys)
    try {
      const plain = privateDecrypt({ key, padding: constants.RSA_NO_PADDING }, sealed);
      const start = plain.indexOf(0, 2) + 1;
      if (plain[1] === 2 && plain.length - start === 48) return plain.subarray(start);
    } catch {
      // Another server's key.
    }
  return null;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  return first.length === 0 ? second : Buffer.concat([first, second]);
}
