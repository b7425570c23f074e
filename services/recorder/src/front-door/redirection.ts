/**
 * A target that sends its client on to another ([MS-RDPBCGR] 2.2.13.1: brokers, load balancers), before there is a desktop: the gateway
 * goes there itself, and the client stays where it is. What is dialled is judged like every target.
 */
import type { Duplex } from 'node:stream';
import type { RecordingFact, Route, SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { ErrorInfo, RedirectionFlag, type ServerRedirection } from '@lucid-sessions/rdp';
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
  if ((redirFlags & RedirectionFlag.passwordIsPkEncrypted) !== 0)
    return 'by RDSTLS, which the gateway does not speak; let the broker redirect without it';
  const names = [fields.targetFqdn, fields.targetNetAddress, fields.targetNetbiosName].map(textOf);
  const hosts = [...new Set(names.filter((name) => /^[A-Za-z0-9.:_-]{1,255}$/.test(name)))].slice(0, hostsMax);
  if (line === '' && hosts.length === 0) return 'without saying where to';
  const [username, domain, password] = [fields.userName, fields.domain, fields.password].map(textOf) as [
    string,
    string,
    string,
  ];
  const logon = username === '' || password === '' ? null : { username, domain, password };
  return { hosts: line === '' ? hosts : [], routingLine: line === '' ? null : line, logon };
}

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
        credentials,
        routingLine: onward.routingLine,
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
    let failure: unknown = null;
    for (const host of onward.hosts.length === 0 ? [ticket.target.host] : onward.hosts)
      try {
        return await go(onward, host, credentials, signal);
      } catch (error) {
        failure = error;
      }
    throw failure instanceof ConnectFailure
      ? failure
      : new ConnectFailure('target_unreachable', ErrorInfo.cbDestinationNotFound.code, (failure as Error).message);
  };
}
