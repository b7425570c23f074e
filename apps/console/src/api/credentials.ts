import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { Permission } from '@lucid-sessions/contract/roles';
import type { ApiClient } from './client.ts';

/** A browser that is signed in sends its cookie, and with it what `GET /auth/session` told; a player elsewhere has a token. */
export type Credentials = { token: string } | { csrfToken: string | null };

/** Who is signed in, and what they may: as the API says it, who also decides. */
export interface Claims {
  userId: string;
  displayName: string;
  roles: readonly string[];
  permissions: readonly Permission[];
  csrfToken: string | null;
}

/** Of whoever has just signed in. */
export const claimsOf = (answer: RestAnswer<'signIn'>): Claims => ({
  userId: answer.user_id,
  displayName: answer.display_name,
  roles: answer.roles,
  permissions: answer.permissions,
  csrfToken: answer.csrf_token,
});

export const may = (claims: Claims | null, permission: Permission): boolean =>
  claims?.permissions.includes(permission) ?? false;

/** Null: nobody is signed in. */
export async function askClaims(api: ApiClient): Promise<Claims | null> {
  const { user_id, method, ...answer } = await api.rest.whoAmI();
  return user_id === null || method === null ? null : claimsOf({ ...answer, user_id, method });
}
