/** The settings of Kerberos, from the environment and krb5.conf. */
import { readFileSync, statSync } from 'node:fs';
import {
  KerberosTickets,
  type KeytabEntry,
  type Krb5Conf,
  keysOf,
  type OwnAccount,
  parseKeytab,
  readKrb5Conf,
} from '@lucid-sessions/kerberos';
import { accessProblem, type Environment, EnvironmentError, readText } from '@lucid-sessions/kit';
import { knowsEtype, NameType } from '@lucid-sessions/rdp/kerberos';
import { readKerberos } from '@lucid-sessions/recorder';

const realmsMax = 200;
const realmPattern = /^([\w.-]{1,255})=([\w.-]{1,255})$/;

/** Null where no target is logged on to by Kerberos. */
export function readKerberosTickets(environment: Environment): KerberosTickets | null {
  const { policy, exceptions, ownTargets } = readKerberos(environment);
  const isOff = policy === 'off' && exceptions.every((exception) => exception.policy === 'off');
  if (isOff && ownTargets.length === 0) return null;
  const own = ownTargets.length === 0 ? null : readOwn(environment);
  return new KerberosTickets({ conf: readConf(environment), realms: readRealms(environment), own });
}

/** The gateway's own account: its name, and a 0600 file with its keys. */
function readOwn(environment: Environment): OwnAccount {
  const [, name = '', realm = ''] =
    /^([^@\\]+)@([^@\\]+)$/.exec(readText(environment, 'LUCID_KERBEROS_PRINCIPAL', '')) ?? [];
  if (name === '')
    throw new EnvironmentError('LUCID_KERBEROS_PRINCIPAL', 'must be NAME@REALM, the account of the keytab');
  const path = readText(environment, 'LUCID_KERBEROS_KEYTAB', '');
  const keys = keysOf(readKeytab(path), realm, name).filter(({ etype }) => knowsEtype(etype));
  if (keys.length === 0)
    throw new EnvironmentError('LUCID_KERBEROS_KEYTAB', `${path} holds no AES key of ${name}@${realm}`);
  return { realm, client: { nameType: NameType.principal, parts: name.split('/') }, keys };
}

const reasonOf = (error: unknown): string => accessProblem(error) ?? (error as Error).message;

function readKeytab(path: string): KeytabEntry[] {
  if (path === '')
    throw new EnvironmentError(
      'LUCID_KERBEROS_KEYTAB',
      'must name a keytab, since LUCID_KERBEROS_KEYTAB_TARGETS is set',
    );
  try {
    if ((statSync(path).mode & 0o077) !== 0) throw new Error('others may read it: chmod 600');
    return parseKeytab(readFileSync(path));
  } catch (error) {
    throw new EnvironmentError('LUCID_KERBEROS_KEYTAB', `must name a keytab; ${path}: ${reasonOf(error)}`);
  }
}

function readConf(environment: Environment): Krb5Conf {
  const path = readText(environment, 'KRB5_CONFIG', '/etc/krb5.conf');
  try {
    return readKrb5Conf(path);
  } catch (error) {
    throw new EnvironmentError(
      'KRB5_CONFIG',
      `must name a krb5.conf, since LUCID_KERBEROS is on; ${path}: ${reasonOf(error)}`,
    );
  }
}

function readRealms(environment: Environment): Map<string, string> {
  const texts = readText(environment, 'LUCID_KERBEROS_REALMS', '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  const pairs = texts.map((text) => realmPattern.exec(text)).filter((match) => match !== null);
  if (pairs.length !== texts.length || pairs.length > realmsMax)
    throw new EnvironmentError(
      'LUCID_KERBEROS_REALMS',
      `must be at most ${realmsMax} of DOMAIN=REALM, with commas: a NetBIOS domain or the suffix of user names`,
    );
  return new Map(pairs.map(([, domain = '', realm = '']) => [domain.toLowerCase(), realm]));
}
