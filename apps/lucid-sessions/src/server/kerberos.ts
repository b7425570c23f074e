/** The settings of Kerberos, from the environment and krb5.conf. */
import { KerberosTickets, type Krb5Conf, readKrb5Conf } from '@lucid-sessions/kerberos';
import { type Environment, EnvironmentError, readText } from '@lucid-sessions/kit';
import { readKerberos } from '@lucid-sessions/recorder';

const realmsMax = 200;
const realmPattern = /^([\w.-]{1,255})=([\w.-]{1,255})$/;

/** Null where no target is logged on to by Kerberos. */
export function readKerberosTickets(environment: Environment): KerberosTickets | null {
  const { policy, exceptions } = readKerberos(environment);
  if (policy === 'off' && exceptions.every((exception) => exception.policy === 'off')) return null;
  return new KerberosTickets({ conf: readConf(environment), realms: readRealms(environment) });
}

function readConf(environment: Environment): Krb5Conf {
  const path = readText(environment, 'KRB5_CONFIG', '/etc/krb5.conf');
  try {
    return readKrb5Conf(path);
  } catch (error) {
    throw new EnvironmentError(
      'KRB5_CONFIG',
      `must name a krb5.conf, since LUCID_KERBEROS is on; ${path}: ${(error as Error).message}`,
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
