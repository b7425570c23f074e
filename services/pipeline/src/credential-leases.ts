/** Credentials a provider made for one session: the same for all its connections, renewed while it runs, taken back at its end. */
import {
  type CredentialReference,
  isLucidError,
  LucidError,
  type SessionDocument,
  type TargetCredentials,
} from '@lucid-sessions/contract';
import type { Context } from './context.ts';
import type { CredentialLease, Journal } from './ports.ts';
import { getSecret, putSecret } from './sealed-secrets.ts';

/** Credentials that end sooner are not given to a connection that begins now. */
const leaseLeftUsMin = 60_000_000;

interface KeptLease {
  /** Null once the session is over: what is left is to take it back. */
  credentials: TargetCredentials | null;
  lease: Pick<CredentialLease, 'id' | 'renewable'>;
  /** When it was given or renewed last, and when it ends by itself. */
  fromUs: number;
  untilUs: number;
}

const leaseOf = (context: Context, sessionId: string): Promise<KeptLease | null> =>
  getSecret<KeptLease>(context, sessionId, 'target-lease');

/** One loan for all connections of a session: the next one logs on as the same user. */
export async function lent(
  context: Context,
  session: SessionDocument,
  reference: CredentialReference,
): Promise<TargetCredentials> {
  const { credentialProvider: provider, nowUs } = context.deps;
  const { session_id: sessionId, rdp_config: rdp } = session;
  if (provider === undefined)
    throw new LucidError(
      'unavailable',
      'this installation is not set up to ask a Vault for credentials (LUCID_CREDENTIALS_VAULT_URL)',
    );
  const kept = await leaseOf(context, sessionId);
  if (kept !== null && kept.credentials !== null && kept.untilUs - nowUs() > leaseLeftUsMin) return kept.credentials;
  // What was to be taken back has no place beside the new one.
  if (kept?.credentials === null) await provider.revoke(kept.lease.id);
  const { credentials, lease } = await provider.read(reference, rdp.host);
  if (lease !== null) await putLease(context, sessionId, credentials, lease);
  return credentials;
}

async function putLease(
  context: Context,
  sessionId: string,
  credentials: TargetCredentials | null,
  { id, renewable, seconds }: CredentialLease,
): Promise<void> {
  const fromUs = context.deps.nowUs();
  const kept: KeptLease = { credentials, lease: { id, renewable }, fromUs, untilUs: fromUs + seconds * 1_000_000 };
  await putSecret(context, sessionId, 'target-lease', kept);
}

/** What was lent is taken back by the next round; until then only its name is kept. */
export async function endLease(context: Context, sessionId: string): Promise<void> {
  const kept = await leaseOf(context, sessionId);
  if (kept === null || kept.credentials === null) return;
  await putSecret(context, sessionId, 'target-lease', { ...kept, credentials: null });
  context.kickCredentials();
}

export async function lookAtLease(context: Context, sessionId: string, journal: Journal, over: boolean): Promise<void> {
  const { journal: store, nowUs, credentialProvider: provider } = context.deps;
  const kept = await leaseOf(context, sessionId);
  if (kept === null || provider === undefined || kept.untilUs <= nowUs())
    // It is over by itself, or nobody can be told.
    return store.dropSealed(sessionId, 'target-lease');
  const { credentials, lease, fromUs, untilUs } = kept;
  if (over || credentials === null) {
    await provider.revoke(lease.id);
    return store.dropSealed(sessionId, 'target-lease');
  }
  const isDue = nowUs() - fromUs > (untilUs - fromUs) / 2;
  if (!(lease.renewable && journal.connected && isDue)) return;
  const renewed = await provider.renew(lease.id).catch((thrown: unknown) => {
    // Not to be had for longer: it ends by itself.
    if (isLucidError(thrown, 'invalidRequest')) return null;
    throw thrown;
  });
  if (renewed !== null) await putLease(context, sessionId, credentials, renewed);
  else await putSecret(context, sessionId, 'target-lease', { ...kept, lease: { ...lease, renewable: false } });
}
