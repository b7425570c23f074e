/** A target that would not have us: what its user, its owner and the operator are told of it. */
import type { AttemptReason } from '@lucid-sessions/contract';
import { ErrorInfo } from '@lucid-sessions/rdp';
import type { LogonProblem } from '@lucid-sessions/rdp/auth';
import type { KerberosProblem } from '@lucid-sessions/rdp/kerberos';
import { ConnectFailure } from './failure.ts';
import { kerberosFailure } from './kerberos.ts';

interface Told {
  reason: AttemptReason;
  /** Goes on behind "the target HOST:PORT". */
  sentence: string;
  errorInfo?: number;
}

const denied = ErrorInfo.serverInsufficientPrivileges.code;

type Problem = LogonProblem | 'nlaRequired' | 'noRestrictedAdmin' | 'credsspViolation' | 'noRdstls' | 'rdstlsViolation';

const told: Readonly<Record<Problem, Told>> = {
  nlaRequired: {
    reason: 'target_credentials_missing',
    sentence:
      'demands network level authentication (NLA), and the session has no credentials for it; start the session with credentials for the target',
  },
  wrongPassword: { reason: 'target_logon_failed', sentence: 'says that the user name or password is wrong' },
  passwordExpired: { reason: 'target_password_expired', sentence: 'says that the password has expired; set a new one' },
  passwordMustChange: {
    reason: 'target_password_expired',
    sentence: 'says that the password must be changed before the first logon',
  },
  accountLocked: { reason: 'target_account_locked', sentence: 'says that the account is locked out' },
  accountDisabled: { reason: 'target_account_disabled', sentence: 'says that the account is disabled' },
  accountExpired: { reason: 'target_account_expired', sentence: 'says that the account has expired' },
  accountRestricted: {
    reason: 'target_logon_denied',
    sentence: 'says that the account may not log on at this time, from here, or without a password',
    errorInfo: denied,
  },
  logonNotGranted: {
    reason: 'target_logon_denied',
    sentence: 'says that the account may not log on by Remote Desktop; add it to the group Remote Desktop Users there',
    errorInfo: denied,
  },
  ntlmRefused: {
    reason: 'target_ntlm_refused',
    sentence: 'does not take NTLM, by its policy or for this account; allow NTLM there',
  },
  noAuthority: { reason: 'target_logon_failed', sentence: 'has no domain controller to check the password with' },
  refused: {
    reason: 'target_logon_failed',
    sentence: 'refused the logon without a reason we know; often the user name or password is wrong',
  },
  versionTooOld: {
    reason: 'target_credssp_failed',
    sentence: 'and the gateway allow no version of CredSSP in common; update it (CVE-2018-0886)',
  },
  noRestrictedAdmin: {
    reason: 'target_credssp_failed',
    sentence: 'has no restricted admin mode; turn it on there (DisableRestrictedAdmin 0), or leave it out',
  },
  credsspViolation: {
    reason: 'target_credssp_failed',
    sentence: 'broke the rules of CredSSP, or does not hold the key of its certificate; the password was not sent',
  },
  noRdstls: { reason: 'target_logon_failed', sentence: 'does not speak RDSTLS, by which the client was sent there' },
  rdstlsViolation: { reason: 'target_logon_failed', sentence: 'broke the rules of RDSTLS' },
};

/** Null: the target did not end because of the logon. */
export function logonFailure(name: string, how: string, problem: string, code?: number): ConnectFailure | null {
  const [, ofKerberos] = /^kerberos:(.+)$/.exec(how) ?? [];
  if (ofKerberos !== undefined) return kerberosFailure(name, ofKerberos as KerberosProblem, problem, code);
  if (!Object.hasOwn(told, how)) return null;
  const { reason, sentence, errorInfo = ErrorInfo.serverDeniedConnection.code } = told[how as keyof typeof told];
  const status = code === undefined ? '' : ` (0x${code.toString(16).padStart(8, '0')})`;
  return new ConnectFailure(reason, errorInfo, `the target ${name} ${sentence}${status}`, problem);
}

/** It closed before it was told who logs on, or said nothing more. */
export const unfinishedLogon = (name: string, problem: string): ConnectFailure =>
  new ConnectFailure(
    'target_credssp_failed',
    ErrorInfo.serverDeniedConnection.code,
    `the target ${name} did not finish network level authentication: ${problem}`,
  );

export const unfinishedRdstls = (name: string, problem: string): ConnectFailure =>
  new ConnectFailure(
    'target_logon_failed',
    ErrorInfo.serverDeniedConnection.code,
    `the target ${name} did not finish RDSTLS: ${problem}`,
  );

/** Restricted admin without credentials: what the client's user typed would reach the target after all. */
export const nobodyToLogOn = (name: string): ConnectFailure =>
  new ConnectFailure(
    'target_credentials_missing',
    ErrorInfo.serverDeniedConnection.code,
    `the target ${name} is to be logged on to in restricted admin mode, and the session has no credentials for it`,
  );
