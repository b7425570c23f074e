/** Who is calling. Tokens come from the identity provider; this service only checks them. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { LucidError } from '@lucid-sessions/contract';
import { EnvironmentError } from '@lucid-sessions/kit';
import { createRemoteJWKSet, customFetch, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { ApiConfig, JwtKey } from './config.ts';
import { keySetFetch } from './jwks-fetch.ts';

/** What a token says. */
export interface TokenUser {
  userId: string;
  roles: readonly string[];
}

export type Authenticator = (authorization: string | undefined) => Promise<TokenUser>;

const tokenCharactersMax = 8192;
const rolesMax = 50;
const nameCharactersMax = 200;
/** Clocks of a provider and of this machine may be so far apart. */
const clockToleranceSeconds = 30;
const rsaBitsMin = 2048;
/** What was found good is not verified again for so long: that costs as much as the rest of a read. */
const rememberedMs = 30_000;
const rememberedMax = 1000;

type Verify = (token: string, options: JWTVerifyOptions) => Promise<{ payload: JWTPayload }>;

/** One algorithm per kind of key: a token can't choose how it is checked. */
function algorithmOf(key: KeyObject): string {
  if (key.asymmetricKeyType === 'rsa' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < rsaBitsMin)
    throw new LucidError('invalidRequest', `LUCID_JWT_PUBLIC_KEY must have at least ${rsaBitsMin} bits`);
  if (key.asymmetricKeyType === 'rsa') return 'RS256';
  if (key.asymmetricKeyType === 'ed25519') return 'EdDSA';
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return 'ES256';
  throw new EnvironmentError('LUCID_JWT_PUBLIC_KEY', 'must be an RSA, P-256 or Ed25519 key');
}

function publicKeyOf(pem: string): KeyObject {
  // Node would take the public half out of it; whoever put it here has given the secret away.
  if (/PRIVATE KEY/.test(pem))
    throw new LucidError('invalidRequest', 'LUCID_JWT_PUBLIC_KEY holds a private key: it must not be here');
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new EnvironmentError('LUCID_JWT_PUBLIC_KEY', 'must be a public key in PEM form', { cause });
  }
}

function verifierOf(key: JwtKey): Verify {
  if (key.kind === 'secret') {
    const secret = new TextEncoder().encode(key.secret);
    return (token, options) => jwtVerify(token, secret, { ...options, algorithms: ['HS256'] });
  }
  if (key.kind === 'public_key') {
    const publicKey = publicKeyOf(key.pem);
    const algorithms = [algorithmOf(publicKey)];
    return (token, options) => jwtVerify(token, publicKey, { ...options, algorithms });
  }
  const keys = createRemoteJWKSet(new URL(key.url), {
    timeoutDuration: 5000,
    cooldownDuration: 30_000,
    [customFetch]: keySetFetch(),
  });
  return (token, options) => jwtVerify(token, keys, { ...options, algorithms: ['RS256', 'ES256', 'EdDSA'] });
}

const unauthenticated = (message: string) => new LucidError('unauthenticated', message);

/** A token from the future was made by a clock that is wrong, or to outlive the key it was signed with. */
function checkIssued({ iat }: JWTPayload): void {
  if (iat === undefined) return;
  if (!(typeof iat === 'number' && iat <= Date.now() / 1000 + clockToleranceSeconds))
    throw unauthenticated('the token was issued in the future; check the clocks, then sign in again');
}

function userOf(payload: JWTPayload): TokenUser {
  checkIssued(payload);
  const { user_id: userId, roles, type } = payload;
  if (type !== 'access') throw unauthenticated('only access tokens are accepted here');
  if (!(typeof userId === 'string' && userId.length >= 1 && userId.length <= nameCharactersMax))
    throw unauthenticated('the token names no user');
  if (!(Array.isArray(roles) && roles.length <= rolesMax)) throw unauthenticated('the token names no roles');
  return { userId, roles: roles.filter((role): role is string => typeof role === 'string') };
}

/** Says why in terms the caller can act on, and nothing about the token itself. */
function refusalOf(thrown: unknown): LucidError {
  if (thrown instanceof LucidError) return thrown;
  if (thrown instanceof errors.JWTClaimValidationFailed && thrown.claim === 'nbf')
    return unauthenticated('the token is not valid yet; check the clocks');
  if (thrown instanceof errors.JWTExpired) return unauthenticated('the token has expired; sign in again');
  if (thrown instanceof errors.JWKSTimeout || thrown instanceof TypeError)
    return new LucidError('unavailable', 'the keys of the identity provider can not be fetched', { cause: thrown });
  return unauthenticated('the token is not valid; sign in again');
}

/** Throws EnvironmentError for a public key that can't be used. */
export function checkJwtKey(key: JwtKey): void {
  verifierOf(key);
}

export function authenticator(config: ApiConfig['jwt']): Authenticator {
  const verify = verifierOf(config.key);
  const options: JWTVerifyOptions = {
    requiredClaims: ['exp'],
    clockTolerance: clockToleranceSeconds,
    ...(config.issuer === null ? {} : { issuer: config.issuer }),
    ...(config.audience === null ? {} : { audience: config.audience }),
  };
  const remembered = new Map<string, { user: TokenUser; expiresMs: number; untilMs: number }>();
  return async (authorization) => {
    const token = /^Bearer ([A-Za-z0-9_.-]+)$/i.exec(authorization?.slice(0, tokenCharactersMax + 7) ?? '')?.[1];
    if (token === undefined || token.length > tokenCharactersMax)
      throw unauthenticated('send a token: Authorization: Bearer …');
    const nowMs = performance.now();
    const known = remembered.get(token);
    if (known !== undefined && known.untilMs > nowMs && known.expiresMs > Date.now()) return known.user;
    try {
      const { payload } = await verify(token, options);
      const user = userOf(payload);
      const expiresMs = (Number(payload.exp) + clockToleranceSeconds) * 1000;
      // The oldest goes: those who come again are verified again.
      remembered.delete(token);
      if (remembered.size >= rememberedMax) remembered.delete(remembered.keys().next().value!);
      remembered.set(token, { user, expiresMs, untilMs: nowMs + rememberedMs });
      return user;
    } catch (thrown) {
      throw refusalOf(thrown);
    }
  };
}
