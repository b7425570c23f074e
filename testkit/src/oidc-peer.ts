/** A real provider of OpenID Connect (npm oidc-provider) on a port of this machine, and a browser that goes through its pages. */
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt, decodeProtectedHeader, importJWK, type JWK, type JWTPayload, SignJWT } from 'jose';
import Provider, { type Adapter, type AdapterPayload, type ClientMetadata, type Configuration } from 'oidc-provider';

export interface TestPerson {
  groups?: unknown;
  preferred_username?: string;
  name?: string;
}

/** What becomes of an ID token on its way: its claims and header as they are to be. Null: signed by nobody. */
export type Tamper = (claims: JWTPayload) => { claims: JWTPayload; header?: Record<string, unknown>; secret?: string };

export const clientSecret = 'the secret that the provider gave this client';

/** What the provider keeps, also when its keys change. */
class Kept implements Adapter {
  readonly #model: string;
  readonly #all: Map<string, AdapterPayload>;

  constructor(model: string, all: Map<string, AdapterPayload>) {
    this.#model = model;
    this.#all = all;
  }

  async upsert(id: string, payload: AdapterPayload): Promise<undefined> {
    this.#all.set(`${this.#model} ${id}`, payload);
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    return this.#all.get(`${this.#model} ${id}`);
  }

  async findByUid(uid: string): Promise<AdapterPayload | undefined> {
    return [...this.#all].find(([key, payload]) => key.startsWith(`${this.#model} `) && payload.uid === uid)?.[1];
  }

  async findByUserCode(): Promise<undefined> {}

  async consume(id: string): Promise<undefined> {
    this.#all.get(`${this.#model} ${id}`)!.consumed = true;
  }

  async destroy(id: string): Promise<undefined> {
    this.#all.delete(`${this.#model} ${id}`);
  }

  async revokeByGrantId(grantId: string): Promise<undefined> {
    for (const [key, payload] of this.#all) if (payload.grantId === grantId) this.#all.delete(key);
  }
}

let keysCount = 0;
function newKey(): JWK {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: `key-${++keysCount}`, use: 'sig', alg: 'RS256' } as JWK;
}

const form = (action: string) =>
  `<!doctype html><title>Corp</title><form method="post" action="${action}"><label>Who are you? <input name="login" autofocus></label><button>Sign in</button></form>`;

export class OidcPeer {
  readonly people = new Map<string, TestPerson>();
  tamper: Tamper | null = null;
  /** Answers nothing but this status. */
  failsWith: number | null = null;
  /** Holds every answer back. */
  isMute = false;
  /** Paths it was asked for. */
  readonly asked: string[] = [];
  readonly #kept = new Map<string, AdapterPayload>();
  readonly #server: Server;
  #provider: Provider | null = null;
  #key: JWK = newKey();
  #options: { clients: ClientMetadata[]; inIdToken: boolean } = { clients: [], inIdToken: true };

