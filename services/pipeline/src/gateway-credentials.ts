/**
 * Credentials the gateway issues: a client logs on to it with one by network level authentication, and the user's name says which
 * session it asks for. Of the secret only an NT hash is kept, sealed, and only as long as a connection of the session may come.
 */
import { createHash } from 'node:crypto';
import {
  gatewayUserPattern,
  isoOf,
  type LogonTry,
  LucidError,
  type PipelinePort,
  type SessionDocument,
} from '@lucid-sessions/contract';
import { type Context, editSession, loadJournal, loadSession, notInThisState, stateOf } from './context.ts';
import type { GatewayCredential } from './ports.ts';
import { onSession } from './session-work.ts';
import { openStates } from './state-machine.ts';

/** A credential that so many tried in vain is worth nothing any more. */
export const wrongTriesMax = 3;
const minuteUs = 60_000_000;

/** Nothing that looks like something else, nothing that needs a shift key; 31 of them. */
export const secretAlphabet = '23456789abcdefghjkmnpqrstuvwxyz';
/** 118 bits: whoever records a logon can try guesses on it at leisure. */
const secretCharacters = 24;
const groupCharacters = 4;
const userCharacters = 12;

/** Characters of `alphabet`, each as likely as the others. */
function draw(length: number, randomBytes: (length: number) => Uint8Array): string {
  const fair = 256 - (256 % secretAlphabet.length);
  let drawn = '';
  while (drawn.length < length)
    for (const byte of randomBytes(length))
      if (byte < fair && drawn.length < length) drawn += secretAlphabet[byte % secretAlphabet.length];
  return drawn;
}

/** In groups, as keys of licences are written: whoever types it keeps the place. */
export function makeSecret(randomBytes: (length: number) => Uint8Array): string {
  const drawn = draw(secretCharacters, randomBytes);
  return (drawn.match(new RegExp(`.{${groupCharacters}}`, 'g')) ?? []).join('-');
}

/** The same for a session whenever it is asked for: an .rdp file stays right when another secret is issued. */
export function gatewayUserOf(sessionId: string): string {
  const digest = createHash('sha256').update(`lucid-sessions/v1/gateway-user\0${sessionId}`).digest();
  let number = digest.readBigUInt64BE();
  let name = '';
  for (let at = 0; at < userCharacters; at++) {
    name += secretAlphabet[Number(number % BigInt(secretAlphabet.length))];
    number /= BigInt(secretAlphabet.length);
  }
  return `lucid-${name}`;
}

const sealName = (sessionId: string): string => `gateway credential of ${sessionId}`;

/** By the name as a client gives it; null: nobody has it. */
export async function findGatewayCredential({ deps }: Context, user: string): Promise<GatewayCredential | null> {
  const name = user.toLowerCase();
  return gatewayUserPattern.test(name) ? deps.journal.findCredential(name) : null;
}

async function checkOpen(context: Context, sessionId: string): Promise<SessionDocument> {
  const session = await loadSession(context, sessionId);
  const state = stateOf(session);
  // Nobody comes back to a session that its connection created, or a file.
  if (!openStates.includes(state) || session.created_by === null || session.imported)
    throw notInThisState(state, 'issue a credential');
  return session;
}

export async function issueCredential(
  context: Context,
  { sessionId, by }: Parameters<PipelinePort['issueCredential']>[0],
): ReturnType<PipelinePort['issueCredential']> {
  return onSession(context, sessionId, async (context) => {
    const { deps, limits } = context;
    await checkOpen(context, sessionId);
    const user = gatewayUserOf(sessionId);
    const other = await deps.journal.findCredential(user);
    if (other !== null && other.sessionId !== sessionId)
      throw new LucidError('conflict', 'another session has this user name; create a session with another id');
    const secret = makeSecret(deps.randomBytes);
    const issuedUs = deps.nowUs();
    const expiresUs = issuedUs + limits.gatewayCredentialMinutes * minuteUs;
    const ntHash = deps.ntHashOf(secret);
    const sealed = await deps.seal.seal(sealName(sessionId), ntHash);
    ntHash.fill(0);
    await deps.journal.putCredential({ sessionId, user, issuedUs, expiresUs, usedUs: null, wrongTries: 0, sealed });
    await editSession(context, sessionId, (session) => ({
      ...session,
      gateway_logon: {
        user,
        issued_at: isoOf(issuedUs),
        expires_at: isoOf(expiresUs),
        ...(by === undefined ? {} : { issued_by: by }),
      },
    }));
    return { credential: { user, secret, issuedUs, expiresUs } };
  });
}

