/**
 * A host that takes clients by RDSTLS alone ([MS-RDPBCGR] 5.4.5.3), in front of a desktop that speaks TLS: our own, or a real one. It
 * says what a test wants it to.
 */
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, TLSSocket } from 'node:tls';
import { makeCertificate, type TestCertificate } from '@lucid-sessions/desktop';
import {
  Protocol,
  RDSTLS_VERSION_1,
  type RdstlsPdu,
  RdstlsResult,
  rdstlsPdu,
  tpkt,
  x224ConnectionConfirm,
  x224ConnectionRequest,
  x224Frame,
} from '@lucid-sessions/rdp';
import { attempt, decode, encode } from '@lucid-sessions/wire';

export interface RdstlsHostOptions {
  host: string;
  port: number;
  desktop: { host: string; port: number };
  certificate?: TestCertificate;
  /** `Protocol.rdstls` unless it lies. */
  selects?: number;
  /** Sent once TLS stands. */
  capabilities?: Uint8Array;
  /** Sent behind the request; what comes of it is no desktop unless it begins with success. */
  response?: Uint8Array;
  /** Closes once it has been told who logs on. */
  closes?: boolean;
}

export interface RdstlsHost {
  readonly port: number;
  /** PEM and SHA-256. */
  readonly certificate: TestCertificate;
  /** requestedProtocols of each client. */
  readonly asked: number[];
  /** Authentication requests it was sent. */
  readonly requests: Extract<RdstlsPdu, { kind: 'passwordRequest' }>[];
  stop(): void;
}

export const rdstlsBytes = (pdu: RdstlsPdu): Uint8Array => encode(rdstlsPdu, pdu).slice();
const requestBytesMax = 65_536;

export async function startRdstlsHost(options: RdstlsHostOptions): Promise<RdstlsHost> {
  const { selects = Protocol.rdstls, closes = false } = options;
  const version = RDSTLS_VERSION_1;
  const capabilities = options.capabilities ?? rdstlsBytes({ version, kind: 'capabilities', supportedVersions: 1 });
  const response = options.response ?? rdstlsBytes({ version, kind: 'response', resultCode: RdstlsResult.success });
  const certificate = options.certificate ?? (await makeCertificate());
  const secureContext = createSecureContext({ key: certificate.key, cert: certificate.cert });
  const asked: number[] = [];
  const requests: RdstlsHost['requests'] = [];
  const open = new Set<Socket>();

  const serve = async (client: Socket): Promise<void> => {
    const request = await wholeOf(client, (bytes) => decode(x224ConnectionRequest, decode(tpkt, bytes).payload));
    asked.push(request.negotiation?.requestedProtocols ?? Protocol.rdp);
    const upstream = keep(connectTcp(options.desktop));
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => client.destroySoon());
    const plain = { destinationReference: 0, sourceReference: 0, classOption: 0 };
    const negotiation = { flags: 0, requestedProtocols: Protocol.ssl };
    upstream.write(x224Frame(x224ConnectionRequest, { ...plain, negotiation }));
    const confirm = await wholeOf(upstream, (bytes) => decode(x224ConnectionConfirm, decode(tpkt, bytes).payload));
    if (confirm.negotiation?.kind !== 'response') throw new Error('the desktop does not speak TLS');
    const chosen = { ...confirm.negotiation, selectedProtocol: selects };
    client.write(x224Frame(x224ConnectionConfirm, { ...plain, negotiation: chosen }));
    const near = new TLSSocket(client, { isServer: true, secureContext }).on('error', () => {});
    const far = connectTls({ socket: upstream, rejectUnauthorized: false }).on('error', () => {});
    await Promise.all([once(near, 'secure'), once(far, 'secureConnect')]);
    near.write(capabilities);
    const said = await wholeOf(near, (bytes) => decode(rdstlsPdu, bytes));
    if (said.kind === 'passwordRequest') requests.push(said);
    if (closes) {
      near.end();
      return;
    }
    near.write(response);
    near.pipe(far).pipe(near);
  };

  function keep(socket: Socket): Socket {
    open.add(socket.on('error', () => socket.destroy()));
    return socket.on('close', () => open.delete(socket));
  }

  const server = createServer((client) => {
    serve(keep(client)).catch(() => client.destroy());
  });
  server.listen(options.port, options.host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    certificate,
    asked,
    requests,
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** One PDU from a peer that then waits. */
function wholeOf<T>(socket: Socket, read: (bytes: Uint8Array) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    let gathered = Buffer.alloc(0);
    const gone = (): void => reject(new Error('the peer left'));
    const take = (bytes: Buffer): void => {
      gathered = Buffer.concat([gathered, bytes]);
      const value = attempt(() => read(gathered));
      if (value === null && gathered.length <= requestBytesMax) return;
      socket.off('data', take).off('close', gone).pause();
      if (value === null) reject(new Error('the peer says something else'));
      else resolve(value);
    };
    socket.on('data', take).once('close', gone).resume();
  });
}
