/** Configuration of the Session API. Read once, in main; secrets apart from the rest. */
import {
  type RateLimits,
  rateLimitsPerMinute,
  type TargetsPolicy,
  targetsPolicies,
  type ViewingLevel,
  viewingLevels,
  viewingMinutesMax,
} from '@lucid-sessions/contract';
import {
  type Environment,
  EnvironmentError,
  isLoopback,
  type NlaVariable,
  readInteger,
  readNla,
  readRdpHost,
  readRdpPort,
  readRetentionDaysDefault,
  readServicePort,
  readText,
  readUrl,
} from '@lucid-sessions/kit';
import { type ProxyTrust, readProxyTrust } from './client-address.ts';
import { type ApiTls, readApiTls } from './http-server.ts';
import { readSignInBy, type SignInBy } from './oidc/config.ts';
import type { SignInTimes } from './people/sign-ins.ts';
import { type GatewayAddress, readGatewayAddress } from './rd-gateway-address.ts';

export type JwtKey =
  | { kind: 'secret'; secret: string }
  | { kind: 'public_key'; pem: string }
  | { kind: 'jwks'; url: string };

export interface ApiConfig {
  host: string;
  port: number;
  jwt: { key: JwtKey; issuer: string | null; audience: string | null };
  rateLimits: RateLimits;
  /** How long a browser stays signed in. */
  signIn: SignInTimes;
  signInBy: SignInBy;
  /** What .rdp files point at. */
  gateway: { host: string; port: number };
  /** Clients of other machines can reach the listener. */
  rdpIsOpen: boolean;
  /** Whether clients log on to the gateway. */
  nla: NlaVariable;
  /** What those point at that lead through the RD Gateway; null: it has no address for people. */
  rdGateway: GatewayAddress | null;
  /** Address of the console, for links; empty: relative links. */
  publicUrl: string;
  /** Whose X-Forwarded-For is believed. */
  trustProxy: ProxyTrust;
  /** Null: plain HTTP. */
  tls: ApiTls | null;
  version: string;
  /** Of sessions created without one; null: until they are deleted. */
  retentionDaysDefault: number | null;
  /** Whether a session can be deleted without saying why. */
  deleteReason: 'optional' | 'required';
  viewing: ViewingPolicy;
  /** Whether sessions may lead to addresses that are no targets. */
  targets: TargetsPolicy;
}

/** What it takes to see recordings. Of several levels the strictest counts. */
export interface ViewingPolicy {
  level: ViewingLevel;
  /** By the name of a project. */
  projects: ReadonlyMap<string, ViewingLevel>;
  /** How long a grant may last at the most, in minutes. */
  minutesMax: number;
}

const secretCharactersMin = 32;

function readJwtKey(environment: Environment): JwtKey {
  const secret = environment.LUCID_JWT_SECRET ?? '';
  const pem = environment.LUCID_JWT_PUBLIC_KEY ?? '';
  const jwks = environment.LUCID_JWT_JWKS_URL ?? '';
  const given = [secret, pem, jwks].filter((text) => text !== '');
  if (given.length !== 1)
    throw new EnvironmentError(
      'LUCID_JWT_SECRET, LUCID_JWT_PUBLIC_KEY or LUCID_JWT_JWKS_URL',
      'must be set, and only one of them',
    );
  if (pem !== '') return { kind: 'public_key', pem: pem.replaceAll('\\n', '\n') };
  if (jwks !== '') return { kind: 'jwks', url: readKeySetUrl(environment) };
  if (secret.length < secretCharactersMin)
    throw new EnvironmentError('LUCID_JWT_SECRET', `must have at least ${secretCharactersMin} characters`);
  // Whoever has the public key could sign tokens with it.
  if (secret.includes('-----BEGIN'))
    throw new EnvironmentError('LUCID_JWT_SECRET', 'holds a PEM key: a public key goes into LUCID_JWT_PUBLIC_KEY');
  return { kind: 'secret', secret };
}

/** Whoever can change the keys on their way can sign in as anybody: no plain HTTP but within this machine. */
function readKeySetUrl(environment: Environment): string {
  const url = readUrl(environment, 'LUCID_JWT_JWKS_URL', '');
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'https:' && !/^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(hostname))
    throw new EnvironmentError(
      'LUCID_JWT_JWKS_URL',
      'must be an https:// address (http:// only to this machine itself)',
    );
  return url;
}

