/** Credentials for targets: sealed when they come, opened for a connection that was found, forgotten when their session is over. */
import {
  type CredentialReference,
  type CredentialSource,
  credentialTarget,
  LucidError,
  type NewTargetCredentials,
  type PipelinePort,
  type SessionDocument,
  type TargetCredentials,
} from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, stateOf } from './context.ts';
import { endLease, lent, lookAtLease } from './credential-leases.ts';
import type { Journal } from './ports.ts';
import { getSecret, putSecret, type SecretName } from './sealed-secrets.ts';
import { onSession } from './session-work.ts';

const hourUs = 3_600_000_000;
const targetsPage = 200;

interface Kept {
  atUs: number;
  given: Exclude<NewTargetCredentials, { source: 'client' }>;
  /** The target they were given for: for another one they are not used. */
  target: string;
}

interface KeptForTarget {
  atUs: number;
  given: NewTargetCredentials;
}

export const isGiven = (source: CredentialSource | undefined): boolean => source === 'injected' || source === 'vault';

const keptOf = (context: Context, sessionId: string): Promise<Kept | null> =>
  getSecret<Kept>(context, sessionId, 'target');

function checkReference({ deps }: Context, host: string, reference: CredentialReference): void {
  const { credentialProvider: provider } = deps;
  if (provider === undefined)
    throw new LucidError(
      'invalidRequest',
      'this installation is not set up to ask a Vault for credentials (LUCID_CREDENTIALS_VAULT_URL)',
    );
  if (!provider.allows(reference, host))
    throw new LucidError('invalidRequest', 'this path in Vault is not open to sessions with this target');
}

/** Under the session's lock. */
export async function keepCredentials(
  context: Context,
  session: SessionDocument,
  given: NewTargetCredentials,
): Promise<void> {
  if (given.source === 'vault') checkReference(context, session.rdp_config.host, given.reference);
  const { session_id: sessionId } = session;
  // What an earlier provider gave is not for these.
  await endLease(context, sessionId);
  if (given.source === 'client') return context.deps.journal.dropSealed(sessionId, 'target');
  await putSecret(context, sessionId, 'target', {
    atUs: context.deps.nowUs(),
    given,
    target: credentialTarget(session),
  });
}

/** Of a target, for sessions to come. */
export async function keepTargetSecret(
  context: Context,
  { secretId, host, targetCredentials: given }: Parameters<PipelinePort['keepTargetSecret']>[0],
): Promise<void> {
  if (given.source === 'vault') checkReference(context, host, given.reference);
  await putSecret(context, secretId, 'kept', { atUs: context.deps.nowUs(), given });
}

export async function dropTargetSecret(context: Context, { secretId }: { secretId: string }): Promise<void> {
  await context.deps.journal.dropSealed(secretId, 'kept');
}

export async function targetSecret(context: Context, secretId: string): Promise<NewTargetCredentials> {
  const kept = await getSecret<KeptForTarget>(context, secretId, 'kept');
  if (kept !== null) return kept.given;
  throw new LucidError('notInThisState', 'the credentials of this target are not there (any more): give it new ones');
}

/** A session that is started without new ones must still have its own. Under the session's lock. */
export async function checkKept(context: Context, session: SessionDocument): Promise<void> {
  if (!isGiven(session.credentials)) return;
  if ((await keptOf(context, session.session_id)) !== null) return;
  throw new LucidError(
    'notInThisState',
    'the credentials for its target have been forgotten: start it with target_credentials again',
  );
}

/** Of a connection that was found. */
export async function credentialsFor(
  context: Context,
  { connectionId }: { connectionId: string },
): Promise<{ credentials: TargetCredentials | null }> {
  const reservation = await context.reservations.get(connectionId);
  if (reservation === null || reservation.unsaved !== null) return { credentials: null };
  const { sessionId } = reservation;
  return onSession(context, sessionId, async (context) => {
    const session = await loadSession(context, sessionId);
    const kept = await keptOf(context, sessionId);
    if (kept === null || kept.target !== credentialTarget(session)) return { credentials: null };
    const { given } = kept;
    if (given.source === 'injected') return { credentials: given.credentials };
    return { credentials: await lent(context, session, given.reference) };
  });
}

