/** A target of ours that demands network level authentication, over real TLS, and refuses as it is told to. */
import { randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate } from '@lucid-sessions/desktop';
import { Protocol, tsRequest, x224ConnectionConfirm, x224Frame } from '@lucid-sessions/rdp';
import { CredSspServer, type CredSspServerEvent, ntHashOf, subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';
import { decode, encode } from '@lucid-sessions/wire';

export interface NlaTargetOptions {
  /** What it chooses: HYBRID unless told otherwise. */
  selected?: number;
  password?: string;
  minimumVersion?: number;
  /** Takes NTLM inside SPNEGO alone: what becomes of who sends it raw. */
  refusesRaw?: 'closes' | 'says';
  /** Of CredSSP, as it says; 6. */
  version?: number;
  /** Says this in place of its answer to AUTHENTICATE. */
  refuseWith?: number;
  /** Closes in place of it, or before. */
  closes?: 'first' | 'last' | 'reset';
  /** Flags of its RDP_NEG_RSP. */
  flags?: number;
  /** EARLY_USER_AUTH_RESULT, with HYBRID_EX. */
  result?: number;
  /** Says this behind the credentials. */
  lateRefusal?: number;
  /** Proves another public key than that of its certificate. */
  otherKey?: boolean;
  /** What becomes of its messages. */
  spoil?: (bytes: Uint8Array) => Uint8Array;
}

export interface NlaTarget {
  port: number;
  certificateSha256: string;
  /** What clients claimed and did. */
  events: CredSspServerEvent[];
  /** What came in TLS, of all connections. */
  received: Buffer[];
  /** Protocols that were asked for. */
  requested: number[];
  /** Closes every connection. */
  hangUp(): void;
}

export async function startNlaTarget(t: TestContext, options: NlaTargetOptions = {}): Promise<NlaTarget> {
  const { key, cert, sha256 } = await makeCertificate();
  const der = Uint8Array.from(Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
  const secureContext = createSecureContext({ key, cert });
  const open = new Set<Socket>();
  const hangUp = (): void => {
    for (const socket of open) socket.destroy();
  };
  const target: NlaTarget = { port: 0, certificateSha256: sha256, events: [], received: [], requested: [], hangUp };
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket.on('error', () => {}).on('close', () => open.delete(socket)));
    socket.once('data', (request: Buffer) => {
      target.requested.push(request.readUInt32LE(request.length - 4));
      const selectedProtocol = options.selected ?? Protocol.hybrid;
      socket.write(confirm(selectedProtocol, options.flags ?? 0));
      const tls = new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {});
      if (selectedProtocol !== Protocol.ssl) new Logon(socket, tls, der, options, target);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    hangUp();
    server.close();
  });
  target.port = (server.address() as AddressInfo).port;
  return target;
}

const SEC_E_INVALID_TOKEN = 0x80090308;
const spnegoOid = Buffer.from('06062b0601050502', 'hex');

const confirm = (selectedProtocol: number, flags: number): Uint8Array =>
  x224Frame(x224ConnectionConfirm, {
    destinationReference: 0,
    sourceReference: 0x1234,
    classOption: 0,
    negotiation: { kind: 'response', flags, selectedProtocol },
  });

class Logon {
  readonly #tcp: Socket;
  readonly #tls: TLSSocket;
  readonly #options: NlaTargetOptions;
  readonly #target: NlaTarget;
  readonly #server: CredSspServer;

  constructor(tcp: Socket, tls: TLSSocket, certificateDer: Uint8Array, options: NlaTargetOptions, target: NlaTarget) {
    this.#tcp = tcp;
    this.#tls = tls;
    this.#options = options;
    this.#target = target;
    const publicKey = subjectPublicKeyOf(certificateDer);
    this.#server = new CredSspServer({
      publicKey: options.otherKey ? publicKey.with(20, publicKey[20]! ^ 1) : publicKey,
      name: 'TARGET',
      // It says its own result.
      earlyAuthorization: false,
      minimumVersion: options.minimumVersion ?? 2,
      platform: { randomBytes: (length) => randomBytes(length), nowMs: Date.now },
    });
    tls.on('data', (bytes: Buffer) => {
      target.received.push(Buffer.from(bytes));
      const isRaw = options.refusesRaw !== undefined && bytes.includes('NTLMSSP\0\x01') && !bytes.includes(spnegoOid);
      if (options.closes === 'first' || (isRaw && options.refusesRaw === 'closes')) tls.destroy();
      else if (isRaw && this.#server.state !== 'done') this.#say(SEC_E_INVALID_TOKEN);
      else if (this.#server.state !== 'done') this.#run(this.#server.step(this.#inVersion(bytes)));
    });
  }

  #run({ output, events }: { output: Uint8Array; events: CredSspServerEvent[] }): void {
    if (output.length > 0) this.#tls.write(this.#options.spoil?.(output) ?? this.#inVersion(output));
    for (const event of events) {
      this.#target.events.push(event);
      this.#on(event);
    }
  }

  /** Both believe that the other is of this version. */
  #inVersion(bytes: Uint8Array): Uint8Array {
    const { version } = this.#options;
    return version === undefined ? bytes : encode(tsRequest, { ...decode(tsRequest, bytes), version }).slice();
  }

  #on(event: CredSspServerEvent): void {
    const { refuseWith, closes, result, lateRefusal, password = 'correct horse' } = this.#options;
    if (event.kind === 'ended') this.#tls.end();
    if (event.kind === 'account') {
      if (closes === 'last') this.#tls.destroy();
      else if (closes === 'reset') this.#tcp.resetAndDestroy();
      else if (refuseWith !== undefined) this.#say(refuseWith);
      else this.#run(this.#server.account(ntHashOf(password)));
    }
    if (event.kind !== 'authenticated') return;
    if (result !== undefined) this.#tls.write(Buffer.from(Uint32Array.of(result).buffer));
    if (lateRefusal !== undefined) this.#say(lateRefusal);
  }

  #say(errorCode: number): void {
    this.#tls.end(encode(tsRequest, { version: 6, errorCode }));
  }
}
