/** Who the gateway is to a target that wants a logon, and what the recording says of it. */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { RecordingFact, SessionTicket, TargetCredentials } from '@lucid-sessions/contract';
import type { LoggedOn, TargetLogon } from '@lucid-sessions/rdp';

/** Oldest CredSSP spoken to a target: versions before prove the public key in a way that can be relayed (CVE-2018-0886). */
const minimumVersion = 5;
/** For targets a session or listener names as old (`legacy_tls`). */
const legacyMinimumVersion = 2;
/** Of a machine's name, as Windows knows it from before DNS. */
const netbiosUnitsMax = 15;

export function logonTo(
  { host, restrictedAdmin = false, legacyTls = false }: SessionTicket['target'],
  credentials: TargetCredentials | null,
  envelope: TargetLogon['envelope'],
): TargetLogon | null {
  if (credentials === null) return null;
  return {
    credentials: accountOf(credentials),
    targetName: `TERMSRV/${host}`,
    workstation: hostname().split('.')[0]!.toUpperCase().slice(0, netbiosUnitsMax),
    envelope,
    restrictedAdmin,
    minimumVersion: legacyTls ? legacyMinimumVersion : minimumVersion,
    platform: { randomBytes: (length) => randomBytes(length), nowMs: Date.now },
  };
}

/** `DOMAIN\\user` where there is no domain beside it; `user@domain` goes as it is. */
function accountOf({ username, domain, password }: TargetCredentials): TargetCredentials {
  const at = username.indexOf('\\');
  if (domain !== '' || at < 0) return { username, domain, password };
  return { username: username.slice(at + 1), domain: username.slice(0, at), password };
}

export function logonFacts(logon: LoggedOn, credentials: TargetCredentials, atUs: number): RecordingFact[] {
  const fact = logonFact(logon, credentials, atUs);
  if (logon.version >= minimumVersion) return [fact];
  return [fact, { kind: 'downgrade', atUs, what: `old CredSSP to the target (legacy_tls): version ${logon.version}` }];
}

function logonFact(
  { method, envelope, version }: LoggedOn,
  { username, domain }: TargetCredentials,
  atUs: number,
): RecordingFact {
  const user = domain === '' ? username : `${domain}\\${username}`;
  return { kind: 'target_logon', atUs, user, method, envelope, credsspVersion: version };
}