/** Nobody will log on with them any more. Under the session's lock. */
export async function forgetCredentials(context: Context, sessionId: string): Promise<void> {
  await context.deps.journal.dropSealed(sessionId, 'target');
  await endLease(context, sessionId);
}

/** Used: what was given for one connection is gone when that is the session's. Under the session's lock. */
export async function spendCredentials(context: Context, sessionId: string): Promise<void> {
  const kept = await keptOf(context, sessionId);
  if (kept?.given.keep === 'once') await context.deps.journal.dropSealed(sessionId, 'target');
}

/** Nothing can be recorded in it any more, or not before somebody starts it again. */
function isOver(session: SessionDocument | null, journal: Journal): boolean {
  if (session === null) return true;
  const state = stateOf(session);
  if (state === 'stopping') return journal.startedUs !== null;
  return state === 'stopped' || state === 'error' || state === 'cleanup' || state === 'destroyed';
}

/** Nobody came for too long. */
function isTooOld({ deps, limits }: Context, session: SessionDocument, atUs: number): boolean {
  const issuedAt = session.rdp_file_issued_at ?? null;
  const ageUs = deps.nowUs() - Math.max(atUs, issuedAt === null ? 0 : Date.parse(issuedAt) * 1000);
  const fileHours = issuedAt === null ? 0 : 24 * limits.rdpFileDays;
  return [limits.credentialsHours, fileHours].some((hours) => hours > 0 && ageUs > hours * hourUs);
}

/** Under the session's lock. */
async function lookAt(context: Context, sessionId: string, name: SecretName): Promise<void> {
  const { session } = await context.deps.storage.getSession({ sessionId });
  const journal = await loadJournal(context, sessionId);
  const over = session === null || isOver(session, journal);
  if (name === 'target-lease') return lookAtLease(context, sessionId, journal, over);
  const kept = await keptOf(context, sessionId);
  const isUseless = over || kept === null || (!journal.connected && isTooOld(context, session, kept.atUs));
  if (isUseless) await forgetCredentials(context, sessionId);
}

/** Of no target (any more): whoever kept it died before the target was stored, or before it was dropped. */
async function sweepTargetSecrets(context: Context, secretIds: readonly string[]): Promise<void> {
  const { storage, nowUs } = context.deps;
  const used = new Set<unknown>();
  for (let after = ''; ; ) {
    const { entries } = await storage.listEntries({ kind: 'target', after, limit: targetsPage });
    for (const { value } of entries) used.add(value.secret_id);
    if (entries.length < targetsPage) break;
    after = entries.at(-1)!.id;
  }
  for (const secretId of secretIds) {
    if (used.has(secretId)) continue;
    const kept = await getSecret<KeptForTarget>(context, secretId, 'kept');
    // A target that is being made now is stored soon.
    if (kept === null || nowUs() - kept.atUs > hourUs) await dropTargetSecret(context, { secretId });
  }
}

/** A round over all that is kept. What fails is tried again by the next one. */
export async function sweepCredentials(context: Context): Promise<void> {
  const { journal, onError } = context.deps;
  const sealed = await journal.listSealed();
  const ofTargets = sealed.filter(({ name }) => name === 'kept').map(({ sessionId }) => sessionId);
  try {
    if (ofTargets.length > 0) await sweepTargetSecrets(context, ofTargets);
  } catch (thrown) {
    onError?.('credentials', thrown);
  }
  for (const { sessionId, name } of sealed) {
    if (name !== 'target' && name !== 'target-lease') continue;
    try {
      await onSession(context, sessionId, (context) => lookAt(context, sessionId, name));
    } catch (thrown) {
      onError?.('credentials', thrown);
    }
  }
}
