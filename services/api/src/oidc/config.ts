/** Providers of OpenID Connect, as `LUCID_OIDC_FILE` has them. */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { providerIdPattern, type Role, roles } from '@lucid-sessions/contract';
import {
  type Environment,
  EnvironmentError,
  isLoopback,
  readConfiguredSecret,
  readText,
  unreadable,
} from '@lucid-sessions/kit';
import { z } from 'zod';

export interface OidcProviderConfig {
  id: string;
  /** On the button. */
  name: string;
  issuer: string;
  clientId: string;
  /** Null: a public client, which proves itself by PKCE alone. */
  clientSecret: string | null;
  clientAuth: 'basic' | 'post';
  scopes: readonly string[];
  groupsClaim: string;
  userClaim: string;
  /** By group. */
  roles: ReadonlyMap<string, Role>;
  accounts: 'create' | 'linked';
  /** API tokens of its accounts rest when their owner did not sign in for so many days. */
  tokenDays: number;
}

export interface SignInBy {
  /** Passwords and passkeys of accounts here. */
  local: boolean;
  providers: readonly OidcProviderConfig[];
}

const fileVariable = 'LUCID_OIDC_FILE';
const modeVariable = 'LUCID_SIGN_IN';
const fileBytesMax = 256 * 1024;

/** Plain HTTP only within this machine: whoever can change an answer on its way signs in as anybody. */
export const isSafeAddress = (text: string): boolean => {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname.replace(/^\[|\]$/g, '')));
};

const line = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\p{Cc}]*$/u, 'must be one line of text');
/** RFC 6749, 3.3. */
const scope = z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,100}$/, 'must be a scope');
const provider = z.strictObject({
  id: z.string().regex(providerIdPattern, 'must be 1–31 of a–z, 0–9 and -'),
  name: line(60),
  issuer: z
    .string()
    .max(500)
    .refine(
      (text) => isSafeAddress(text) && !/[?#]/.test(text),
      'must be an https:// address (http:// only to this machine itself)',
    ),
  client_id: line(200),
  client_secret_file: z.string().min(1).max(1000).optional(),
  client_secret_env: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{0,90}SECRET$/, 'must be the name of a variable that ends in SECRET, so that it is masked')
    .optional(),
  client_auth: z.enum(['basic', 'post']).default('basic'),
  scopes: z.array(scope).max(20).default(['profile']),
  groups_claim: line(200).default('groups'),
  user_claim: line(200).default('preferred_username'),
  roles: z
    .record(line(300), z.enum(roles))
    .refine((table) => Object.keys(table).length > 0, 'must give a group a role'),
  accounts: z.enum(['create', 'linked']).default('create'),
  token_days: z.int().min(1).max(365).default(7),
});
const file = z.strictObject({ providers: z.array(provider).min(1).max(8) });

const problem = (path: string, why: string) => new EnvironmentError(fileVariable, `names ${path}: ${why}`);

function parse(path: string): z.output<typeof file> {
  let text: string;
  try {
    const { size } = statSync(path);
    if (size > fileBytesMax) throw problem(path, `it is longer than ${fileBytesMax} bytes`);
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    throw unreadable(fileVariable, path, thrown);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw problem(path, 'it is no JSON');
  }
  const parsed = file.safeParse(json);
  if (parsed.success) return parsed.data;
  const [first] = parsed.error.issues;
  throw problem(path, `${first!.path.join('.') || 'the file'}: ${first!.message}`);
}

function secretOf(
  environment: Environment,
  path: string,
  { id, client_secret_file: secretFile, client_secret_env: variable }: z.output<typeof provider>,
): string | null {
  if (secretFile !== undefined && variable !== undefined)
    throw problem(path, `${id} has both client_secret_file and client_secret_env: leave one of them out`);
  if (secretFile !== undefined) return readConfiguredSecret(fileVariable, resolve(dirname(path), secretFile));
  if (variable === undefined) return null;
  const secret = environment[variable] ?? '';
  if (secret === '') throw problem(path, `${id} takes its secret from ${variable}, which is not set`);
  return secret;
}

function readProviders(environment: Environment, path: string): OidcProviderConfig[] {
  const { providers } = parse(path);
  for (const key of ['id', 'issuer'] as const)
    if (new Set(providers.map((each) => each[key])).size < providers.length)
      throw problem(path, `two providers have the same ${key}`);
  return providers.map((each) => ({
    id: each.id,
    name: each.name,
    issuer: each.issuer,
    clientId: each.client_id,
    clientSecret: secretOf(environment, path, each),
    clientAuth: each.client_auth,
    scopes: [...new Set(['openid', ...each.scopes])],
    groupsClaim: each.groups_claim,
    userClaim: each.user_claim,
    roles: new Map(Object.entries(each.roles)),
    accounts: each.accounts,
    tokenDays: each.token_days,
  }));
}

/** `LUCID_SIGN_IN`: `local`, `oidc` or `both`; left out, `both` where a file is named. */
export function readSignInBy(environment: Environment, publicUrl: string): SignInBy {
  const path = readText(environment, fileVariable, '');
  const mode = readText(environment, modeVariable, path === '' ? 'local' : 'both');
  if (mode !== 'local' && mode !== 'oidc' && mode !== 'both')
    throw new EnvironmentError(modeVariable, 'must be local, oidc or both');
  if (mode === 'local') return { local: true, providers: [] };
  if (path === '') throw new EnvironmentError(fileVariable, `must be set for ${modeVariable}=${mode}`);
  if (publicUrl === '' || !isSafeAddress(publicUrl))
    throw new EnvironmentError(
      'LUCID_PUBLIC_URL',
      `must be set for ${fileVariable}, to an https:// address (http:// only to this machine itself): providers send browsers back to it`,
    );
  return { local: mode === 'both', providers: readProviders(environment, path) };
}
