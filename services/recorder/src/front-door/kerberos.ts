/** Tickets for targets: the port they come from, and when one is used. */
import {
  type AttemptReason,
  type RecordingFact,
  type SessionTicket,
  type TargetCredentials,
  type TargetRule,
  targetMatches,
} from '@lucid-sessions/contract';
import { ErrorInfo } from '@lucid-sessions/rdp';
import type { KerberosLogon } from '@lucid-sessions/rdp/auth';
import type { KerberosProblem } from '@lucid-sessions/rdp/kerberos';
import { ConnectFailure } from './failure.ts';

/** What Kerberos is for: not used, tried before NTLM, or all that is used. */
export type KerberosPolicy = 'off' | 'prefer' | 'require';

export interface TicketAsked {
  credentials: TargetCredentials;
  /** As the session names the target; the service is `TERMSRV/host`. */
  host: string;
  /** In all. */
  timeoutMs: number;
  signal: AbortSignal;
}

export type TicketAnswer =
  | ({ kind: 'ticket' } & Pick<KerberosLogon, 'ticket' | 'crypto'>)
  /** The account belongs to no realm that is known, or the target has no name: nobody was asked. */
  | { kind: 'notApplicable'; problem: string }
  | { kind: 'failed'; how: KerberosProblem; code: number | null; problem: string };

/** Where tickets come from. Never rejects, keeps neither password nor ticket, and is never longer than it may. */
export interface KerberosPort {
  ticket(asked: TicketAsked): Promise<TicketAnswer>;
  /** The gateway's own account, whose tickets are asked for with an empty password; null where it has none. */
  readonly own?: { username: string; domain: string } | null;
}

/** As configured: what holds, and for which targets something else does; the first that names a target. */
export interface KerberosRules {
  policy: KerberosPolicy;
  exceptions: readonly { target: TargetRule; policy: KerberosPolicy }[];
  /** Targets that the gateway's own account is for. */
  ownTargets: readonly TargetRule[];
}

export interface KerberosSettings {
  port: KerberosPort;
  policy: (target: Address) => KerberosPolicy;
  /** The gateway's own account where it is for this target. */
  own: (target: Address) => TargetCredentials | null;
}

type Address = Pick<SessionTicket['target'], 'host' | 'port'>;

export function kerberosSettings(
  port: KerberosPort,
  { policy, exceptions, ownTargets }: KerberosRules,
): KerberosSettings {
  // Networks are meant where a session names its target by address.
  const isOf = (rule: TargetRule, { host, port }: Address): boolean =>
    targetMatches(rule, { host, port, address: host });
  const { own = null } = port;
  return {
    port,
    policy: (target) => exceptions.find((exception) => isOf(exception.target, target))?.policy ?? policy,
    own: (target) => (own !== null && ownTargets.some((rule) => isOf(rule, target)) ? { ...own, password: '' } : null),
  };
}

/** What NTLM would not make better, or worse: it would be a wrong password once more. */
const isFinal: ReadonlySet<KerberosProblem> = new Set([
  'wrongPassword',
  'passwordExpired',
  'accountRevoked',
  'accountExpired',
]);

const ticketMsMax = 10_000;

/** A ticket, or null where NTLM may be used in its place, which is a fact. Rejects with `ConnectFailure`. */
export async function ticketFor(
  { port }: KerberosSettings,
  policy: 'prefer' | 'require',
  { name, ...asked }: TicketAsked & { name: string },
  { wallUs, onFact }: { wallUs: () => number; onFact: (fact: RecordingFact) => void },
): Promise<KerberosLogon | null> {
  const answer = await port.ticket({ ...asked, timeoutMs: Math.min(asked.timeoutMs, ticketMsMax) });
  const mayUseNtlm = policy === 'prefer';
  if (answer.kind === 'ticket') return { ticket: answer.ticket, crypto: answer.crypto, mayUseNtlm };
  if (!mayUseNtlm || (answer.kind === 'failed' && isFinal.has(answer.how)))
    throw answer.kind === 'failed'
      ? kerberosFailure(name, answer.how, answer.problem, answer.code ?? undefined)
      : kerberosFailure(name, 'unknownAccount', answer.problem);
  if (answer.kind === 'failed') onFact(withoutKerberos(answer.problem, wallUs()));
  return null;
}

export const withoutKerberos = (problem: string, atUs: number): RecordingFact => ({
  kind: 'downgrade',
  atUs,
  what: `NTLM to the target in place of Kerberos: ${problem}`.slice(0, 500),
});

interface Told {
  reason: AttemptReason;
  /** `NAME` is the target's. */
  sentence: string;
  errorInfo?: number;
}

const told: Readonly<Record<KerberosProblem, Told>> = {
  unknownAccount: { reason: 'target_logon_failed', sentence: 'the realm does not know who is to log on to NAME' },
  wrongPassword: { reason: 'target_logon_failed', sentence: 'the realm says that the password for NAME is wrong' },
  passwordExpired: {
    reason: 'target_password_expired',
    sentence: 'the realm says that the password for NAME has expired; set a new one',
  },
  accountRevoked: {
    reason: 'target_account_disabled',
    sentence: 'the realm says that the account for NAME is locked out, disabled, or not to be used at this hour',
  },
  accountExpired: {
    reason: 'target_account_expired',
    sentence: 'the realm says that the account for NAME has expired, or is not valid yet',
  },
  denied: {
    reason: 'target_logon_denied',
    sentence: 'the realm gives this account no ticket for NAME, by its policy',
    errorInfo: ErrorInfo.serverInsufficientPrivileges.code,
  },
  unknownService: {
    reason: 'target_kerberos_failed',
    sentence:
      'the realm knows no service TERMSRV for NAME; name the target as its directory does, or register that name (setspn)',
  },
  userToUser: {
    reason: 'target_kerberos_failed',
    sentence:
      'NAME takes Kerberos from user to user alone, which the gateway does not speak; register TERMSRV for it (setspn)',
  },
  clockSkew: {
    reason: 'target_kerberos_failed',
    sentence: 'the clocks of gateway, realm and NAME are too far apart for Kerberos; set them by NTP',
  },
  encryption: {
    reason: 'target_kerberos_failed',
    sentence: 'the realm offers no encryption for NAME that the gateway speaks (AES); its accounts need AES keys',
  },
  unreachable: {
    reason: 'target_kerberos_failed',
    sentence: 'no Kerberos server of the realm answers, so nobody can log on to NAME',
  },
  wrongServiceKey: {
    reason: 'target_kerberos_failed',
    sentence:
      'NAME can not open the ticket that was made for it; its key (keytab, machine account) is another one, or the name is',
  },
  notTaken: {
    reason: 'target_kerberos_failed',
    sentence: 'NAME takes no Kerberos, and nothing else may be used (LUCID_KERBEROS)',
  },
  refused: { reason: 'target_kerberos_failed', sentence: 'Kerberos for NAME failed' },
};

export function kerberosFailure(name: string, how: KerberosProblem, problem: string, code?: number): ConnectFailure {
  const { reason, sentence, errorInfo = ErrorInfo.serverDeniedConnection.code } = told[how];
  const suffix = code === undefined || code === 0 ? '' : ` (Kerberos error ${code})`;
  return new ConnectFailure(reason, errorInfo, sentence.replace('NAME', () => `the target ${name}`) + suffix, problem);
}
