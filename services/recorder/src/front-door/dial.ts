/** The way to the target: its address, TCP, X.224, TLS, and who it turned out to be. */
import { createHash } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { RecordingFact, SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import {
  ErrorInfo,
  Protocol,
  type RdstlsCredentials,
  Target,
  type TargetEvent,
  type TargetHello,
  type TargetLogon,
} from '@lucid-sessions/rdp';
import { type KerberosLogon, subjectPublicKeyOf } from '@lucid-sessions/rdp/auth';
import { Driver, type EndedEvent, SequenceEnded } from './driver.ts';
import { ConnectFailure } from './failure.ts';
import { keepAlive30 } from './keep-alive.ts';
import { type KerberosPolicy, type KerberosSettings, ticketFor, withoutKerberos } from './kerberos.ts';
import { logonFailure, nobodyToLogOn, unfinishedLogon, unfinishedRdstls } from './logon-failure.ts';
import { logonFacts, logonTo } from './target-logon.ts';
import { certificateProblem } from './tls-problem.ts';
import { isModern, legacyTlsSettings, tlsName, tlsSettings } from './tls-settings.ts';

export type TargetAddress = SessionTicket['target'];

export interface DialOptions {
  /** All addresses of a name, in the order in which they are tried. */
  resolve: (host: string) => Promise<string[]>;
  /** Whether this very address may be dialled; why not, or null. */
  denied: (address: string, target: TargetAddress) => string | null;
  /** Who logs on where the target wants network level authentication (NLA); null: then such a target is refused. */
  credentials: TargetCredentials | null;
  /** Tickets for such targets; null: NTLM alone. */
  kerberos: KerberosSettings | null;
  /** What a load balancer wants to read. */
  routingLine?: string | null;
  /** By RDSTLS alone, with what a redirection gave; null the second time. */
  rdstls?: (() => RdstlsCredentials | null) | null;
  /** SHA-256 of the certificate that a redirection says the target has. */
  namedSha256?: string | null;
  /** What a client that logs on by itself offers; just TLS unless given. */
  offer?: number;
  wallUs: () => number;
  timeoutMs: number;
  /** The client has left. */
  signal: AbortSignal;
  /** What is found out, whether it ends well or not. */
  onFact: (fact: RecordingFact) => void;
  /** TLS stands, and its certificate is about to be judged. */
  onTls?: (tls: TLSSocket) => void;
}

/** A target that answered and waits for the client. */
export interface DialledTarget {
  driver: Driver<TargetEvent>;
  /** TCP address that was reached. */
  address: string;
  hello: TargetHello;
}

const addressesMax = 8;

export const resolveAll = async (host: string): Promise<string[]> =>
  isIP(host) === 0 ? (await lookup(host, { all: true })).map(({ address }) => address) : [host];

const nameOf = ({ host, port }: TargetAddress): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Says the same whatever is wrong there: what a client learns must not be a map of the network. */
function unreachable(target: TargetAddress, detail: string): ConnectFailure {
  const message = `the target ${nameOf(target)} can't be reached by RDP`;
  return new ConnectFailure('target_unreachable', ErrorInfo.cbDestinationNotFound.code, message, detail);
}

const insecure = (target: TargetAddress, problem: string): ConnectFailure =>
  new ConnectFailure(
    'target_tls_failed',
    ErrorInfo.serverDeniedConnection.code,
    `the target ${nameOf(target)} ${problem}`,
  );

/** Ways to log on, in the order in which they are tried: by ticket inside SPNEGO, by NTLM as it is, inside SPNEGO. */
type LogonWay = 'kerberos' | TargetLogon['envelope'];

const waysOf: Readonly<Record<KerberosPolicy, readonly LogonWay[]>> = {
  off: ['raw', 'spnego'],
  prefer: ['kerberos', 'raw', 'spnego'],
  require: ['kerberos'],
};

/** Connects to the target. Rejects with `ConnectFailure`. */
export async function dialTarget(target: TargetAddress, options: DialOptions): Promise<DialledTarget> {
  const { credentials, kerberos, signal } = options;
  if (target.restrictedAdmin === true && credentials === null) throw nobodyToLogOn(nameOf(target));
  const untilMs = performance.now() + options.timeoutMs;
  const policy = credentials === null ? 'off' : policyFor(target, credentials, kerberos);
  const ways = waysOf[policy];
  let first: ConnectFailure | null = null;
  for (const [at, way] of ways.entries())
    try {
      return await dialOnce(target, options, untilMs, way, policy);
    } catch (error) {
      if (!(error instanceof SequenceEnded)) throw error;
      const failure = failureOf(target, error.event);
      if (error.event.at !== 'negotiation') throw failure;
      first ??= failure;
      if (at === ways.length - 1 || !mayWantOther(error.event) || signal.aborted) throw first;
      if (way === 'kerberos') options.onFact(withoutKerberos(error.event.problem, options.wallUs()));
    }
  throw first!;
}

/** The gateway's own account has no password that NTLM could be tried with. */
const policyFor = (target: TargetAddress, { password }: TargetCredentials, kerberos: KerberosSettings | null) =>
  password === '' ? 'require' : (kerberos?.policy(target) ?? 'off');

/** It ended before it was told who logs on: perhaps it takes NTLM alone, or inside SPNEGO alone. */
const mayWantOther = ({ how }: EndedEvent): boolean =>
  ['left', 'refused', 'credsspViolation', 'kerberos:notTaken'].includes(how);

/** Rejects with `SequenceEnded`, or `ConnectFailure` where there is no connection. */
async function dialOnce(
  target: TargetAddress,
  options: DialOptions,
  untilMs: number,
  way: LogonWay,
  policy: KerberosPolicy,
): Promise<DialledTarget> {
  const tcp = await openTcp(target, options, untilMs);
  const address = nameOf({ ...target, host: tcp.remoteAddress ?? target.host });
  const preconnection = target.preconnection === undefined ? null : { flags: 0, ...target.preconnection };
  const sequence = new Target(target.useTls ? (options.offer ?? Protocol.ssl) : Protocol.rdp, {
    logon: logonTo(target, options.credentials, way === 'spnego' ? 'spnego' : 'raw'),
    wantsTicket: way === 'kerberos',
    preconnection,
    routingLine: options.routingLine ?? null,
    rdstls: options.rdstls ?? null,
  });
  const driver = new Driver<TargetEvent>(tcp, sequence, {
    secure: (socket) => beginTls(socket, target),
    judge: (tls) => judgeTls(tls, target, options),
    publicKey: (tls) => subjectPublicKeyOf(tls.getPeerCertificate(true).raw),
  });
  const leave = (): void => driver.destroy('the client left');
  options.signal.addEventListener('abort', leave);
  driver.limit(untilMs - performance.now(), 'it did not answer in time');
  driver.run(sequence.start());
  try {
    if (options.signal.aborted) leave();
    let event = await driver.next();
    if (event.kind === 'ticketWanted') {
      const ticket = ticketOf(target, options, untilMs, policy, driver.signal);
      driver.run(sequence.useTicket(await driver.during(ticket)));
      event = await driver.next();
    }
    if (event.kind !== 'ready') throw new Error('a ticket is asked for once');
    const { hello } = event;
    if (hello.logon !== null && options.credentials !== null)
      for (const fact of logonFacts(hello.logon, options.credentials, options.wallUs())) options.onFact(fact);
    driver.limit(options.timeoutMs * 4, 'the client took too long');
    return { driver, address, hello };
  } catch (error) {
    driver.destroy('');
    throw error;
  } finally {
    options.signal.removeEventListener('abort', leave);
  }
}

async function ticketOf(
  target: TargetAddress,
  { kerberos, credentials, wallUs, onFact }: DialOptions,
  untilMs: number,
  policy: KerberosPolicy,
  signal: AbortSignal,
): Promise<KerberosLogon | null> {
  if (kerberos === null || credentials === null || policy === 'off') return null;
  const timeoutMs = Math.max(1, untilMs - performance.now());
  const asked = { credentials, host: target.host, timeoutMs, signal, name: nameOf(target) };
  return ticketFor(kerberos, policy, asked, { wallUs, onFact });
}

export function failureOf(target: TargetAddress, { how, at, problem, code }: EndedEvent): ConnectFailure {
  if (at === 'negotiation' && how === 'refused') return unfinishedLogon(nameOf(target), problem);
  const refused = logonFailure(nameOf(target), how, problem, code);
  if (refused !== null) return refused;
  switch (how) {
    case 'tlsFailed':
      return insecure(target, `was refused for its TLS: ${problem}`);
    case 'noTls':
      return insecure(target, 'does not offer TLS; turn TLS on there');
    case 'negotiationFailed':
      return insecure(target, `refused: ${problem}`);
    case 'late':
    case 'left':
      if (at === 'tls') return insecure(target, `did not finish TLS: ${problem}`);
      if (at === 'credssp' || at === 'negotiation' || at === 'ticket') return unfinishedLogon(nameOf(target), problem);
      if (at === 'rdstlsCapabilities' || at === 'rdstlsResponse') return unfinishedRdstls(nameOf(target), problem);
      break;
    default:
  }
  if (at === 'ready')
    return new ConnectFailure(
      'server_disconnected',
      ErrorInfo.cbDestinationNotFound.code,
      'the target closed the connection before the session began',
    );
  return unreachable(target, `it does not answer as RDP: ${problem}`);
}

async function addressesOf(target: TargetAddress, options: DialOptions, untilMs: number): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in time')), untilMs - performance.now());
  });
  try {
    return await Promise.race([options.resolve(target.host), late]);
  } catch (error) {
    throw unreachable(target, `its name can't be resolved: ${(error as Error).message}`);
  } finally {
    clearTimeout(timer);
  }
}

