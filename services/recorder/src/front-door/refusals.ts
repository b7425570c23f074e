/** Why a connection comes to nothing, in the words of the contract. */
import { type ConnectionAttempt, type Refusal, targetLogonReasons } from '@lucid-sessions/contract';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { ConnectFailure } from './failure.ts';
import type { ProbeKind } from './ready-connection.ts';

export const targetReasons: ReadonlySet<string> = new Set([
  'target_unreachable',
  'target_tls_failed',
  ...targetLogonReasons,
  'server_disconnected',
]);

export function refusalOf({ code, message }: Refusal): ConnectFailure {
  const errorInfo = code === 'at_capacity' ? ErrorInfo.cbDestinationPoolNotFree : ErrorInfo.serverDeniedConnection;
  return new ConnectFailure(code, errorInfo.code, message);
}

export const crowded = (): ConnectFailure =>
  new ConnectFailure(
    'rate_limited',
    ErrorInfo.cbDestinationPoolNotFree.code,
    'too many sessions of this client address show no desktop yet',
  );

/** A pipeline that can't be reached is a refusal too. */
export async function reached<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    const message = 'the gateway can not look sessions up at the moment';
    throw new ConnectFailure(
      'unavailable',
      ErrorInfo.serverDeniedConnection.code,
      message,
      `the pipeline can't be reached: ${(error as Error).message}`,
    );
  }
}

export function probeKind(how: string, at: string, receivedBytes: number): ProbeKind {
  if (receivedBytes === 0) return 'tcp';
  if (how === 'garbage' || at === 'connectionRequest') return 'garbage';
  return at === 'connectInitial' ? 'tls' : 'x224';
}

export function reasonOf(how: string): ConnectionAttempt['reason'] {
  switch (how) {
    case 'late':
      return 'handshake_timeout';
    case 'garbage':
      return 'protocol_violation';
    case 'tlsFailed':
      return 'client_tls_failed';
    default:
      return 'client_disconnected';
  }
}