/** After its first use it is good for reconnections as long as the session has a connection, or waits for it. */
async function isExpired(context: Context, { sessionId, expiresUs, usedUs }: GatewayCredential): Promise<boolean> {
  if (context.deps.nowUs() <= expiresUs) return false;
  return usedUs === null || !(await loadJournal(context, sessionId)).connected;
}

/**
 * Each of those under way may be wrong: together they get no more tries than one after the other. Wrong ones are read once more
 * behind that: one that was under way when the credential was read may have been told of meanwhile.
 */
async function mayTry(
  context: Context,
  { user, wrongTries }: GatewayCredential,
  connectionId: string,
): Promise<boolean> {
  const { pendingLogons } = context;
  if (!(await pendingLogons.add(user, connectionId, wrongTriesMax - wrongTries))) return false;
  const now = (await findGatewayCredential(context, user))?.wrongTries ?? wrongTriesMax;
  if (now + (await pendingLogons.count(user)) <= wrongTriesMax) return true;
  await pendingLogons.take(user, connectionId);
  return false;
}

export async function logonAccount(
  context: Context,
  { connectionId, user }: { connectionId: string; user: string },
): ReturnType<PipelinePort['logonAccount']> {
  const { deps, pendingLogons } = context;
  const credential = await findGatewayCredential(context, user);
  if (credential === null) return { account: null };
  const { sessionId, sealed } = credential;
  if (sealed === null) return { account: { sessionId, ntHash: null, standing: 'burnt' } };
  if (!(await mayTry(context, credential, connectionId))) return { account: null };
  const ntHash = await deps.seal.open(sealName(sessionId), sealed);
  if (ntHash === null) {
    await pendingLogons.take(credential.user, connectionId);
    deps.onError?.(
      'credential',
      new Error(`the credential of session ${sessionId} does not open: secrets.key changed`),
    );
    return { account: null };
  }
  return { account: { sessionId, ntHash, standing: (await isExpired(context, credential)) ? 'expired' : 'good' } };
}

export async function logonTried(
  context: Context,
  { connectionId, user, clientAddress, outcome }: LogonTry,
): Promise<void> {
  const known = await findGatewayCredential(context, user);
  if (known === null) return;
  if (outcome !== 'wrong') return context.pendingLogons.take(known.user, connectionId);
  await onSession(context, known.sessionId, async (context) => {
    if (!(await context.pendingLogons.has(known.user, connectionId))) return;
    const credential = await context.deps.journal.findCredential(known.user);
    // One that was issued anew meanwhile was not the one that was tried.
    const isTried = credential !== null && credential.issuedUs === known.issuedUs && credential.sealed !== null;
    if (isTried) {
      const wrongTries = credential.wrongTries + 1;
      const isBurnt = wrongTries >= wrongTriesMax;
      if (isBurnt) await auditBurnt(context, credential, { connectionId, clientAddress });
      await context.deps.journal.putCredential({ ...credential, wrongTries, ...(isBurnt ? { sealed: null } : {}) });
    }
    // Behind the count: in between it is counted twice, never not at all.
    await context.pendingLogons.take(known.user, connectionId);
  });
}

const auditBurnt = (
  { deps }: Context,
  { sessionId, user, issuedUs }: GatewayCredential,
  { connectionId, clientAddress }: { connectionId: string; clientAddress: string },
): Promise<void> =>
  deps.storage.appendAudit({
    eventId: `credential_burnt:${sessionId}:${issuedUs}`,
    timestampUs: deps.nowUs(),
    eventType: 'credential_burnt',
    userId: null,
    resourceId: sessionId,
    ipAddress: clientAddress,
    userAgent: null,
    success: false,
    errorMessage: `the credential was tried ${wrongTriesMax} times with a wrong secret and is worth nothing any more`,
    details: { user, connection_id: connectionId },
  });

/** A connection was admitted with it. Under the session's lock. */
export async function credentialUsed(context: Context, user: string): Promise<void> {
  const credential = await findGatewayCredential(context, user);
  if (credential === null || credential.usedUs !== null) return;
  await context.deps.journal.putCredential({ ...credential, usedUs: context.deps.nowUs() });
}
