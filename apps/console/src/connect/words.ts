/** Why a desktop did not come, or went, in words; and whether trying again by oneself may help. */
import type { HeardClose } from './heard-web-socket.ts';

/** Kinds of errors of the RDP client, as it numbers them. */
const kind = {
  general: 0,
  wrongPassword: 1,
  logonFailure: 2,
  accessDenied: 3,
  cleanPath: 4,
  proxyConnect: 5,
  negotiation: 6,
} as const;

interface ClientError {
  kind(): number;
  backtrace(): string;
  rdcleanpathDetails?(): { readonly httpStatusCode?: number } | undefined;
}

const isClientError = (error: unknown): error is ClientError =>
  typeof error === 'object' && error !== null && typeof (error as ClientError).kind === 'function';

const byStatus: Readonly<Record<number, string>> = {
  401: 'This link into the session was used already, or is too old.',
  403: 'This target is not open to sessions.',
  404: 'There is no such session any more.',
  409: 'The session has a connection already, or is over.',
  429: 'The gateway has as many connections as it takes.',
  502: 'The target can not be reached.',
  503: 'The gateway can not record this session now.',
};

const byKind: Readonly<Record<number, string>> = {
  [kind.wrongPassword]: 'The target says that the user name or password is wrong.',
  [kind.logonFailure]:
    'The target refused the logon: the user name or password may be wrong, or the account may not log on now.',
  [kind.accessDenied]: 'The target does not let this account log on by Remote Desktop.',
  [kind.proxyConnect]: 'The gateway can not be reached.',
  [kind.negotiation]: 'The target and this browser have no way of securing the connection in common.',
};

const sentence = (text: string): string => {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
};

/** What the user reads. What the gateway said as it closed says most. `isLoggingOn`: no desktop came yet. */
export function explainEnd(error: unknown, { reason }: HeardClose, isLoggingOn: boolean): string {
  const known = isClientError(error) ? error.kind() : null;
  if (known === kind.wrongPassword || known === kind.logonFailure || known === kind.accessDenied)
    return byKind[known] ?? '';
  if (reason !== '') return sentence(reason);
  if (!isClientError(error)) return error instanceof Error ? sentence(error.message) : 'The connection ended.';
  if (isLoggingOn && error.kind() === kind.general)
    return 'The target ended the connection during the logon: often the user name or password is wrong.';
  const status = error.rdcleanpathDetails?.()?.httpStatusCode;
  return (
    (status === undefined ? undefined : byStatus[status]) ??
    byKind[error.kind()] ??
    'The connection was lost, or the target ended it.'
  );
}
