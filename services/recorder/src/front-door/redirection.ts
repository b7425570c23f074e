/**
 * A target that sends its client on to another ([MS-RDPBCGR] 2.2.13.1: brokers, load balancers), before there is a desktop: the gateway
 * goes there itself, and the client stays where it is. What is dialled is judged like every target.
 */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { RecordingFact, Route, SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import {
  ErrorInfo,
  type RdstlsCredentials,
  RedirectionFlag,
  type ServerRedirection,
  targetCertificateOf,
} from '@lucid-sessions/rdp';
import { textOfBytes, textOfUtf16 } from '@lucid-sessions/wire/struct';
import { type DialledTarget, dialTarget } from './dial.ts';
import { ConnectFailure } from './failure.ts';
import { noteUntrusted } from './injected.ts';
import type { ConnectionContext } from './ready-connection.ts';

/** Where to, and as whom. */
export interface Onward {
  /** In the order in which they are tried; none: the same host, which the line tells whom to give the client to. */
  hosts: string[];
  /** For the connection request, as the target gave it. */
  routingLine: string | null;
  /** What the target wants to see in Client Info; null: what the client said. */
  logon: TargetCredentials | null;
  /** Demanded, with what the target gave for it: the password is for the next target's key, and used once. */
  rdstls: RdstlsCredentials | null;
  /** Of the certificate the next target is to show; null: it named none. */
  certificateSha256: string | null;
}

export interface Followed {
  /** As it was named. */
  host: string;
  target: DialledTarget;
  socket: Duplex;
  facts: RecordingFact[];
}

export type Follow = (onward: Onward, credentials: TargetCredentials | null, signal: AbortSignal) => Promise<Followed>;

/** A broker, its host, and room; who sends a client round in circles is not followed for ever. */
export const redirectionsMax = 4;
const hostsMax = 3;
const lineCharactersMax = 512;

const textOf = (bytes: Uint8Array | undefined): string => textOfUtf16(bytes ?? new Uint8Array(0)).split('\0')[0] ?? '';

/** Answers in words why it can't be followed. */
export function onwardOf({ redirFlags, fields }: ServerRedirection): Onward | string {
  const line = textOfBytes(fields.loadBalanceInfo ?? new Uint8Array(0)).replace(/\r\n$/, '');
  if (line.length > lineCharactersMax || /[\r\n]/.test(line)) return 'with load balance information that is no line';
  const names = [fields.targetFqdn, fields.targetNetAddress, fields.targetNetbiosName].map(textOf);
  const hosts = [...new Set(names.filter((name) => /^[A-Za-z0-9.:_-]{1,255}$/.test(name)))].slice(0, hostsMax);
  if (line === '' && hosts.length === 0) return 'without saying where to';
  const [username, domain, password] = [fields.userName, fields.domain, fields.password].map(textOf) as [
    string,
    string,
    string,
  ];
  const certificate = fields.targetCertificate === undefined ? null : targetCertificateOf(fields.targetCertificate);
  if (fields.targetCertificate !== undefined && certificate === null)
    return 'with a certificate of that host that can not be read';
  const where = {
    hosts: line === '' ? hosts : [],
    routingLine: line === '' ? null : line,
    certificateSha256: certificate === null ? null : createHash('sha256').update(certificate).digest('hex'),
  };
  if ((redirFlags & RedirectionFlag.passwordIsPkEncrypted) !== 0) {
    if (username === '' || fields.password === undefined || fields.password.length === 0)
      return 'by RDSTLS without saying as whom';
    // The password is bytes under a key of the next target's: no text, and no use elsewhere.
    return { ...where, logon: { username, domain, password: '' }, rdstls: rdstlsOf(fields) };
  }
  const logon = username === '' || password === '' ? null : { username, domain, password };
  return { ...where, logon, rdstls: null };
}

const nothing = new Uint8Array(0);
const rdstlsOf = (fields: ServerRedirection['fields']): RdstlsCredentials => ({
  redirectionGuid: fields.redirectionGuid ?? nothing,
  userName: fields.userName ?? nothing,
  domain: fields.domain ?? nothing,
  password: fields.password ?? nothing,
});

const noRdstls = new ConnectFailure(
  'target_logon_failed',
  ErrorInfo.cbRedirectingToDestination.code,
  'the target sent the client on by RDSTLS, which a session without TLS or in restricted admin mode does not follow',
);

/** For one connection of a client. */
export function followerOf(
  ticket: SessionTicket,
  route: Route | null,
  { dial, handshakeMs, wallUs, watch }: ConnectionContext,
): Follow {
  const go = async (
    onward: Onward,
    host: string,
    credentials: TargetCredentials | null,
    rdstls: (() => RdstlsCredentials | null) | null,
    signal: AbortSignal,
  ): Promise<Followed> => {
    const facts: RecordingFact[] = [];
    // The operator named it. A session's own host is judged again: its name may lead elsewhere by now.
    const isOperators = route?.kind === 'listener' && host === ticket.target.host;
    const target = await dialTarget(
      { ...ticket.target, host },
      {
        ...dial,
        ...(isOperators ? { denied: () => null } : {}),
        credentials: rdstls === null ? credentials : null,
        routingLine: onward.routingLine,
        rdstls,
        namedSha256: onward.certificateSha256,
        wallUs,
        timeoutMs: handshakeMs / 2,
        signal,
        onFact: (fact) => facts.push(fact),
      },
    );
    if ((credentials ?? onward.logon) !== null) noteUntrusted(facts, wallUs());
    const socket = target.driver.release();
    watch(socket);
    return { host, target, socket, facts };
  };
  return async (onward, credentials, signal) => {
    const { useTls, restrictedAdmin } = ticket.target;
    if (onward.rdstls !== null && (!useTls || restrictedAdmin === true)) throw noRdstls;
    let held = onward.rdstls;
    const once = (): RdstlsCredentials | null => {
      const taken = held;
      held = null;
      return taken;
    };
    let failure: unknown = null;
    try {
      for (const host of onward.hosts.length === 0 ? [ticket.target.host] : onward.hosts) {
        // Who was told it may have kept it.
        if (onward.rdstls !== null && held === null) break;
        try {
          return await go(onward, host, credentials, onward.rdstls === null ? null : once, signal);
        } catch (error) {
          failure = error;
        }
      }
    } finally {
      onward.rdstls?.password.fill(0);
    }
    throw failure instanceof ConnectFailure
      ? failure
      : new ConnectFailure('target_unreachable', ErrorInfo.cbDestinationNotFound.code, (failure as Error).message);
  };
}
