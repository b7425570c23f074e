/** What of a request and its answer a sign-in needs: cookies, and under which name the browser knows this place. */
import { isIP } from 'node:net';
import { LucidError } from '@lucid-sessions/contract';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ApiConfig } from '../config.ts';

/** WebAuthn's: the host name passkeys are bound to, and the origin they are used at. */
export interface RelyingParty {
  id: string;
  origin: string;
}

/** `session`: who is signed in. `known`: that somebody signed in here before. `oidc`: that it began a sign-in at a provider. */
export type CookieName = 'session' | 'known' | 'oidc';

export interface Browser {
  ipAddress: string;
  userAgent: string | null;
  /** Null where a browser would refuse passkeys: no HTTPS, or an IP address in place of a name. */
  relyingParty: RelyingParty | null;
  /** Throws `invalidRequest` where there is none. */
  needRelyingParty(): RelyingParty;
  /** As the browser sees it. */
  origin: string;
  cookie(name: CookieName): string | null;
  /** `seconds`: how long the browser keeps it; null: away with it. */
  setCookie(name: CookieName, value: string, seconds: number | null): void;
}

const cookieCharactersMax = 4096;

/** Whether the browser speaks HTTPS with us, or with what stands before us. */
const isSecure = ({ tls, publicUrl }: ApiConfig): boolean => tls !== null || publicUrl.startsWith('https:');

const cookieName = (config: ApiConfig, name: CookieName): string => `${isSecure(config) ? '__Host-' : ''}lucid-${name}`;

export function readCookie(config: ApiConfig, header: string | undefined, name: CookieName): string | null {
  const wanted = cookieName(config, name);
  for (const part of (header ?? '').slice(0, cookieCharactersMax * 4).split(';')) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === wanted)
      return part
        .slice(at + 1)
        .trim()
        .slice(0, cookieCharactersMax);
  }
  return null;
}

function originOf(config: ApiConfig, host: string): string {
  if (config.publicUrl !== '') return new URL(config.publicUrl).origin;
  const url = `${config.tls === null ? 'http' : 'https'}://${host}`;
  return URL.canParse(url) ? new URL(url).origin : '';
}

function relyingPartyOf(origin: string): RelyingParty | null {
  if (origin === '') return null;
  const { protocol, hostname } = new URL(origin);
  const isName = isIP(hostname) === 0 && !hostname.startsWith('[');
  const isOpen = protocol === 'https:' || hostname === 'localhost' || hostname.endsWith('.localhost');
  return isName && isOpen ? { id: hostname, origin } : null;
}

export function browserOf(config: ApiConfig, request: FastifyRequest, reply: FastifyReply): Browser {
  const origin = originOf(config, request.headers.host ?? '');
  return {
    ipAddress: request.clientAddress,
    userAgent: request.headers['user-agent']?.slice(0, 300) ?? null,
    relyingParty: relyingPartyOf(origin),
    needRelyingParty() {
      const found = relyingPartyOf(origin);
      if (found !== null) return found;
      throw new LucidError('invalidRequest', 'passkeys need HTTPS (or localhost) and a host name, not an IP address');
    },
    origin,
    cookie: (name) => readCookie(config, request.headers.cookie, name),
    setCookie(name, value, seconds) {
      const age = `Max-Age=${seconds === null ? 0 : Math.floor(seconds)}`;
      const secure = isSecure(config) ? '; Secure' : '';
      const text = `${cookieName(config, name)}=${value}; Path=/; HttpOnly; SameSite=Strict; ${age}${secure}`;
      const others = reply.getHeader('set-cookie') ?? [];
      reply.header('set-cookie', [...(Array.isArray(others) ? others : [String(others)]), text]);
    },
  };
}

/**
 * Whether another site's page made the browser send this. Browsers say where a request comes from in headers no page can set; what is
 * no browser says nothing, and holds no cookie by chance.
 */
export function isForeign(config: ApiConfig, request: FastifyRequest): boolean {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const { origin } = request.headers;
  if (origin === undefined || request.method === 'GET') return false;
  const own = [
    originOf(config, request.headers.host ?? ''),
    originOf({ ...config, publicUrl: '' }, request.headers.host ?? ''),
  ];
  return !own.includes(origin);
}
