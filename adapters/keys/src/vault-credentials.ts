import {
  type CredentialReference,
  LucidError,
  type TargetCredentials,
  targetCredentials,
} from '@lucid-sessions/contract';
import type { CredentialLease, CredentialProvider } from '@lucid-sessions/pipeline';
import {
  isVaultToken,
  type VaultAnswer,
  VaultAway,
  type VaultCall,
  VaultHttp,
  type VaultServer,
} from './vault-http.ts';

/** How the gateway proves itself to Vault. */
export type VaultLogin =
  /** Read at every call: somebody else renews it. */
  { kind: 'token'; readToken(): string } | { kind: 'approle'; mount: string; roleId: string; readSecretId(): string };

export interface VaultCredentialsOptions extends VaultServer {
  login: VaultLogin;
  /**
   * What sessions may name, as `MOUNT/PATH`: `*` stands for anything within one part, `{host}` for the session's target. Whoever
   * may create sessions chooses the target too, so a secret for one host belongs under `{host}`.
   */
  paths: readonly string[];
  /** Milliseconds that only go forward. */
  nowMs?: () => number;
}

const leaseIdCharactersMax = 1000;
/** A token is renewed by logging in again when so much of its time is over. */
const tokenShare = 0.8;

/** KV version 2 and dynamic secrets (`creds/ROLE`: database, LDAP and others) of HashiCorp Vault and OpenBao. */
export class VaultCredentials implements CredentialProvider {
  readonly #http: VaultHttp;
  readonly #login: VaultLogin;
  readonly #paths: readonly string[];
  readonly #nowMs: () => number;
  #token: { text: string; untilMs: number } | null = null;

  constructor(options: VaultCredentialsOptions) {
    this.#http = new VaultHttp(options);
    this.#login = options.login;
    this.#paths = options.paths;
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  allows({ mount, path }: CredentialReference, host: string): boolean {
    return this.#paths.some((pattern) => matches(pattern, `${mount}/${path}`, host));
  }

  async read(
    reference: CredentialReference,
    host: string,
  ): Promise<{ credentials: TargetCredentials; lease: CredentialLease | null }> {
    const { engine, mount, path } = reference;
    const name = `${mount}/${path}`;
    if (!this.allows(reference, host))
      throw new LucidError('invalidRequest', `${name} in Vault is not open to sessions with this target`);
    const isKv = engine === 'kv';
    // Credentials that nobody was told of would stay until they lapse: they are not asked for twice.
    const call = isKv ? { path: `${mount}/data/${path}` } : { path: `${mount}/creds/${path}`, triesMax: 1 };
    const answer = await this.#ask({ method: 'GET', ...call }, name);
    if (answer.status !== 200) throw refused(answer.status, name);
    const said = objectIn(answer, name);
    const data = isKv ? (said.data as Record<string, unknown> | null | undefined)?.data : said.data;
    return { credentials: credentialsIn(data, reference, name), lease: isKv ? null : leaseIn(said, name) };
  }

  async renew(leaseId: string): Promise<CredentialLease> {
    const answer = await this.#ask(
      { method: 'POST', path: 'sys/leases/renew', fields: { lease_id: leaseId } },
      'a lease',
    );
    if (answer.status === 400 || answer.status === 404)
      throw new LucidError('invalidRequest', 'Vault does not renew the lease of these credentials');
    if (answer.status !== 200) throw refused(answer.status, 'a lease');
    return leaseIn(objectIn(answer, 'a lease'), 'a lease');
  }

  async revoke(leaseId: string): Promise<void> {
    const call = { method: 'POST', path: 'sys/leases/revoke', fields: { lease_id: leaseId } } as const;
    const { status } = await this.#ask(call, 'a lease');
    // 400: it knows no such lease (any more).
    if (![200, 202, 204, 400, 404].includes(status)) throw refused(status, 'a lease');
  }

  /** A token that was revoked early is replaced once. */
  async #ask(call: Omit<VaultCall, 'token'>, what: string): Promise<VaultAnswer> {
    const answer = await this.#http.ask({ ...call, token: await this.#tokenNow() }).catch(away(what));
    if (answer.status !== 403 || this.#login.kind === 'token') return answer;
    this.#token = null;
    return this.#http.ask({ ...call, token: await this.#tokenNow() }).catch(away(what));
  }

