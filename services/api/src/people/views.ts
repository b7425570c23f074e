/** What the API says of accounts and what belongs to them: never a secret, never its hash. */
import { isoOf, permissions } from '@lucid-sessions/contract';
import type { KeptAccount } from './accounts.ts';
import { mayDo } from './callers.ts';
import type { KeptPasskey } from './passkeys.ts';
import type { KeptSignIn } from './sign-ins.ts';
import type { KeptToken } from './tokens.ts';

const isoOrNull = (us: number | null): string | null => (us === null ? null : isoOf(us));

export function userViewOf({ id, value }: KeptAccount, passkeysCount: number) {
  const { roles } = value;
  return {
    user_id: id,
    display_name: value.displayName,
    roles,
    permissions: permissions.filter((permission) => mayDo({ roles, limit: null }, permission)),
    scope: value.scope ?? null,
    disabled: value.disabled,
    has_password: value.password !== null,
    has_totp: value.totp?.confirmed === true,
    passkeys: passkeysCount,
    recovery_codes: value.recovery.length,
    provider: value.provider,
    created_at: isoOf(value.createdUs),
    created_by: value.createdBy,
    signed_in_at: isoOrNull(value.signedInUs),
  };
}

export const passkeyViewOf = ({ id, value }: KeptPasskey) => ({
  passkey_id: id,
  name: value.name,
  created_at: isoOf(value.createdUs),
  used_at: isoOrNull(value.usedUs),
});

export const signInViewOf = ({ id, value, untilUs }: KeptSignIn, currentId: string | null) => ({
  sign_in_id: id,
  method: value.method,
  created_at: isoOf(value.createdUs),
  seen_at: isoOf(value.seenUs),
  expires_at: isoOf(untilUs ?? 0),
  ip_address: value.ipAddress,
  user_agent: value.userAgent,
  current: id === currentId,
});

export const tokenViewOf = ({ id, value, untilUs }: KeptToken) => ({
  token_id: id,
  name: value.name,
  permissions: value.permissions,
  scope: value.scope ?? null,
  created_at: isoOf(value.createdUs),
  expires_at: isoOf(untilUs ?? 0),
  used_at: isoOrNull(value.usedUs),
  used_from: value.usedFrom,
});
