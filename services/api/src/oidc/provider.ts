/**
 * One provider of OpenID Connect, by openid-client. What it says of itself is kept for ten minutes; its keys are fetched with each
 * sign-in, so that rotation and withdrawal of keys count at once. It is asked over bounded time and size, and redirects are not followed.
 */
import { LucidError } from '@lucid-sessions/contract';
import { createRemoteJWKSet, type JWTVerifyGetKey, customFetch as joseFetch, jwtVerify } from 'jose';
import type { Configuration, CustomFetch, ServerMetadata } from 'openid-client';
import { readBounded } from '../bounded-fetch.ts';
import { keySetFetch } from '../jwks-fetch.ts';
import type { OidcProviderConfig } from './config.ts';

/** What binds an answer of the provider to the request that asked for it. */
export interface FlowChecks {
  state: string;
  nonce: string;
  /** Of PKCE (RFC 7636). */
  verifier: string;
}

export interface ProviderAnswer {
  issuer: string;
  subject: string;
  /** Of the session at the provider; null: it has none, or tells of none. */
  sid: string | null;
  /** When the person last proved who they are there; null: it doesn't say. */
  authUs: number | null;
  claims: Record<string, unknown>;
  idToken: string;
}

export interface LogoutToken {
  issuer: string;
  subject: string | null;
  sid: string | null;
  jti: string;
}

const timeoutSeconds = 5;
const answerBytesMax = 512 * 1024;
const metadataMs = 600_000;
/** A provider that fails is not asked with every request. */
const restMs = 3000;
const clockToleranceSeconds = 30;
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout';
const textMax = 500;

/** Its parts are only loaded where a provider is set up. */
const library = () => import('openid-client');

const shortText = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.length <= textMax ? value : null;

function causeOf(thrown: unknown): LucidError | null {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++)
    if (at instanceof LucidError) return at;
  return null;
}

export class OidcProvider {
  readonly config: OidcProviderConfig;
  readonly #redirectUri: string;
  readonly #nowMs: () => number;
  #metadata: { untilMs: number; found: Promise<ServerMetadata> } | null = null;
  #keys: { uri: string; get: JWTVerifyGetKey } | null = null;

  constructor(config: OidcProviderConfig, redirectUri: string, nowMs: () => number = () => performance.now()) {
    this.config = config;
    this.#redirectUri = redirectUri;
    this.#nowMs = nowMs;
  }