function readRateLimits(environment: Environment): RateLimits {
  const limits: RateLimits = { ...rateLimitsPerMinute };
  for (const name of Object.keys(limits) as (keyof RateLimits)[])
    limits[name] = readInteger(environment, `LUCID_RATE_LIMIT_${name.toUpperCase()}`, {
      min: 1,
      max: 1_000_000,
      fallback: limits[name],
    });
  return limits;
}

function readSignInTimes(environment: Environment): SignInTimes {
  const idle = readInteger(environment, 'LUCID_SIGN_IN_IDLE_MINUTES', { min: 5, max: 10_080, fallback: 60 });
  const whole = readInteger(environment, 'LUCID_SIGN_IN_HOURS', { min: 1, max: 720, fallback: 12 });
  return { idleUs: idle * 60_000_000, wholeUs: whole * 3_600_000_000 };
}

function readDeleteReason(environment: Environment): ApiConfig['deleteReason'] {
  const text = readText(environment, 'LUCID_DELETE_REASON', 'optional');
  if (text !== 'optional' && text !== 'required')
    throw new EnvironmentError('LUCID_DELETE_REASON', 'must be optional or required');
  return text;
}

function readTargetsPolicy(environment: Environment): TargetsPolicy {
  const text = readText(environment, 'LUCID_TARGETS', 'open');
  const policy = targetsPolicies.find((known) => known === text);
  if (policy === undefined) throw new EnvironmentError('LUCID_TARGETS', 'must be open or listed');
  return policy;
}

const isLevel = (text: string): text is ViewingLevel => (viewingLevels as readonly string[]).includes(text);

function readViewing(environment: Environment): ViewingPolicy {
  const level = readText(environment, 'LUCID_VIEWING', 'open');
  if (!isLevel(level)) throw new EnvironmentError('LUCID_VIEWING', `must be one of ${viewingLevels.join(', ')}`);
  const projects = new Map<string, ViewingLevel>();
  for (const pair of readText(environment, 'LUCID_VIEWING_PROJECTS', '').split(',')) {
    if (pair.trim() === '') continue;
    const at = pair.lastIndexOf('=');
    const [name, text] = [pair.slice(0, Math.max(0, at)).trim(), pair.slice(at + 1).trim()];
    if (name === '' || !isLevel(text) || projects.has(name))
      throw new EnvironmentError(
        'LUCID_VIEWING_PROJECTS',
        `must be PROJECT=LEVEL, several by commas, each project once, of the levels ${viewingLevels.join(', ')}`,
      );
    projects.set(name, text);
  }
  const bounds = { min: 1, max: viewingMinutesMax, fallback: 60 };
  return { level, projects, minutesMax: readInteger(environment, 'LUCID_VIEWING_MINUTES', bounds) };
}

export function readApiEnv(environment: Environment, version: string): ApiConfig {
  const publicUrl = environment.LUCID_PUBLIC_URL ? readUrl(environment, 'LUCID_PUBLIC_URL', '') : '';
  return {
    host: readText(environment, 'LUCID_API_HOST', '127.0.0.1'),
    port: readServicePort(environment, 'SESSION_API_PORT'),
    jwt: {
      key: readJwtKey(environment),
      issuer: environment.LUCID_JWT_ISSUER || null,
      audience: environment.LUCID_JWT_AUDIENCE || null,
    },
    rateLimits: readRateLimits(environment),
    signIn: readSignInTimes(environment),
    signInBy: readSignInBy(environment, publicUrl),
    rdpIsOpen: !isLoopback(readRdpHost(environment)),
    nla: readNla(environment),
    gateway: {
      host: readText(environment, 'LUCID_PUBLIC_RDP_HOST', 'localhost'),
      port: readInteger(environment, 'LUCID_PUBLIC_RDP_PORT', {
        min: 1,
        max: 65_535,
        fallback: readRdpPort(environment),
      }),
    },
    rdGateway: readGatewayAddress(environment, publicUrl),
    publicUrl,
    trustProxy: readProxyTrust(environment, 'LUCID_TRUST_PROXY'),
    tls: readApiTls(environment),
    version,
    retentionDaysDefault: readRetentionDaysDefault(environment),
    deleteReason: readDeleteReason(environment),
    viewing: readViewing(environment),
    targets: readTargetsPolicy(environment),
  };
}
