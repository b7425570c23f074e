/** What a provider says of a person, as accounts take it. */
import { displayNameMax, type Role, roles, userIdPattern } from '@lucid-sessions/contract';

type Claims = Readonly<Record<string, unknown>>;

const groupsMax = 2000;
const nameCharactersMax = 60;

const isObject = (value: unknown): value is Claims =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A claim by its name, or by its path, as Keycloak's `realm_access.roles`. */
function claimOf(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let at: unknown = claims;
  for (const part of name.split('.')) at = isObject(at) && Object.hasOwn(at, part) ? at[part] : undefined;
  return at;
}

/** Null: the claim is not there at all. */
export function groupsOf(claims: Claims, name: string): string[] | null {
  const value = claimOf(claims, name);
  if (value === undefined || value === null) return null;
  const all: unknown[] = Array.isArray(value) ? value : [value];
  return all.slice(0, groupsMax).filter((group): group is string => typeof group === 'string');
}

/** Of several groups the union, in the contract's order. */
export function rolesOf(groups: readonly string[], table: ReadonlyMap<string, Role>): Role[] {
  const given = new Set(groups.map((group) => table.get(group)));
  return roles.filter((role) => given.has(role));
}

/** Whether groups are elsewhere because there are too many of them (Microsoft Entra ID, "groups overage"). */
export const hasTooManyGroups = (claims: Claims, name: string): boolean =>
  isObject(claims._claim_names) && Object.hasOwn(claims._claim_names, name);

/**
 * `NAME@PROVIDER`, or `NAME.2@PROVIDER` and so on where that is taken: a label that no local account has by chance. Who it is, issuer and
 * subject say.
 */
export function userIdOf(claims: Claims, userClaim: string, providerId: string, attempt: number): string {
  const claim = claimOf(claims, userClaim);
  const text = typeof claim === 'string' ? claim.split('@')[0]! : '';
  const name = text
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/\p{M}/gu, '')
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
    .slice(0, nameCharactersMax);
  const userId = `${name === '' ? 'user' : name}${attempt > 1 ? `.${attempt}` : ''}@${providerId}`;
  if (!userIdPattern.test(userId)) throw new RangeError(`${userId} is no user id`);
  return userId;
}

export function displayNameOf({ name }: Claims): string {
  if (typeof name !== 'string') return '';
  return name
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, displayNameMax);
}
