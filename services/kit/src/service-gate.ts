/** Who is let in at a service's door, and how a service says who it is at another's: shared secret, signed token, certificate. */
import type { IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { LucidError, type RpcClientOptions, type RpcFetch, type ServiceName } from '@lucid-sessions/contract';
import type { Reloaded } from './reloaded.ts';
import { type ServiceProof, secretAlone } from './service-proof.ts';
import { openTlsFiles, peerServices, type TlsMaterial, tlsFetch, tlsRequestOptions } from './service-tls.ts';
import { TokenChecker, TokenIssuer } from './service-tokens.ts';
import { traceHeaders } from './tracing.ts';

export const serviceSecretCharactersMin = 32;

export interface ServiceAccess {
  /** At least 32 characters; empty: none, where `proof` has something. */
  serviceSecret: string;
  /** The secret alone unless given. */
  proof?: ServiceProof;
  /** Renewed files that can't be used. */
  onProblem?: (message: string) => void;
}

const digest = async (text: string) =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));

/** Compares digests, and all their bytes, so neither content nor length of the secret leaks through timing. */
export function bearerGuard(secret: string): (authorization: string | undefined) => Promise<void> {
  if (secret.length < serviceSecretCharactersMin)
    throw new LucidError(
      'invalidRequest',
      `the service secret must have at least ${serviceSecretCharactersMin} characters`,
    );
  const expected = digest(`Bearer ${secret}`);
  return async (authorization) => {
    const [wanted, given] = await Promise.all([expected, digest(authorization ?? '')]);
    let difference = 0;
    for (let at = 0; at < wanted.length; at++) difference |= wanted[at]! ^ given[at]!;
    if (difference !== 0)
      throw new LucidError('unauthenticated', 'this door is for the services; send their shared secret');
  };
}

type Request = Pick<IncomingMessage, 'headers' | 'socket'>;

/**
 * At a door: a certificate where there is TLS, always; beside it a token or the secret, whichever is configured, either where both
 * are. A caller that names itself may do what `rpcCallers` and `doorCallers` say.
 */
export class ServiceGate {
  readonly tls: Reloaded<TlsMaterial> | null;
  readonly #secret: ReturnType<typeof bearerGuard> | null;
  readonly #tokens: TokenChecker | null;

  /** `service`: whose door it is. Throws EnvironmentError for files that are none. */
  constructor(service: ServiceName, { serviceSecret, proof = secretAlone, onProblem = () => {} }: ServiceAccess) {
    this.tls = proof.tls === null ? null : openTlsFiles(proof.tls, onProblem);
    this.#tokens = proof.tokens === null ? null : new TokenChecker(proof.tokens.keysPath, service, onProblem);
    const hasOther = this.tls !== null || this.#tokens !== null;
    this.#secret = serviceSecret === '' && hasOther ? null : bearerGuard(serviceSecret);
  }

  /** Throws LucidError: `unauthenticated`, or `forbidden` where `permits` does not have who calls. */
  async admit(
    { headers, socket }: Request,
    path: string,
    permits: (callers: readonly ServiceName[]) => boolean,
  ): Promise<void> {
    if (this.tls !== null) check(peerServices(socket as TLSSocket), permits);
    const { authorization } = headers;
    const token = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/.exec(authorization ?? '')?.[1];
    if (this.#tokens !== null && (token !== undefined || this.#secret === null))
      check(await this.#tokens.check(token ?? '', path), permits);
    else if (this.#secret !== null) await this.#secret(authorization);
  }
}

function check(callers: readonly ServiceName[], permits: (callers: readonly ServiceName[]) => boolean): void {
  if (permits(callers)) return;
  const who = callers.length === 0 ? 'who is no service' : callers.join(' and ');
  throw new LucidError('forbidden', `this call is not for ${who}`);
}

/** How this process calls others. */
export class ServiceCaller {
  readonly #secret: string;
  readonly #issuer: TokenIssuer | null;
  readonly #tls: Reloaded<TlsMaterial> | null;

  /** Throws EnvironmentError for files that are none. */
  constructor({ serviceSecret, proof = secretAlone, onProblem = () => {} }: ServiceAccess) {
    this.#secret = serviceSecret;
    this.#issuer = proof.tokens === null ? null : new TokenIssuer(proof.tokens.keyPath, onProblem);
    this.#tls = proof.tls === null ? null : openTlsFiles(proof.tls, onProblem);
  }

  /** For `Authorization: Bearer`; empty: nothing is said there. */
  async token(service: ServiceName, path: string): Promise<string> {
    return this.#issuer === null ? this.#secret : this.#issuer.issue(service, path);
  }

  rpcOptions(service: ServiceName): Pick<RpcClientOptions, 'token' | 'fetch' | 'headers'> {
    const fetch: { fetch?: RpcFetch } = this.#tls === null ? {} : { fetch: tlsFetch(this.#tls, service) };
    return { token: (path) => this.token(service, path), headers: () => ({ ...traceHeaders() }), ...fetch };
  }

  /** What a request of another kind than RPC adds for TLS. */
  requestOptions(service: ServiceName): RequestOptions {
    return this.#tls === null ? {} : tlsRequestOptions(this.#tls.value, service);
  }
}