/** The addresses are judged after resolving, and those very addresses are dialled. */
async function openTcp(target: TargetAddress, options: DialOptions, untilMs: number): Promise<Socket> {
  const found = await addressesOf(target, options, untilMs);
  const judged = found.map((address) => ({ address, problem: options.denied(address, target) }));
  const allowed = judged.filter(({ problem }) => problem === null).slice(0, addressesMax);
  if (allowed.length === 0) {
    const refused = judged.map(({ address, problem }) => `${address}: ${problem}`).join('; ');
    throw unreachable(target, refused === '' ? 'its name has no address' : refused.slice(0, 500));
  }
  const problems: string[] = [];
  for (const [at, { address }] of allowed.entries()) {
    const shareMs = (untilMs - performance.now()) / (allowed.length - at);
    try {
      return await openOne(address, target.port, shareMs, options.signal);
    } catch (error) {
      problems.push(`${address}: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
    }
  }
  throw unreachable(target, problems.join('; '));
}

function openOne(host: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, noDelay: true, allowHalfOpen: true });
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', fail).off('connect', onConnect);
    };
    const fail = (error: Error): void => {
      settle();
      socket.on('error', () => {}).destroy();
      reject(error);
    };
    const onAbort = (): void => fail(new Error('the client left'));
    const onConnect = (): void => {
      settle();
      keepAlive30(socket);
      resolve(socket);
    };
    const timer = setTimeout(() => fail(new Error('no answer in time')), Math.max(0, timeoutMs));
    signal.addEventListener('abort', onAbort);
    socket.on('error', fail).on('connect', onConnect);
    if (signal.aborted) onAbort();
  });
}

const beginTls = (tcp: Duplex, target: TargetAddress): TLSSocket =>
  connectTls({
    ...(target.legacyTls ? legacyTlsSettings : tlsSettings),
    socket: tcp,
    // Judged below, where the outcome can be recorded; the handshake still proves that the target holds the key.
    rejectUnauthorized: false,
    // Without this Node looks for the wrong name where the target is an address.
    checkServerIdentity: () => undefined,
    ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
  });

function judgeTls(
  tls: TLSSocket,
  target: TargetAddress,
  { namedSha256, wallUs, onFact, onTls }: DialOptions,
): string | null {
  onTls?.(tls);
  const certificate = judgeCertificate(tls, target, namedSha256 ?? null);
  onFact({ kind: 'target_certificate', atUs: wallUs(), ...certificate, tls: tlsName(tls) });
  if (!certificate.valid && certificate.check !== 'ignored')
    return `its certificate is not trusted: ${certificate.problem ?? 'unknown'}`;
  if (!isModern(tls))
    onFact({ kind: 'downgrade', atUs: wallUs(), what: `old TLS to the target (legacy_tls): ${tlsName(tls)}` });
  return null;
}

interface JudgedCertificate {
  sha256: string;
  check: 'system_roots' | 'pinned' | 'ignored';
  valid: boolean;
  problem?: string;
}

/**
 * A pin replaces every other check, and what a trusted host's redirection named replaces the pin of that host; `ignoreCert` accepts
 * anything else but still says what would have been wrong.
 */
function judgeCertificate(socket: TLSSocket, target: TargetAddress, named: string | null): JudgedCertificate {
  const certificate = socket.getPeerCertificate(true);
  const sha256 = createHash('sha256').update(certificate.raw).digest('hex');
  if (named !== null && named !== sha256)
    return { sha256, check: 'pinned', valid: false, problem: `its SHA-256 is ${sha256}, not the redirection's` };
  if (named !== null && !target.ignoreCert) return { sha256, check: 'pinned', valid: true };
  if (target.pinnedSha256 !== undefined) {
    const valid = target.pinnedSha256 === sha256;
    const problem = valid ? {} : { problem: `its SHA-256 is ${sha256}, not the pinned one` };
    if (valid || !target.ignoreCert) return { sha256, check: 'pinned', valid, ...problem };
  }
  const found = socket.authorized ? checkServerIdentity(target.host, certificate) : socket.authorizationError;
  const check = target.ignoreCert ? 'ignored' : 'system_roots';
  return found === undefined || found === null
    ? { sha256, check, valid: true }
    : { sha256, check, valid: false, problem: certificateProblem(found) };
}
