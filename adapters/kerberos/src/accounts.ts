/** Whose ticket it is: from user and domain as people write them to a realm and a principal. */
import { NameType, type PrincipalName } from '@lucid-sessions/rdp/kerberos';

export interface Account {
  realm: string;
  client: PrincipalName;
}

/** `realms`: by domain as people write it, in lower case. Null: an account of the target's own, or of a domain nobody has named. */
export function accountOf(
  { username, domain }: { username: string; domain: string },
  { realms, defaultRealm }: { realms: ReadonlyMap<string, string>; defaultRealm: string },
): Account | null {
  const [, before, behind] = /^([^\\]+)\\(.+)$/.exec(username) ?? [];
  const user = behind ?? username;
  const named = before ?? domain;
  if (user === '' || named === '.') return null;
  const at = user.lastIndexOf('@');
  if (at > 0 && named === '') return ofUserName(user.slice(0, at), user.slice(at + 1), realms);
  const realm = named === '' ? defaultRealm : realmOf(named, realms, defaultRealm);
  return realm === '' ? null : { realm, client: { nameType: NameType.principal, parts: [user] } };
}

/** A suffix that is mapped need not be the name of the realm: there the whole user name is looked up. */
function ofUserName(user: string, suffix: string, realms: ReadonlyMap<string, string>): Account | null {
  if (suffix === '') return null;
  const realm = realms.get(suffix.toLowerCase()) ?? suffix.toUpperCase();
  return realm === suffix.toUpperCase()
    ? { realm, client: { nameType: NameType.principal, parts: [user] } }
    : { realm, client: { nameType: NameType.enterprise, parts: [`${user}@${suffix}`] } };
}

/** `CORP` is `CORP.EXAMPLE.COM` where that is the default realm; a name with a dot is the realm itself. */
function realmOf(domain: string, realms: ReadonlyMap<string, string>, defaultRealm: string): string {
  const mapped = realms.get(domain.toLowerCase());
  if (mapped !== undefined) return mapped;
  if (domain.includes('.')) return domain.toUpperCase();
  return defaultRealm.split('.')[0]!.toLowerCase() === domain.toLowerCase() ? defaultRealm : '';
}
