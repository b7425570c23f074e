/** Credentials the gateway logs on to the target with: asked for when a connection was found, and held by that connection alone. */
import type { RecordingFact, SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { ConnectFailure } from './failure.ts';
import type { Arrival } from './joining.ts';

const refused = (message: string, detail = ''): ConnectFailure =>
  new ConnectFailure('credentials_missing', ErrorInfo.serverDeniedConnection.code, message, detail);

/** A target that could be anybody's gets a password: whoever reads the recording has to know. */
export function noteUntrusted(facts: RecordingFact[], atUs: number): void {
  const certificate = facts.findLast((fact) => fact.kind === 'target_certificate');
  if (certificate?.valid === true) return;
  const what = 'the gateway logs on to a target whose certificate it does not trust (ignore_cert, or no TLS)';
  facts.push({ kind: 'downgrade', atUs, what });
}

/** By its keytab the gateway can prove who it is, and has no password to hand over: in restricted admin mode alone. */
const ownAccount = ({ dial }: Arrival['context'], { target, credentials }: SessionTicket): TargetCredentials | null =>
  credentials === 'none' && target.restrictedAdmin === true ? (dial.kerberos?.own(target) ?? null) : null;

/** Null where the session has none. Without them the client's own would be used, so their lack ends it. */
export async function injectedCredentials(
  { context, connectionId }: Pick<Arrival, 'context' | 'connectionId'>,
  ticket: SessionTicket,
): Promise<TargetCredentials | null> {
  if (ticket.credentials !== 'injected') return ownAccount(context, ticket);
  const answer = await context.pipeline.targetCredentials({ connectionId }).catch((error: unknown) => {
    // What Vault or the pipeline says of itself is the operator's to read.
    throw refused('the credentials for the target can not be had at the moment', (error as Error).message);
  });
  if (answer.credentials !== null) return answer.credentials;
  throw refused(
    'the credentials for the target have been forgotten, or were given for another one; start the session with new ones',
  );
}