  private constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  static async open(): Promise<OidcPeer> {
    const peer = new OidcPeer();
    await new Promise<void>((resolve) => peer.#server.listen(0, '127.0.0.1', resolve));
    return peer;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** `inIdToken`: whether groups stand in the ID token, or are asked for at the userinfo endpoint. */
  configure(clients: ClientMetadata[], inIdToken = true): void {
    this.#options = { clients, inIdToken };
    this.#make();
  }

  /** New keys; those of before are not published any more. */
  rotate(): void {
    this.#key = newKey();
    this.#make();
  }

  #make(): void {
    const { clients, inIdToken } = this.#options;
    const configuration: Configuration = {
      adapter: (model) => new Kept(model, this.#kept),
      // Its own refuses addresses of this machine.
      fetch: (url, { method, body, headers } = {}) => fetch(url, { method, body, headers } as RequestInit),
      clients,
      jwks: { keys: [this.#key] } as Configuration['jwks'] & object,
      claims: { openid: ['sub', 'sid'], profile: ['name', 'preferred_username'], groups: ['groups'] },
      scopes: ['openid', 'profile', 'groups'],
      conformIdTokenClaims: !inIdToken,
      cookies: { keys: ['of a test'] },
      pkce: { required: () => true },
      features: { devInteractions: { enabled: false }, backchannelLogout: { enabled: true } },
      interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
      findAccount: (_context, id) => ({ accountId: id, claims: async () => ({ sub: id, ...this.people.get(id) }) }),
      async loadExistingGrant(context) {
        const { client, session, provider } = context.oidc;
        const grant = new provider.Grant({ clientId: client!.clientId, accountId: session!.accountId! });
        grant.addOIDCScope('openid profile groups');
        await grant.save();
        return grant;
      },
    };
    this.#provider = new Provider(this.issuer, configuration);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url!.split('?')[0]!;
    this.asked.push(path);
    if (this.isMute) return;
    if (this.failsWith !== null || this.#provider === null) {
      response.writeHead(this.failsWith ?? 503).end('away');
      return;
    }
    if (path.startsWith('/interaction/')) return this.#interact(this.#provider, request, response);
    if (path === '/token' && this.tamper !== null) this.#tamperWith(response, this.tamper);
    await this.#provider.callback()(request, response);
  }

  async #interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === 'GET') {
      await provider.interactionDetails(request, response);
      response.writeHead(200, { 'content-type': 'text/html' }).end(form(request.url!));
      return;
    }
    let text = '';
    for await (const part of request) text += String(part);
    const accountId = new URLSearchParams(text).get('login') ?? '';
    const result = this.people.has(accountId) ? { login: { accountId } } : { error: 'access_denied' };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }

  #tamperWith(response: ServerResponse, tamper: Tamper): void {
    const end = response.end.bind(response) as (text: string) => ServerResponse;
    response.end = ((body: Buffer | string) => {
      const answer = JSON.parse(String(body)) as { id_token: string };
      const { claims, header = {}, secret } = tamper(decodeJwt(answer.id_token));
      const sign = async (): Promise<string> => {
        const whole = { ...decodeProtectedHeader(answer.id_token), ...header } as { alg: string };
        if (whole.alg === 'none') {
          const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
          return `${part(whole)}.${part(claims)}.`;
        }
        const key = secret === undefined ? await importJWK(this.#key, 'RS256') : new TextEncoder().encode(secret);
        return new SignJWT(claims).setProtectedHeader(whole).sign(key);
      };
      void sign().then((id_token) => {
        const text = JSON.stringify({ ...answer, id_token });
        response.setHeader('content-length', Buffer.byteLength(text));
        end(text);
      });
      return response;
    }) as ServerResponse['end'];
  }

  /** A token signed by it, as it signs logout tokens. */
  async sign(claims: JWTPayload, header: object = {}): Promise<string> {
    const { alg, kid } = this.#key as { alg: string; kid: string };
    return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(await importJWK(this.#key, 'RS256'));
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A browser at the provider: its cookies, its redirects. */
export class ProviderBrowser {
  readonly #cookies = new Map<string, string>();

  async fetch(url: string, body?: URLSearchParams): Promise<Response> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const init: RequestInit = { redirect: 'manual', headers: { cookie }, ...(body && { method: 'POST', body }) };
    const response = await fetch(url, init);
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return response;
  }

  /** Goes on until the provider sends it away; answers where to. `login`: what it says at the form. */
  async leave(start: string, login: string): Promise<URL> {
    const home = new URL(start).origin;
    let url = new URL(start);
    for (let step = 0; step < 12; step++) {
      let response = await this.fetch(url.href);
      if (response.status === 200) response = await this.fetch(url.href, new URLSearchParams({ login }));
      const location = response.headers.get('location');
      if (location === null) throw new Error(`${url.pathname} answered ${response.status}: ${await response.text()}`);
      url = new URL(location, url);
      if (url.origin !== home) return url;
    }
    throw new Error('the provider does not let go');
  }
}
