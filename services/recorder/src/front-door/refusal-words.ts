/** What a client's user reads of a refusal, on a screen of the gateway's: what they can do, and nothing of the network behind it. */
import type { AttemptReason } from '@lucid-sessions/contract';
import type { DialogSpec } from '@lucid-sessions/screens';
import type { ConnectFailure } from './failure.ts';

const askOwner = 'Ask whoever gave you access, and name the reference below.';
const tryAgain = 'Try again in a moment. If it stays so, tell your administrator the reference below.';
const askAdministrator = 'Tell your administrator the reference below.';

const words: Readonly<Record<AttemptReason, string>> = {
  unknown_session: `There is no session by this name or file. Download a fresh connection file. ${askOwner}`,
  not_startable: `This session is over, or it has not been started yet. ${askOwner}`,
  in_use: 'This session has a connection already. Close that one first, or wait until it is lost.',
  expired: 'This connection file is too old. Download a fresh one.',
  not_reserved: 'Connecting took too long. Connect again.',
  at_capacity: 'The gateway has as many sessions as it may have. Try again later.',
  unavailable: `The gateway can not begin a session now. ${tryAgain}`,
  no_route: 'Your client does not say which session it wants. Open the connection file you were given.',
  tls_required: 'Your client does not offer TLS. Turn it on there, or use another client.',
  rate_limited: 'Too many connections come from your address. Wait a minute, then try again.',
  nla_required: 'Your client must log on to the gateway first (network level authentication). Turn it on there.',
  logon_failed: 'The user name or password for the gateway is wrong.',
  logon_expired: `The password for the gateway has expired. ${askOwner}`,
  logon_burnt: `The password for the gateway was wrong too often and is no longer taken. ${askOwner}`,
  consent_refused: 'What was to be acknowledged was not, so the session did not begin.',
  approval_refused: 'A second person has to let you in, and did not.',
  logon_cancelled: 'You did not sign in, so the session did not begin.',
  target_denied: `This computer may not be reached through the gateway. ${askAdministrator}`,
  credentials_missing: `The gateway has no credentials for the computer. ${askOwner}`,
  target_credentials_missing: `The computer wants to know who logs on before it connects, and this session has no credentials for it. ${askOwner}`,
  target_logon_failed: 'The computer says that the user name or password is wrong.',
  target_password_expired: 'The computer says that the password has expired. Set a new one first.',
  target_account_locked: 'The computer says that the account is locked out. Wait, or have it unlocked.',
  target_account_disabled: `The computer says that the account is disabled. ${askAdministrator}`,
  target_account_expired: `The computer says that the account has expired. ${askAdministrator}`,
  target_logon_denied: `The computer does not let this account log on by Remote Desktop. ${askAdministrator}`,
  target_ntlm_refused: `The computer does not take the gateway's way of logging on (NTLM). ${askAdministrator}`,
  target_kerberos_failed: `Logging on to the computer by its domain (Kerberos) did not work. ${askAdministrator}`,
  target_credssp_failed: `The computer and the gateway could not agree on a safe logon. ${askAdministrator}`,
  client_disconnected: 'The connection was closed.',
  client_tls_failed: 'TLS with your client failed.',
  handshake_timeout: 'Connecting took too long. Connect again.',
  target_unreachable: `The computer does not answer. ${tryAgain}`,
  target_tls_failed: `The computer could not be trusted, or has no TLS. ${askAdministrator}`,
  server_disconnected: `The computer closed the connection. ${tryAgain}`,
  recording_not_persisted: `The session can not be recorded now, so it may not begin. ${tryAgain}`,
  protocol_violation: `Your client and the gateway do not understand each other. ${askAdministrator}`,
  recorder_shutdown: 'The gateway is being shut down. Try again in a few minutes.',
};

export const refusalText = (reason: AttemptReason): string => words[reason];

export const referenceOf = (connectionId: string): string => `Reference ${connectionId}`;

export const refusalDialog = ({ reason, message }: ConnectFailure, connectionId: string): DialogSpec => ({
  id: 'refusal',
  title: 'You can not be connected',
  // What a person wrote is meant for the other.
  text: reason === 'approval_refused' ? `${refusalText(reason)}\n\n${message}` : refusalText(reason),
  fields: [],
  problem: '',
  buttons: [{ id: 'close', label: 'Close' }],
  waits: false,
  escape: 'close',
  footer: referenceOf(connectionId),
});
