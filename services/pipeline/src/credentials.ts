/**
 * Credentials for targets: sealed when they come, opened for a connection that was found, forgotten when their session is over.
 * What was made for one session by a provider is renewed while it runs and taken back at its end.
 */
import {
  type CredentialReference,
  type CredentialSource,
  isLucidError,
  LucidError,
  type NewTargetCredentials,
  type SessionDocument,
  type TargetCredentials,
} from '@lucid-sessions/contract';
import { type Context, loadJournal, loadSession, stateOf } from './context.ts';
import type { CredentialLease, Journal } from './ports.ts';

/** Sealed texts are whole multiples of this, filled with spaces: how long a password is does not show. */
const padBytes = 512;
const hourUs = 3_600_000_000;
/** Credentials that end sooner are not given to a connection that begins now. */
const leaseLeftUsMin = 60_000_000;

interface Kept {
  atUs: number;
  given: Exclude<NewTargetCredentials, { source: 'client' }>;
  /** The target they were given for: for another one they are not used. */
  target: string;
}

interface KeptLease {
  /** Null once the session is over: what is left is to take it back. */
  credentials: TargetCredentials | null;
  lease: Pick<CredentialLease, 'id' | 'renewable'>;
  /** When it was given or renewed last, and when it ends by itself. */
  fromUs: number;
  untilUs: number;
}

export const isGiven = (source: CredentialSource | undefined): boolean => source === 'injected' || source === 'vault';

/** Where a session leads, and what is asked of the certificate there. */
const targetOf = ({ rdp_config: rdp }: SessionDocument): string =>
  JSON.stringify([rdp.host, rdp.port, rdp.use_tls, rdp.ignore_cert, rdp.pinned_sha256 ?? null]);

/** Names of what is sealed of a session. */
type Name = 'target' | 'target-lease';

/** No session's id holds a space: no two names are the same. */
const sealName = (sessionId: string, name: Name): string => `${sessionId} ${name}`;

async function put(context: Context, sessionId: string, name: Name, value: Kept | KeptLease): Promise<void> {
  const { seal, journal } = context.deps;
  const text = new TextEncoder().encode(JSON.stringify(value));
  const padded = new Uint8Array(padBytes * Math.ceil(text.length / padBytes)).fill(0x20);
  padded.set(text);
  await journal.putSealed(sessionId, name, await seal.seal(sealName(sessionId, name), padded));
}

async function get<T extends Kept | KeptLease>(context: Context, sessionId: string, name: Name): Promise<T | null> {
  const { seal, journal } = context.deps;
  const sealed = await journal.getSealed(sessionId, name);
  const opened = sealed === null ? null : await seal.open(sealName(sessionId, name), sealed);
  return opened === null ? null : (JSON.parse(new TextDecoder().decode(opened)) as T);
}

const keptOf = (context: Context, sessionId: string): Promise<Kept | null> => get<Kept>(context, sessionId, 'target');
const leaseOf = (context: Context, sessionId: string): Promise<KeptLease | null> =>
  get<KeptLease>(context, sessionId, 'target-lease');

function checkReference({ deps }: Context, { rdp_config: rdp }: SessionDocument, reference: CredentialReference): void {
  const { credentialProvider: provider } = deps;
  if (provider === undefined)
    throw new LucidError('invalidRequest', 'this installation is not set up to ask a Vault for credentials');
  if (!provider.allows(reference, rdp.host))
    throw new LucidError('invalidRequest', 'this path in Vault is not open to sessions with this target');
}

/** Under the session's lock. */
export async function keepCredentials(
  context: Context,
  session: SessionDocument,
  given: NewTargetCredentials,
): Promise<void> {
  if (given.source === 'vault') checkReference(context, session, given.reference);
  const { session_id: sessionId } = session;
  // What an earlier provider gave is not for these.
  await endLease(context, sessionId);
  if (given.source === 'client') return context.deps.journal.dropSealed(sessionId, 'target');
  await put(context, sessionId, 'target', { atUs: context.deps.nowUs(), given, target: targetOf(session) });
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
  const reservation = context.reservations.get(connectionId);
  if (reservation === null || reservation.unsaved !== null) return { credentials: null };
  const { sessionId } = reservation;
  return context.locks.run(sessionId, async () => {
    const session = await loadSession(context, sessionId);
    const kept = await keptOf(context, sessionId);
    if (kept === null || kept.target !== targetOf(session)) return { credentials: null };
    const { given } = kept;
    if (given.source === 'injected') return { credentials: given.credentials };
    return { credentials: await provided(context, session, given.reference) };
  });
}

/** One loan for all connections of a session: the next one logs on as the same user. */
async function provided(
  context: Context,
  session: SessionDocument,
  reference: CredentialReference,
): Promise<TargetCredentials> {
  const { credentialProvider: provider, nowUs } = context.deps;
  const { session_id: sessionId, rdp_config: rdp } = session;
  if (provider === undefined)
    throw new LucidError('unavailable', 'this installation is not set up to ask a Vault for credentials');
  const lent = await leaseOf(context, sessionId);
  if (lent !== null && lent.credentials !== null && lent.untilUs - nowUs() > leaseLeftUsMin) return lent.credentials;
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
  await put(context, sessionId, 'target-lease', kept);
}

/** Nobody will log on with them any more. Under the session's lock. */
export async function forgetCredentials(context: Context, sessionId: string): Promise<void> {
  await context.deps.journal.dropSealed(sessionId, 'target');
  await endLease(context, sessionId);
}

/** What was lent is taken back by the next round; until then only its name is kept. */
async function endLease(context: Context, sessionId: string): Promise<void> {
  const lent = await leaseOf(context, sessionId);
  if (lent === null || lent.credentials === null) return;
  await put(context, sessionId, 'target-lease', { ...lent, credentials: null });
  context.kickCredentials();
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
async function lookAt(context: Context, sessionId: string, name: Name): Promise<void> {
  const { session } = await context.deps.storage.getSession({ sessionId });
  const journal = await loadJournal(context, sessionId);
  const over = session === null || isOver(session, journal);
  if (name === 'target-lease') return lookAtLease(context, sessionId, journal, over);
  const kept = await keptOf(context, sessionId);
  const isUseless = over || kept === null || (!journal.connected && isTooOld(context, session, kept.atUs));
  if (isUseless) await forgetCredentials(context, sessionId);
}

async function lookAtLease(context: Context, sessionId: string, journal: Journal, over: boolean): Promise<void> {
  const { journal: store, nowUs, credentialProvider: provider } = context.deps;
  const lent = await leaseOf(context, sessionId);
  if (lent === null || provider === undefined || lent.untilUs <= nowUs())
    // It is over by itself, or nobody can be told.
    return store.dropSealed(sessionId, 'target-lease');
  const { credentials, lease, fromUs, untilUs } = lent;
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
  else await put(context, sessionId, 'target-lease', { ...lent, lease: { ...lease, renewable: false } });
}

/** A round over all that is kept. What fails is tried again by the next one. */
export async function sweepCredentials(context: Context): Promise<void> {
  const { journal, onError } = context.deps;
  for (const { sessionId, name } of await journal.listSealed()) {
    if (name !== 'target' && name !== 'target-lease') continue;
    try {
      await context.locks.run(sessionId, () => lookAt(context, sessionId, name));
    } catch (thrown) {
      onError?.('credentials', thrown);
    }
  }
}
