/** The way to the target: TCP, X.224, TLS, and who it turned out to be. */
import { createHash } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { RecordingFact, SessionTicket } from '@lucid-sessions/contract';
import {
  ErrorInfo,
  NegotiationFailureCode,
  Protocol,
  type X224ConnectionConfirm,
  type X224ConnectionRequest,
  x224ConnectionConfirm,
  x224ConnectionRequest,
} from '@lucid-sessions/rdp';
import { ConnectFailure } from './failure.ts';
import { decodeTpdu, encodeTpdu, readTpkt } from './raw-exchange.ts';
import { tlsSettings } from './tls-settings.ts';

export type TargetCertificate = Omit<Extract<RecordingFact, { kind: 'target_certificate' }>, 'atUs'>;

export interface TargetConnection {
  socket: Socket;
  /** TCP address that was reached. */
  address: string;
  /** What was sent and answered before TLS. */
  request: Uint8Array;
  confirm: Uint8Array;
  selectedProtocol: number;
  /** Flags of its RDP_NEG_RSP. */
  negotiationFlags: number;
}

type Target = SessionTicket['target'];

const unreachable = (message: string): ConnectFailure =>
  new ConnectFailure('target_unreachable', ErrorInfo.cbDestinationNotFound.code, message);
const insecure = (message: string): ConnectFailure =>
  new ConnectFailure('target_tls_failed', ErrorInfo.serverDeniedConnection.code, message);

const name = ({ host, port }: Target): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/**
 * Connects to the target. `onCertificate` hears of its certificate whether it is accepted or not. Rejects with
 * `ConnectFailure` that says in plain words what is wrong.
 */
export async function connectTarget(
  target: Target,
  signal: AbortSignal,
  onCertificate: (certificate: TargetCertificate) => void,
): Promise<TargetConnection> {
  const tcp = await openTcp(target, signal);
  const address = `${tcp.remoteAddress ?? target.host}:${tcp.remotePort ?? target.port}`;
  try {
    const request = encodeTpdu(x224ConnectionRequest, requestFor(target));
    tcp.write(request);
    const confirm = await readTpkt(tcp, signal).catch((error: unknown) => {
      throw unreachable(`the target ${name(target)} does not answer as RDP: ${(error as Error).message}`);
    });
    const { selectedProtocol, flags } = selected(target, confirm);
    const socket = selectedProtocol === Protocol.ssl ? await secure(tcp, target, signal, onCertificate) : tcp;
    return { socket, address, request, confirm, selectedProtocol, negotiationFlags: flags };
  } catch (error) {
    tcp.destroy();
    throw error;
  }
}

function openTcp(target: Target, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: target.host, port: target.port, noDelay: true, allowHalfOpen: true });
    const onAbort = (): void => fail(new Error('no answer in time'));
    const settle = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', fail).off('connect', onConnect);
    };
    const fail = (error: Error): void => {
      settle();
      socket.on('error', () => {}).destroy();
      reject(unreachable(`the target ${name(target)} can't be reached: ${error.message}`));
    };
    const onConnect = (): void => {
      settle();
      // Later errors also close the socket; whoever uses it listens for that.
      socket.on('error', () => {});
      resolve(socket);
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort);
    socket.on('error', fail).on('connect', onConnect);
  });
}

/** Without the client's routing line: its token is for the gateway alone. */
function requestFor(target: Target): X224ConnectionRequest {
  const request = { destinationReference: 0, sourceReference: 0, classOption: 0 };
  if (!target.useTls) return request;
  return { ...request, negotiation: { flags: 0, requestedProtocols: Protocol.ssl } };
}

function selected(target: Target, pdu: Uint8Array): { selectedProtocol: number; flags: number } {
  let confirm: X224ConnectionConfirm;
  try {
    confirm = decodeTpdu(x224ConnectionConfirm, pdu);
  } catch (error) {
    throw unreachable(`the target ${name(target)} does not answer as RDP: ${(error as Error).message}`);
  }
  const answer = confirm.negotiation;
  if (answer?.kind === 'failure')
    throw insecure(`the target ${name(target)} refused: ${failureText(answer.failureCode)}`);
  const selectedProtocol = answer?.selectedProtocol ?? Protocol.rdp;
  const wanted = target.useTls ? Protocol.ssl : Protocol.rdp;
  if (selectedProtocol !== wanted) throw insecure(`the target ${name(target)} does not offer TLS; turn TLS on there`);
  return { selectedProtocol, flags: answer?.flags ?? 0 };
}

function failureText(failureCode: number): string {
  switch (failureCode) {
    case NegotiationFailureCode.hybridRequiredByServer:
    case NegotiationFailureCode.sslWithUserAuthRequiredByServer:
      return 'it demands network level authentication (NLA), which the gateway has no password for; allow TLS without NLA there';
    case NegotiationFailureCode.sslNotAllowedByServer:
    case NegotiationFailureCode.sslCertNotOnServer:
      return 'it does not offer TLS; turn TLS on there';
    default:
      return `negotiation failure ${failureCode}`;
  }
}

function secure(
  tcp: Socket,
  target: Target,
  signal: AbortSignal,
  onCertificate: (certificate: TargetCertificate) => void,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      ...tlsSettings,
      socket: tcp,
      // Judged below, where the outcome can be recorded; the handshake still proves that the target holds the key.
      rejectUnauthorized: false,
      ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
    });
    const settle = (): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', onError).off('close', onClose).off('secureConnect', onSecure);
      socket.on('error', () => {});
    };
    const fail = (error: Error): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onError = (error: Error): void =>
      fail(insecure(`TLS with the target ${name(target)} failed: ${error.message}`));
    const onClose = (): void => fail(insecure(`the target ${name(target)} closed the connection during TLS`));
    const onAbort = (): void => fail(insecure(`TLS with the target ${name(target)} was not done in time`));
    const onSecure = (): void => {
      const certificate = judge(socket, target);
      onCertificate(certificate);
      if (!certificate.valid && certificate.check !== 'ignored') {
        fail(insecure(`the certificate of ${name(target)} is not trusted: ${certificate.problem ?? 'unknown'}`));
        return;
      }
      settle();
      resolve(socket);
    };
    signal.addEventListener('abort', onAbort);
    socket.on('error', onError).on('close', onClose).on('secureConnect', onSecure);
  });
}

/** A pin replaces every other check; `ignoreCert` accepts anything but still says what would have been wrong. */
function judge(socket: TLSSocket, target: Target): TargetCertificate {
  const certificate = socket.getPeerCertificate(true);
  const sha256 = createHash('sha256').update(certificate.raw).digest('hex');
  const base = { kind: 'target_certificate', sha256 } as const;
  if (target.pinnedSha256 !== undefined) {
    const valid = target.pinnedSha256 === sha256;
    if (valid || !target.ignoreCert)
      return {
        ...base,
        check: 'pinned',
        valid,
        ...(valid ? {} : { problem: `its SHA-256 is ${sha256}, not the pinned one` }),
      };
  }
  const identityProblem = checkServerIdentity(target.host, certificate);
  const problem = socket.authorized ? identityProblem?.message : String(socket.authorizationError);
  const check = target.ignoreCert ? 'ignored' : 'system_roots';
  return { ...base, check, valid: problem === undefined, ...(problem === undefined ? {} : { problem }) };
}
