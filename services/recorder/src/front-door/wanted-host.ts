/** The host that a client of an RD Gateway names beside its session: compared with that session's target, never dialled. */
import { parseIpAddress, type SessionTicket } from '@lucid-sessions/contract';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { ConnectFailure } from './failure.ts';

export interface WantedHost {
  names: readonly string[];
  port: number;
}

const hostKey = (host: string): string => {
  const bare = host
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
  return parseIpAddress(bare)?.join('.') ?? bare;
};

/** Whether one of the names a client gives is the target's. */
export function namesTarget({ names, port }: WantedHost, target: SessionTicket['target']): boolean {
  return port === target.port && names.some((name) => hostKey(name) === hostKey(target.host));
}

export const otherHost = (): ConnectFailure =>
  new ConnectFailure(
    'target_denied',
    ErrorInfo.serverDeniedConnection.code,
    "the client asked for a host that is not its session's target",
  );
