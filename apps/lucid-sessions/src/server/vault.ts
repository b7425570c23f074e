/** The settings of Vault's transit engine, from the environment. */
import { VaultTransit } from '@lucid-sessions/keys';
import { type Environment, EnvironmentError, readText, readUrl } from '@lucid-sessions/kit';
import { readSecretFile } from './secret-file.ts';

const charactersMax = 200;
const keyPattern = /^\w([\w.-]*\w)?$/;
const pathPattern = /^\w[\w.-]*(\/\w[\w.-]*)*$/;

/** Null when none is configured. The token is read when it is used: Vault may be away, and its token late, at the start. */
export function readVault(environment: Environment): VaultTransit | null {
  if (!environment.LUCID_VAULT_URL && !environment.LUCID_VAULT_KEY) return null;
  const url = readUrl(environment, 'LUCID_VAULT_URL', '');
  const { username, password, search, hash } = new URL(url);
  if (`${username}${password}${search}${hash}` !== '')
    throw new EnvironmentError(
      'LUCID_VAULT_URL',
      'must be an address alone, without user, password, query or fragment',
    );
  const tokenFile = readText(environment, 'LUCID_VAULT_TOKEN_FILE', '');
  if (tokenFile === '')
    throw new EnvironmentError('LUCID_VAULT_TOKEN_FILE', 'must name a 0600 file with a token for Vault');
  return new VaultTransit({
    url,
    mount: readName(environment, 'LUCID_VAULT_MOUNT', 'transit', pathPattern),
    key: readName(environment, 'LUCID_VAULT_KEY', '', keyPattern),
    ...(environment.LUCID_VAULT_NAMESPACE
      ? { namespace: readName(environment, 'LUCID_VAULT_NAMESPACE', '', pathPattern) }
      : {}),
    readToken: () => readSecretFile(tokenFile),
  });
}

function readName(environment: Environment, variable: string, fallback: string, pattern: RegExp): string {
  const name = readText(environment, variable, fallback);
  if (!(name.length <= charactersMax && pattern.test(name)))
    throw new EnvironmentError(
      variable,
      `must be a ${pattern === pathPattern ? 'path' : 'name'} in Vault: at most ${charactersMax} letters, digits, "_", "-" and "."`,
    );
  return name;
}
