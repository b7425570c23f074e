const storageKey = 'lucid-token';

/** What the console shows of the signed-in user. Read from the token without checking it: the API is who decides. */
export interface Claims {
  userId: string;
  roles: readonly string[];
  /** Seconds since 1970; null when the token doesn't expire. */
  expiresAtSeconds: number | null;
}

/** The token lives in this tab's sessionStorage: never in a URL, gone with the tab. */
export function storedToken(): string | null {
  return sessionStorage.getItem(storageKey);
}

export function storeToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(storageKey);
  else sessionStorage.setItem(storageKey, token);
}

/** Claims of a JWT; null when the text is not one. */
export function readClaims(token: string): Claims | null {
  const payload = token.split('.')[1];
  if (payload === undefined || token.split('.').length !== 3) return null;
  try {
    const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof claims !== 'object' || claims === null) return null;
    const { user_id: userId, sub, roles, exp } = claims as Record<string, unknown>;
    const name = typeof userId === 'string' ? userId : typeof sub === 'string' ? sub : null;
    if (name === null) return null;
    return {
      userId: name,
      roles: Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : [],
      expiresAtSeconds: typeof exp === 'number' ? exp : null,
    };
  } catch {
    return null;
  }
}
