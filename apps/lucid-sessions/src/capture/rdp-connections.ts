/** RDP connections of a packet capture, decrypted. */
import { tpkt, type X224ConnectionConfirm, x224ConnectionConfirm } from '@lucid-sessions/rdp';
import { DecodeError, decode } from '@lucid-sessions/wire';
import { CaptureError, type PacketFile } from './packet-file.ts';
import { type StreamPiece, type TcpConnection, tcpConnectionsOf } from './tcp-streams.ts';
import { type SessionCache, TlsConnection } from './tls-connection.ts';
import type { TlsSecrets } from './tls-keys.ts';

export interface CapturedPiece {
  fromServer: boolean;
  beforeTls: boolean;
  /** µs since 1970. */
  timeUs: number;
  bytes: Uint8Array;
}

export interface RdpConnection {
  client: string;
  server: string;
  /** TLS version and cipher suite as numbers of the registry; 0 where there was none. */
  tlsVersion: number;
  cipherSuite: number;
  pieces: CapturedPiece[];
  /** Why it can't be read, or from where on. Null: to its end. */
  problem: string | null;
}

export interface RdpFindings {
  connections: RdpConnection[];
  /** What else the capture holds, by what it is. */
  skipped: Record<string, number>;
}

const connectionRequest = 0xe0;
const connectionConfirm = 0xd0;
const helloBytesMax = 4096;

export function rdpConnectionsOf({ packets }: PacketFile, secrets: TlsSecrets): RdpFindings {
  const { connections, skipped } = tcpConnectionsOf(packets);
  const sessions: SessionCache = new Map();
  const found: RdpConnection[] = [];
  for (const connection of connections) {
    const oriented = orient(connection);
    if (oriented === null)
      skipped['TCP connections of other protocols'] = (skipped['TCP connections of other protocols'] ?? 0) + 1;
    else found.push(readConnection(oriented, secrets, sessions));
  }
  return { connections: found, skipped };
}

const beginsWith = (piece: StreamPiece | undefined, tpdu: number): boolean =>
  piece !== undefined && piece.bytes[0] === 3 && piece.bytes.length >= 7 && piece.bytes[5] === tpdu;

/** The side that sends the X.224 Connection Request is the client; null where nobody does. */
function orient(connection: TcpConnection): TcpConnection | null {
  const first = (fromServer: boolean) => connection.pieces.find((piece) => piece.fromServer === fromServer);
  if (beginsWith(first(false), connectionRequest)) return connection;
  if (!beginsWith(first(true), connectionRequest)) return null;
  const pieces = connection.pieces.map((piece) => ({ ...piece, fromServer: !piece.fromServer }));
  return { ...connection, client: connection.server, server: connection.client, pieces };
}

export function readConnection(connection: TcpConnection, secrets: TlsSecrets, sessions: SessionCache): RdpConnection {
  const reader = new Reader(secrets, sessions);
  let problem: string | null = null;
  try {
    for (const piece of connection.pieces) reader.push(piece);
    if (connection.missingBytes > 0)
      problem = `${connection.missingBytes} bytes were not captured; it is read up to there`;
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    problem = error.message;
  }
  const { client, server } = connection;
  return { client, server, ...reader.tls, pieces: reader.pieces, problem };
}

class Reader {
  readonly pieces: CapturedPiece[] = [];
  readonly #tls: TlsConnection;
  /** Bytes of each side's hello that are there; null behind it. */
  readonly #hello: [Uint8Array | null, Uint8Array | null] = [new Uint8Array(0), new Uint8Array(0)];
  #secured: boolean | null = null;
  /** From the client, before the server has chosen. */
  #early: StreamPiece[] = [];

  constructor(secrets: TlsSecrets, sessions: SessionCache) {
    this.#tls = new TlsConnection(secrets, sessions);
  }

  get tls(): { tlsVersion: number; cipherSuite: number } {
    return { tlsVersion: this.#tls.version, cipherSuite: this.#tls.suiteNumber };
  }

  push(piece: StreamPiece): void {
    const side = piece.fromServer ? 1 : 0;
    const hello = this.#hello[side];
    if (hello === null) this.#behind(piece);
    else this.#helloBytes(piece, side, Buffer.concat([hello, piece.bytes]));
  }

  #helloBytes({ fromServer, timeUs }: StreamPiece, side: 0 | 1, bytes: Buffer): void {
    this.#hello[side] = bytes;
    const length = bytes.length < 4 ? 0 : bytes.readUInt16BE(2);
    if (length > helloBytesMax) throw new CaptureError('its first PDU is too long for an X.224 hello');
    if (length === 0 || bytes.length < length) return;
    this.#hello[side] = null;
    const pdu = bytes.subarray(0, length);
    this.pieces.push({ fromServer, beforeTls: true, timeUs, bytes: pdu });
    if (fromServer) this.#choose(pdu);
    if (bytes.length > length) this.#behind({ fromServer, timeUs, bytes: bytes.subarray(length) });
    if (fromServer) for (const piece of this.#early.splice(0)) this.#behind(piece);
  }

  #choose(pdu: Uint8Array): void {
    if (pdu[5] !== connectionConfirm) throw new CaptureError('the server does not answer as RDP');
    let confirm: X224ConnectionConfirm;
    try {
      confirm = decode(x224ConnectionConfirm, decode(tpkt, pdu).payload);
    } catch (error) {
      if (error instanceof DecodeError) throw new CaptureError(`the server does not answer as RDP: ${error.message}`);
      throw error;
    }
    const { negotiation } = confirm;
    if (negotiation?.kind === 'failure') return;
    this.#secured = negotiation !== undefined && negotiation.selectedProtocol !== 0;
    if (!this.#secured) throw new CaptureError('it uses standard RDP security, which is not read');
  }

  #behind(piece: StreamPiece): void {
    if (this.#secured === null) {
      this.#early.push(piece);
      return;
    }
    const { fromServer, timeUs } = piece;
    for (const bytes of this.#tls.push(piece)) this.pieces.push({ fromServer, beforeTls: false, timeUs, bytes });
  }
}