  #away(cause: unknown, why: string): LucidError {
    const message = `${this.config.name} can not be asked who you are: ${why}; try again later, or sign in another way`;
    return new LucidError('unavailable', message, { cause });
  }

  readonly #fetch: CustomFetch = async (url, options) => {
    let response: Response;
    let text: string;
    try {
      response = await fetch(url, { ...options, redirect: 'manual' } as RequestInit);
      text = await readBounded(response, answerBytesMax);
    } catch (thrown) {
      throw this.#away(thrown, thrown instanceof RangeError ? thrown.message : 'it can not be reached');
    }
    if (response.status >= 500) throw this.#away(null, `it answered HTTP ${response.status}`);
    const headers = new Headers();
    for (const name of ['content-type', 'www-authenticate', 'location']) {
      const value = response.headers.get(name);
      if (value !== null) headers.set(name, value);
    }
    return new Response(text === '' ? null : text, { status: response.status, headers });
  };

  /** Says why in terms its person can act on, and nothing of tokens or secrets. */
  async #refusal(thrown: unknown): Promise<LucidError> {
    const known = causeOf(thrown);
    if (known !== null) return known;
    const { AuthorizationResponseError, ResponseBodyError, WWWAuthenticateChallengeError } = await library();
    const { name } = this.config;
    const refused = (why: string) => new LucidError('unauthenticated', why, { cause: thrown });
    const code =
      thrown instanceof AuthorizationResponseError || thrown instanceof ResponseBodyError
        ? thrown.error
        : thrown instanceof WWWAuthenticateChallengeError
          ? (thrown.cause[0]?.parameters.error ?? 'unauthorized')
          : null;
    if (code === 'invalid_client' || code === 'unauthorized_client')
      return refused(
        `${name} does not take this installation’s client id or secret (${code}): tell your administrator`,
      );
    if (code !== null) {
      const told = /^[a-z_]{1,60}$/.test(code) ? code : 'an error';
      return refused(`${name} does not let you in (${told}); sign in again, or ask your administrator`);
    }
    const why = thrown instanceof Error ? thrown.message.slice(0, 200) : 'unknown';
    return refused(`what ${name} answered is not valid (${why}); sign in again`);
  }

  #discover(): Promise<ServerMetadata> {
    const nowMs = this.#nowMs();
    if (this.#metadata !== null && nowMs < this.#metadata.untilMs) return this.#metadata.found;
    const found = this.#find();
    const kept = { untilMs: nowMs + metadataMs, found };
    this.#metadata = kept;
    found.catch(() => {
      kept.untilMs = this.#nowMs() + restMs;
    });
    return found;
  }

  async #find(): Promise<ServerMetadata> {
    const { allowInsecureRequests, customFetch, discovery, None } = await library();
    const { issuer, clientId } = this.config;
    try {
      const configuration = await discovery(new URL(issuer), clientId, undefined, None(), {
        timeout: timeoutSeconds,
        execute: issuer.startsWith('http:') ? [allowInsecureRequests] : [],
        [customFetch]: this.#fetch,
      });
      return configuration.serverMetadata();
    } catch (thrown) {
      const known = causeOf(thrown);
      throw (
        known ?? this.#away(thrown, `what it says of itself is not valid (${(thrown as Error).message.slice(0, 200)})`)
      );
    }
  }

  async #configuration(): Promise<Configuration> {
    const found = await library();
    const { issuer, clientId, clientSecret, clientAuth } = this.config;
    const proof =
      clientSecret === null
        ? found.None()
        : clientAuth === 'basic'
          ? found.ClientSecretBasic(clientSecret)
          : found.ClientSecretPost(clientSecret);
    const metadata = { [found.clockTolerance]: clockToleranceSeconds };
    const configuration = new found.Configuration(await this.#discover(), clientId, metadata, proof);
    configuration.timeout = timeoutSeconds;
    configuration[found.customFetch] = this.#fetch;
    if (issuer.startsWith('http:')) found.allowInsecureRequests(configuration);
    found.enableNonRepudiationChecks(configuration);
    return configuration;
  }

  /** Where the browser goes. Throws `unavailable`. `fresh`: the person is asked, also where the provider knows them. */
  async begin({ state, nonce, verifier }: FlowChecks, fresh: boolean): Promise<string> {
    const { buildAuthorizationUrl, calculatePKCECodeChallenge } = await library();
    const url = buildAuthorizationUrl(await this.#configuration(), {
      ...{ redirect_uri: this.#redirectUri, scope: this.config.scopes.join(' '), response_type: 'code', state, nonce },
      ...{ code_challenge: await calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' },
      ...(fresh ? { prompt: 'login', max_age: '0' } : {}),
    });
    return url.href;
  }

  /** `query`: what the provider added to the redirect URI. Throws `unauthenticated` or `unavailable`. */
  async finish(query: string, { state, nonce, verifier }: FlowChecks): Promise<ProviderAnswer> {
    const { authorizationCodeGrant, fetchUserInfo } = await library();
    try {
      const configuration = await this.#configuration();
      const address = new URL(this.#redirectUri);
      address.search = query;
      const tokens = await authorizationCodeGrant(configuration, address, {
        ...{ expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
      });
      const said = tokens.claims()!;
      const isWhole = this.#claimsAreThere(said);
      const { userinfo_endpoint: userinfo } = configuration.serverMetadata();
      const more =
        isWhole || userinfo === undefined ? {} : await fetchUserInfo(configuration, tokens.access_token, said.sub);
      return {
        issuer: said.iss,
        subject: said.sub,
        sid: shortText(said.sid),
        authUs: typeof said.auth_time === 'number' ? said.auth_time * 1_000_000 : null,
        claims: { ...more, ...said },
        idToken: tokens.id_token!,
      };
    } catch (thrown) {
      throw await this.#refusal(thrown);
    }
  }

  #claimsAreThere(said: Record<string, unknown>): boolean {
    const { groupsClaim, userClaim } = this.config;
    return [groupsClaim, userClaim].every(
      (name) => said[name] !== undefined || said[name.split('.')[0]!] !== undefined,
    );
  }

  /** Where the provider ends its own session; null: it has no such place, or can't be asked. */
  async endSession(idToken: string | null, backTo: string): Promise<string | null> {
    try {
      const configuration = await this.#configuration();
      if (configuration.serverMetadata().end_session_endpoint === undefined) return null;
      const { buildEndSessionUrl } = await library();
      const hint = idToken === null ? {} : { id_token_hint: idToken };
      return buildEndSessionUrl(configuration, { ...hint, post_logout_redirect_uri: backTo }).href;
    } catch {
      // Who signs out is signed out here in any case.
      return null;
    }
  }

  /** OpenID Connect Back-Channel Logout 1.0, 2.6. Throws `invalidRequest` or `unavailable`. */
  async logoutToken(text: string): Promise<LogoutToken> {
    const refused = (cause?: unknown) => new LucidError('invalidRequest', 'this is no logout token for us', { cause });
    const { issuer, jwks_uri: uri, id_token_signing_alg_values_supported: listed = ['RS256'] } = await this.#discover();
    if (uri === undefined) throw refused();
    if (this.#keys?.uri !== uri) {
      const options = { timeoutDuration: timeoutSeconds * 1000, cooldownDuration: 5000, [joseFetch]: keySetFetch() };
      this.#keys = { uri, get: createRemoteJWKSet(new URL(uri), options) };
    }
    const algorithms = (listed as string[]).filter((alg) => /^(?:RS|PS|ES|Ed)/.test(alg));
    const bounds = { clockTolerance: clockToleranceSeconds, maxTokenAge: 300, requiredClaims: ['jti', 'events'] };
    const { payload } = await jwtVerify(text, this.#keys.get, {
      ...{ issuer, audience: this.config.clientId, algorithms, ...bounds },
    }).catch((thrown: unknown) => {
      throw causeOf(thrown) ?? refused(thrown);
    });
    const { events, nonce, jti, sub, sid } = payload;
    const isLogout = typeof events === 'object' && events !== null && Object.hasOwn(events, logoutEvent);
    const token = { issuer, subject: shortText(sub), sid: shortText(sid), jti: shortText(jti) };
    if (!isLogout || nonce !== undefined || token.jti === null || (token.subject ?? token.sid) === null)
      throw refused();
    return { ...token, jti: token.jti };
  }

  /**
   * For `doctor`: whether it knows this client and where to send browsers back to, by a request nobody has to answer (`prompt=none`); null:
   * it doesn't say. Throws `unavailable` where it can't be found.
   */
  async check(): Promise<{ isKnown: boolean | null; endsSessions: boolean }> {
    const { buildAuthorizationUrl, calculatePKCECodeChallenge, randomPKCECodeVerifier, randomState } = await library();
    const configuration = await this.#configuration();
    const url = buildAuthorizationUrl(configuration, {
      ...{ redirect_uri: this.#redirectUri, scope: this.config.scopes.join(' '), response_type: 'code' },
      ...{ code_challenge: await calculatePKCECodeChallenge(randomPKCECodeVerifier()), code_challenge_method: 'S256' },
      ...{ state: randomState(), nonce: randomState(), prompt: 'none' },
    });
    const signal = AbortSignal.timeout(timeoutSeconds * 1000);
    const answer = await this.#fetch(url.href, { method: 'GET', headers: {}, redirect: 'manual', body: null, signal });
    const isSentBack = answer.headers.get('location')?.startsWith(`${this.#redirectUri}?`) === true;
    const isKnown = isSentBack ? true : answer.status >= 400 ? false : null;
    return { isKnown, endsSessions: configuration.serverMetadata().end_session_endpoint !== undefined };
  }
}
