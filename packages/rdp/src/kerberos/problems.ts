/** Error codes of KDCs and services, RFC 4120 section 7.5.9, and what they mean to whoever logs on. */

export type KerberosProblem =
  /** The realm does not know who logs on. */
  | 'unknownAccount'
  | 'wrongPassword'
  | 'passwordExpired'
  /** Locked out, disabled, or not at this hour: a KDC says one code for all of them. */
  | 'accountRevoked'
  | 'accountExpired'
  /** The realm does not let this account do this. */
  | 'denied'
  /** The realm does not know the target: no `TERMSRV/host`. */
  | 'unknownService'
  /** The service takes tickets under a session key alone, which is not spoken here. */
  | 'userToUser'
  | 'clockSkew'
  /** The realm has no encryption in common with us, or for this account. */
  | 'encryption'
  /** No KDC answered. */
  | 'unreachable'
  /** The target does not hold the key that the ticket was made for. */
  | 'wrongServiceKey'
  /** The target takes no Kerberos, and nothing else may be used. */
  | 'notTaken'
  /** Something else, or what was answered is wrong. */
  | 'refused';

const problems: ReadonlyMap<number, KerberosProblem> = new Map([
  // KDC_ERR_NAME_EXP, SERVICE_EXP
  [1, 'accountExpired'],
  [2, 'unknownService'],
  // KDC_ERR_C_PRINCIPAL_UNKNOWN, S_PRINCIPAL_UNKNOWN
  [6, 'unknownAccount'],
  [7, 'unknownService'],
  // KDC_ERR_CANNOT_POSTDATE, NEVER_VALID: a clock that is ahead; POLICY
  [10, 'clockSkew'],
  [11, 'clockSkew'],
  [12, 'denied'],
  [14, 'encryption'],
  // KDC_ERR_CLIENT_REVOKED, SERVICE_REVOKED, CLIENT_NOTYET, SERVICE_NOTYET
  [18, 'accountRevoked'],
  [19, 'unknownService'],
  [21, 'accountExpired'],
  [22, 'unknownService'],
  [23, 'passwordExpired'],
  [24, 'wrongPassword'],
  [27, 'userToUser'],
  // KDC_ERR_SVC_UNAVAILABLE
  [29, 'unreachable'],
  // KRB_AP_ERR_BAD_INTEGRITY of a KDC: the key was wrong; as of a service: see below
  [31, 'wrongPassword'],
  [32, 'clockSkew'],
  [33, 'clockSkew'],
  [37, 'clockSkew'],
  // KRB_AP_ERR_NOKEY
  [45, 'wrongServiceKey'],
  [69, 'userToUser'],
]);

/** As a service says it in place of its AP-REP. */
const ofService: ReadonlyMap<number, KerberosProblem> = new Map([
  [31, 'wrongServiceKey'],
  // KRB_AP_ERR_BADKEYVER, NOT_US, MODIFIED
  [44, 'wrongServiceKey'],
  [35, 'wrongServiceKey'],
  [41, 'wrongServiceKey'],
]);

export const KdcCode = { preauthRequired: 25, wrongRealm: 68 } as const;

export const kerberosProblemOf = (code: number): KerberosProblem => problems.get(code) ?? 'refused';
export const serviceProblemOf = (code: number): KerberosProblem => ofService.get(code) ?? kerberosProblemOf(code);
