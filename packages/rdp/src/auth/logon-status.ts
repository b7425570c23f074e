import { RdstlsResult } from '../pdu/rdstls.ts';

/** Why a logon was refused, as a target says it: NTSTATUS and SSPI codes of TSRequest.errorCode, [MS-CSSP] 2.2.1. */

export type LogonProblem =
  /** Wrong user name or password. */
  | 'wrongPassword'
  | 'passwordExpired'
  | 'passwordMustChange'
  | 'accountLocked'
  | 'accountDisabled'
  | 'accountExpired'
  /** Not at this hour, not from this machine, not with this password. */
  | 'accountRestricted'
  /** The account may not log on this way (by Remote Desktop). */
  | 'logonNotGranted'
  /** NTLM is not taken there: by policy, or for this account (Protected Users). */
  | 'ntlmRefused'
  /** The two sides have no version of CredSSP in common. */
  | 'versionTooOld'
  /** The target has no domain controller to ask. */
  | 'noAuthority'
  /** Refused with a code that is not known here, or without a word. */
  | 'refused';

export const LogonStatus = {
  logonFailure: 0xc000006d,
  accountExpired: 0xc0000193,
  accountLockedOut: 0xc0000234,
  noLogonServers: 0xc000005e,
  notSupported: 0xc00000bb,
  unsupportedFunction: 0x80090302,
} as const;

const problems: ReadonlyMap<number, LogonProblem> = new Map([
  [LogonStatus.logonFailure, 'wrongPassword'],
  // STATUS_NO_SUCH_USER, STATUS_WRONG_PASSWORD
  [0xc0000064, 'wrongPassword'],
  [0xc000006a, 'wrongPassword'],
  // SEC_E_LOGON_DENIED
  [0x8009030c, 'wrongPassword'],
  [0xc000006e, 'accountRestricted'],
  [0xc000006f, 'accountRestricted'],
  [0xc0000070, 'accountRestricted'],
  [0xc0000071, 'passwordExpired'],
  [0xc0000072, 'accountDisabled'],
  [0xc0000193, 'accountExpired'],
  [0xc0000224, 'passwordMustChange'],
  [0xc0000234, 'accountLocked'],
  [0xc000015b, 'logonNotGranted'],
  // STATUS_ACCOUNT_RESTRICTION by authentication policy, STATUS_NTLM_BLOCKED
  [0xc0000413, 'logonNotGranted'],
  [0xc0000418, 'ntlmRefused'],
  [LogonStatus.unsupportedFunction, 'ntlmRefused'],
  [LogonStatus.notSupported, 'versionTooOld'],
  // STATUS_NO_LOGON_SERVERS, SEC_E_NO_AUTHENTICATING_AUTHORITY
  [0xc000005e, 'noAuthority'],
  [0x80090311, 'noAuthority'],
]);

export const logonProblemOf = (code: number): LogonProblem => problems.get(code >>> 0) ?? 'refused';

const rdstlsProblems: ReadonlyMap<number, LogonProblem> = new Map([
  [RdstlsResult.accessDenied, 'logonNotGranted'],
  [RdstlsResult.logonFailure, 'wrongPassword'],
  [RdstlsResult.invalidLogonHours, 'accountRestricted'],
  [RdstlsResult.passwordExpired, 'passwordExpired'],
  [RdstlsResult.accountDisabled, 'accountDisabled'],
  [RdstlsResult.passwordMustChange, 'passwordMustChange'],
  [RdstlsResult.accountLockedOut, 'accountLocked'],
]);

/** The same of an RDSTLS authentication response, [MS-RDPBCGR] 2.2.17.4. */
export const rdstlsProblemOf = (resultCode: number): LogonProblem => rdstlsProblems.get(resultCode) ?? 'refused';

/** `0xc000006d` */
export const statusText = (code: number): string => `0x${(code >>> 0).toString(16).padStart(8, '0')}`;
