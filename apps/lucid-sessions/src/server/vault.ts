/** The settings of Vault, from the environment: its transit engine for keys, and where credentials for targets come from. */
import { VaultCredentials, type VaultLogin, type VaultServer, VaultTransit } from '@lucid-sessions/keys';
import {
  type Environment,
  EnvironmentError,
  readConfiguredSecret,
  readSecretFile,
  readText,
  readUrl,
} from '@lucid-sessions/kit';

const charactersMax = 200;
const keyPattern = /^\w([\w.-]*\w)?$/;
const openPattern = /^\w[\w.-]*(\/(?:[\w*]|\{host\})(?:[\w.*-]|\{host\})*)+$/;
const pathPattern = /^\w[\w.-]*(\/\w[\w.-]*)*$/;

/** Null when none is configured. The token is read when it is used: Vault may be away, and its token late, at the start. */
export function readVault(environment: Environment): VaultTransit | null {
  if (!environment.LUCID_VAULT_URL && !environment.LUCID_VAULT_KEY) return null;
  const server = readServer(environment, 'LUCID_VAULT_URL', 'LUCID_VAULT_NAMESPACE');
  const tokenFile = readText(environment, 'LUCID_VAULT_TOKEN_FILE', '');
  if (tokenFile === '')
    throw new EnvironmentError('LUCID_VAULT_TOKEN_FILE', 'must name a 0600 file with a token for Vault');
  return new VaultTransit({
    ...server,
    mount: readName(environment, 'LUCID_VAULT_MOUNT', 'transit', pathPattern),
    key: readName(environment, 'LUCID_VAULT_KEY', '', keyPattern),
    readToken: () => readSecretFile(tokenFile, 'given'),
  });
}

const credentialVariables = ['PATHS', 'TOKEN_FILE', 'ROLE_ID', 'SECRET_ID_FILE', 'APPROLE_MOUNT', 'NAMESPACE'].map(
  (name) => `LUCID_CREDENTIALS_VAULT_${name}`,
);

/** Where credentials for targets may be asked for; null when nowhere. The secrets' files are there, and read again at each use. */
export function readVaultCredentials(environment: Environment): VaultCredentials | null {
  if (!environment.LUCID_CREDENTIALS_VAULT_URL) {
    const meant = credentialVariables.find((variable) => environment[variable]);
    if (meant === undefined) return null;
    throw new EnvironmentError('LUCID_CREDENTIALS_VAULT_URL', `must be the address of Vault: ${meant} is set`);
  }
  return new VaultCredentials({
    ...readServer(environment, 'LUCID_CREDENTIALS_VAULT_URL', 'LUCID_CREDENTIALS_VAULT_NAMESPACE'),
    login: readLogin(environment),
    paths: readPaths(environment),
  });
}

function readServer(environment: Environment, urlVariable: string, namespaceVariable: string): VaultServer {
  const url = readUrl(environment, urlVariable, '');
  const { username, password, search, hash } = new URL(url);
  if (`${username}${password}${search}${hash}` !== '')
    throw new EnvironmentError(urlVariable, 'must be an address alone, without user, password, query or fragment');
  if (!environment[namespaceVariable]) return { url };
  return { url, namespace: readName(environment, namespaceVariable, '', pathPattern) };
}

function readLogin(environment: Environment): VaultLogin {
  const tokenFile = readText(environment, 'LUCID_CREDENTIALS_VAULT_TOKEN_FILE', '');
  const secretFile = readText(environment, 'LUCID_CREDENTIALS_VAULT_SECRET_ID_FILE', '');
  if ((tokenFile === '') === (secretFile === ''))
    throw new EnvironmentError(
      'LUCID_CREDENTIALS_VAULT_TOKEN_FILE',
      'or LUCID_CREDENTIALS_VAULT_SECRET_ID_FILE must name a 0600 file: a token for Vault, or the secret id of an AppRole',
    );
  if (tokenFile !== '') return { kind: 'token', readToken: readerOf('LUCID_CREDENTIALS_VAULT_TOKEN_FILE', tokenFile) };
  return {
    kind: 'approle',
    mount: readName(environment, 'LUCID_CREDENTIALS_VAULT_APPROLE_MOUNT', 'approle', pathPattern),
    roleId: readName(environment, 'LUCID_CREDENTIALS_VAULT_ROLE_ID', '', keyPattern),
    readSecretId: readerOf('LUCID_CREDENTIALS_VAULT_SECRET_ID_FILE', secretFile),
  };
}

/** A session that finds out is too late. */
function readerOf(variable: string, path: string): () => string {
  readConfiguredSecret(variable, path);
  return () => readSecretFile(path, 'given');
}

/** Whoever creates a session chooses its target: what may be sent there is said by whoever runs the gateway. */
function readPaths(environment: Environment): string[] {
  const variable = 'LUCID_CREDENTIALS_VAULT_PATHS';
  const paths = readText(environment, variable, '')
    .split(',')
    .map((path) => path.trim());
  if (!paths.every((path) => path.length <= 2 * charactersMax && openPattern.test(path)))
    throw new EnvironmentError(
      variable,
      'must name what sessions may use, MOUNT/PATH with commas between, "*" and {host} in it: secret/rdp/{host}, database/rdp-*',
    );
  return paths;
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
