/** What a client needs to get into its session: an .rdp file, a credential to log on with, a browser's token. */
import { createHash } from 'node:crypto';
import {
  type BrowserToken,
  type IssuedCredentialAnswer,
  isoOf,
  LucidError,
  type SessionDocument,
} from '@lucid-sessions/contract';
import { isLoopback } from '@lucid-sessions/kit';
import { type Call, FileAnswer, type Handlers, loadSession } from './call.ts';
import type { ApiConfig } from './config.ts';
import { browserDoorPath } from './doors.ts';
import { addressOf, type RdpKey, type RdpWay, rdpFile, routeTokenBytes } from './rdp-file.ts';

const swapsMax = 5;

/** Before the token is good: from here on the session takes its token only. */
async function noteIssued(call: Call<'rdpFile'>, loaded: SessionDocument): Promise<void> {
  const { storage, nowUs } = call.api.deps;
  let session = loaded;
  for (let swap = 0; swap < swapsMax; swap++) {
    const { replaced, current } = await storage.replaceSession({
      session: {
        ...session,
        rdp_file_issued_at: isoOf(nowUs()),
        rdp_file_issued_by: call.user.userId,
        version: session.version + 1,
      },
      expectedVersion: session.version,
    });
    if (replaced) return;
    session = current ?? (await loadSession(call));
  }
  throw new LucidError('conflict', 'the session is being changed by someone else; try again');
}

function wayOf({ api: { config }, query }: Call<'rdpFile'>): RdpWay {
  if (query.via !== 'gateway') return { kind: 'listener', ...config.gateway };
  if (config.rdGateway === null)
    throw new LucidError('invalidRequest', 'no RD Gateway has an address here (RDP_GATEWAY or LUCID_PUBLIC_URL)');
  return { kind: 'gateway', ...config.rdGateway };
}

/** What about the address in files and answers can not be right. */
function addressWarnings({ gateway, rdpIsOpen }: ApiConfig): string[] {
  if (!rdpIsOpen || !isLoopback(gateway.host)) return [];
  return [
    `clients are sent to ${gateway.host}, which is their own machine, while the listener is open to others; set LUCID_PUBLIC_RDP_HOST to the name or address they know the gateway by`,
  ];
}

async function issueCredential(call: Call<'issueCredential'>): Promise<IssuedCredentialAnswer> {
  const { config, deps } = call.api;
  const { sessionId } = call;
  if (config.nla === 'off') throw new LucidError('invalidRequest', 'clients do not log on to this gateway (RDP_NLA)');
  const { credential } = await deps.pipeline.issueCredential({ sessionId, by: call.user.userId });
  call.told.username = credential.user;
  return {
    session_id: sessionId,
    username: credential.user,
    password: credential.secret,
    issued_at: isoOf(credential.issuedUs),
    expires_at: isoOf(credential.expiresUs),
    address: addressOf(config.gateway),
    warnings: addressWarnings(config),
  };
}

/** A token that replaces the one before, or the name of the credential that was issued. */
async function keyOf(call: Call<'rdpFile'>, session: SessionDocument): Promise<RdpKey> {
  const { deps, config } = call.api;
  const logon =
    call.query.logon ?? (config.nla === 'required' && call.query.via !== 'gateway' ? 'credential' : 'token');
  if (logon === 'credential') {
    if (call.query.via === 'gateway')
      throw new LucidError('invalidRequest', 'through the RD Gateway a file needs its token');
    const user = session.gateway_logon?.user;
    if (user === undefined)
      throw new LucidError('notInThisState', 'issue a credential first: POST /api/v1/sessions/{id}/credential');
    return { kind: 'credential', user };
  }
  await noteIssued(call, session);
  const token = Buffer.from(deps.randomBytes(routeTokenBytes)).toString('base64url');
  const tokenSha256 = createHash('sha256').update(token).digest('hex');
  await deps.storage.setRouteToken({ sessionId: call.sessionId, tokenSha256 });
  return { kind: 'token', token };
}

async function makeRdpFile(call: Call<'rdpFile'>): Promise<FileAnswer> {
  const { deps, config } = call.api;
  const way = wayOf(call);
  const session = await loadSession(call);
  if (session.status !== 'created' && session.status !== 'starting')
    throw new LucidError('notInThisState', `the session is ${session.status}; create a new one to connect`);
  const key = await keyOf(call, session);
  const text = rdpFile(session, way, key);
  const warnings = way.kind === 'listener' ? addressWarnings(config) : [];
  return new FileAnswer(
    new TextEncoder().encode(deps.signRdpFile?.(text) ?? text),
    `${call.sessionId}.rdp`,
    warnings.length === 0 ? {} : { 'x-lucid-warning': warnings.join('; ') },
  );
}

async function makeBrowserToken(call: Call<'browserToken'>): Promise<BrowserToken> {
  const { api, sessionId, user } = call;
  const { token, expiresUs } = await api.deps.pipeline.issueBrowserToken({ sessionId, userId: user.userId });
  return { token, path: browserDoorPath(sessionId), expires_at: isoOf(expiresUs) };
}

export const connectHandlers: Handlers<'issueCredential' | 'rdpFile' | 'browserToken'> = {
  issueCredential,
  rdpFile: makeRdpFile,
  browserToken: makeBrowserToken,
};
