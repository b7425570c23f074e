/**
 * Short-lived signed tokens of services: a JWT (EdDSA) for one call of one service, by the caller's own key. Who has which key says a
 * file with public keys; nobody needs a secret of anybody else.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { LucidError, type ServiceName, serviceNames } from '@lucid-sessions/contract';
import { calculateJwkThumbprint, type JWK, jwtVerify, SignJWT } from 'jose';
import { EnvironmentError } from './environment.ts';
import { Reloaded } from './reloaded.ts';
import { accessProblem } from './secret-file.ts';

const algorithm = 'EdDSA';
const type = 'lucid-call+jwt';
const lifetimeS = 30;
/** A token that says it lasts longer is refused. */
const lifetimeSMax = 60;
/** How far clocks of two machines may be apart. */
const skewS = 10;
/** Tokens remembered until they are over: more at once than any door takes. */
const seenMax = 200_000;
const keysMax = 1000;

const thumbprintOf = (key: KeyObject): Promise<string> => calculateJwkThumbprint(key.export({ format: 'jwk' }) as JWK);

function opened<T>(variable: string, path: string, open: () => T): T {
  try {
    return open();
  } catch (cause) {
    if (cause instanceof EnvironmentError) throw cause;
    const why = accessProblem(cause) ?? (cause as Error).message;
    throw new EnvironmentError(variable, `names ${path}, which can't be used: ${why}`, { cause });
  }
}

interface Signing {
  key: KeyObject;
  keyId: Promise<string>;
}

export class TokenIssuer {
  readonly #signing: Reloaded<Signing>;

  /** `keyPath`: PEM of an Ed25519 key. Throws EnvironmentError. */
  constructor(keyPath: string, onProblem: (message: string) => void) {
    const make = ([pem]: Buffer[]): Signing => {
      const key = createPrivateKey(pem!);
      if (key.asymmetricKeyType !== 'ed25519') throw new Error('it is not an Ed25519 key');
      return { key, keyId: thumbprintOf(createPublicKey(key)) };
    };
    this.#signing = opened('LUCID_SERVICE_KEY', keyPath, () => new Reloaded([keyPath], make, onProblem));
  }

  /** For one call: `path` of `audience`. */
  async issue(audience: ServiceName, path: string): Promise<string> {
    const { key, keyId } = this.#signing.value;
    const kid = await keyId;
    const nowS = Math.floor(Date.now() / 1000);
    return new SignJWT({ path })
      .setProtectedHeader({ alg: algorithm, typ: type, kid })
      .setIssuer(kid)
      .setAudience(audience)
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + lifetimeS)
      .setJti(randomBytes(16).toString('base64url'))
      .sign(key);
  }
}

interface KnownKey {
  key: KeyObject;
  services: readonly ServiceName[];
}

/** What can't be read is not quoted: another file may be named by mistake. */
function parsedKeys(text: string): { keys?: unknown } {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    throw new Error('it is no JSON; "lucid-sessions keys init DIR" makes such a file, service-keys.json');
  }
}

function readKeys(bytes: Buffer): Promise<Map<string, KnownKey>> {
  const { keys } = parsedKeys(bytes.toString('utf8'));
  if (!Array.isArray(keys) || keys.length > keysMax) throw new Error(`it must hold "keys", at most ${keysMax}`);
  const known = keys.map(readKey);
  return Promise.all(known.map(async (each) => [await thumbprintOf(each.key), each] as const)).then(
    (entries) => new Map(entries),
  );
}

function readKey(jwk: unknown): KnownKey {
  const { services, ...rest } = jwk as { services?: unknown } & JsonWebKey;
  const named = Array.isArray(services) ? serviceNames.filter((name) => services.includes(name)) : [];
  if (named.length === 0 || named.length !== (services as unknown[]).length)
    throw new Error(`each key needs "services", of ${serviceNames.join(', ')}`);
  if (rest.d !== undefined) throw new Error('it holds a private key: public ones alone belong there');
  const key = createPublicKey({ key: rest, format: 'jwk' });
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('each key must be an Ed25519 one (OKP)');
  return { key, services: named };
}

const refused = (why: string): LucidError => new LucidError('unauthenticated', `the token of this call ${why}`);

export class TokenChecker {
  readonly #keys: Reloaded<Promise<Map<string, KnownKey>>>;
  readonly #audience: ServiceName;
  /** When each may be forgotten, s since 1970. In the order of their coming. */
  readonly #seen = new Map<string, number>();

  /** `keysPath`: JSON Web Key Set. Throws EnvironmentError. */
  constructor(keysPath: string, audience: ServiceName, onProblem: (message: string) => void) {
    this.#keys = opened(
      'LUCID_SERVICE_KEYS',
      keysPath,
      () => new Reloaded([keysPath], ([bytes]) => readKeys(bytes!), onProblem),
    );
    this.#audience = audience;
  }

  /** Whose call of `path` it is. Throws LucidError `unauthenticated`; `unavailable` while there are too many to remember. */
  async check(token: string, path: string): Promise<readonly ServiceName[]> {
    const keys = await this.#keys.value;
    let services: readonly ServiceName[] = [];
    const { payload } = await jwtVerify(
      token,
      ({ kid = '' }) => {
        const known = keys.get(kid);
        if (known === undefined) throw refused('is by a key nobody here knows');
        services = known.services;
        return known.key;
      },
      {
        algorithms: [algorithm],
        typ: type,
        audience: this.#audience,
        clockTolerance: skewS,
        requiredClaims: ['exp', 'iat'],
      },
    ).catch((error: unknown) => {
      if (error instanceof LucidError) throw error;
      const code = String((error as { code?: unknown }).code);
      throw refused(code === 'ERR_JWT_EXPIRED' ? 'has expired' : `is not good (${code})`);
    });
    const { iat = 0, exp = 0, jti } = payload;
    // One made ahead would be remembered until its time: enough of them would shut the door.
    if (iat > Date.now() / 1000 + skewS) throw refused('is not good yet');
    if (exp - iat > lifetimeSMax) throw refused(`lasts longer than ${lifetimeSMax} s`);
    if (payload.path !== path) throw refused('is for another call');
    if (typeof jti !== 'string' || jti.length > 64) throw refused('has no name of its own');
    this.#remember(jti, exp + skewS);
    return services;
  }

  #remember(jti: string, untilS: number): void {
    if (this.#seen.has(jti)) throw refused('was used already');
    const nowS = Date.now() / 1000;
    for (const [old, endS] of this.#seen) {
      if (endS > nowS) break;
      this.#seen.delete(old);
    }
    if (this.#seen.size >= seenMax) throw new LucidError('unavailable', 'too many calls at once; ask again');
    this.#seen.set(jti, untilS);
  }
}