  async #tokenNow(): Promise<string> {
    const login = this.#login;
    if (login.kind === 'token') return checkedToken(secretOf(login.readToken));
    if (this.#token !== null && this.#nowMs() < this.#token.untilMs) return this.#token.text;
    const fields = { role_id: login.roleId, secret_id: secretOf(login.readSecretId) };
    const what = `login by ${login.mount}`;
    const call = { method: 'POST', path: `auth/${login.mount}/login`, token: null, fields } as const;
    const answer = await this.#http.ask(call).catch(away(what));
    if (answer.status !== 200) throw refused(answer.status, what);
    const auth = objectIn(answer, what).auth as { client_token?: unknown; lease_duration?: unknown } | null | undefined;
    const text = checkedToken(String(auth?.client_token ?? ''));
    const seconds = Number(auth?.lease_duration);
    // One without an end is asked for again some time.
    const lastsMs = (seconds > 0 ? seconds : 3600) * 1000 * tokenShare;
    this.#token = { text, untilMs: this.#nowMs() + lastsMs };
    return text;
  }
}

/** Parts between slashes are compared one by one: `*` never takes in a slash. */
function matches(pattern: string, name: string, host: string): boolean {
  const [wanted, given] = [pattern.split('/'), name.split('/')];
  const bare = host.toLowerCase().replace(/\.$/, '');
  // No host is called so; one that is must not open everything.
  if (bare.includes('*')) return false;
  return (
    wanted.length === given.length &&
    wanted.every((part, at) => partMatches(part.replaceAll('{host}', bare), given[at]!.toLowerCase()))
  );
}

function partMatches(pattern: string, part: string): boolean {
  const [first = '', ...rest] = pattern.toLowerCase().split('*');
  if (rest.length === 0) return part === first;
  const last = rest.pop()!;
  if (!part.startsWith(first)) return false;
  let from = first.length;
  for (const piece of rest) {
    const at = part.indexOf(piece, from);
    if (at < 0) return false;
    from = at + piece.length;
  }
  return part.length - last.length >= from && part.endsWith(last);
}

function secretOf(read: () => string): string {
  try {
    return read();
  } catch (error) {
    throw new LucidError('unavailable', `there is no token for Vault: ${(error as Error).message}`);
  }
}

function checkedToken(token: string): string {
  if (isVaultToken(token)) return token;
  throw new LucidError('unavailable', 'the token for Vault is not one line of printable characters');
}

const away =
  (what: string) =>
  (error: unknown): never => {
    throw error instanceof VaultAway
      ? new LucidError('unavailable', `Vault ${error.message}; asked for ${what}`)
      : error;
  };

function refused(status: number, what: string): LucidError {
  const why =
    status === 403
      ? 'refused the token, or what its policy allows (403)'
      : status === 404
        ? 'has nothing there (404)'
        : `answered ${status}`;
  return new LucidError('unavailable', `Vault ${why}; asked for ${what}`);
}

function objectIn({ text }: VaultAnswer, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // The parser's message quotes the text.
  }
  throw new LucidError('unavailable', `Vault answered something that is no JSON; asked for ${what}`);
}

function credentialsIn(data: unknown, { username, domain }: CredentialReference, what: string): TargetCredentials {
  const said = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  const merged = { username: said.username ?? username, domain: said.domain ?? domain ?? '', password: said.password };
  const { data: credentials } = targetCredentials.safeParse(merged);
  if (credentials !== undefined) return credentials;
  throw new LucidError('unavailable', `what Vault has at ${what} is no user name and password that a target takes`);
}

function leaseIn(
  { lease_id: id, lease_duration: seconds, renewable }: Record<string, unknown>,
  what: string,
): CredentialLease {
  const isLease = typeof id === 'string' && id !== '' && id.length <= leaseIdCharactersMax;
  if (isLease && typeof seconds === 'number' && seconds > 0) return { id, seconds, renewable: renewable === true };
  throw new LucidError('unavailable', `Vault gave no lease with ${what}: use the engine kv for it`);
}
