/**
 * Credentials the gateway logs on to a target with, in the user's place. They cross two calls alone: in with a request, out
 * with `targetCredentials`; no document, ticket, record, audit row or log has a field for them.
 */
import { z } from 'zod';
import type { SessionDocument } from './models.ts';

/** Where a session's credentials come from. `client`: what its client sends. */
export const credentialSources = ['none', 'injected', 'vault', 'client'] as const;
export type CredentialSource = (typeof credentialSources)[number];

/** A string of Client Info has room for 255 UTF-16 units ([MS-RDPBCGR] 2.2.1.11.1.1), and `length` counts those. */
export const credentialUnitsMax = 255;

export interface TargetCredentials {
  username: string;
  /** Empty where there is none, and for user@domain. */
  domain: string;
  password: string;
}

const wellFormed = (text: string): boolean => text.isWellFormed();
const name = z
  .string()
  .max(credentialUnitsMax)
  .regex(/^[^\p{Cc}]*$/u, 'must be one line of text')
  .refine(wellFormed, 'must be text');
/** No control characters: a terminator would cut it short at the target. */
export const targetPassword = name.min(1);
const userName = name.min(1);

export const targetCredentials: z.ZodType<TargetCredentials> = z.object({
  username: userName,
  domain: name,
  password: targetPassword,
});

const keep = z
  .enum(['session', 'once'])
  .default('session')
  .describe(
    'session: for its reconnections too, until it is over. once: forgotten when the first connection is recorded, and a lost connection ends the session.',
  );

const vaultPath = z
  .string()
  .max(200)
  .regex(/^\w[\w.-]*(\/\w[\w.-]*)*$/, 'must be a path in Vault: letters, digits, "_", "-", "." and "/"');

const given = z.strictObject({
  username: userName.optional().describe('As `DOMAIN\\user` or beside `domain`; rdp_config.username when left out.'),
  domain: name.optional().describe('rdp_config.domain when left out.'),
  password: targetPassword.meta({ writeOnly: true }),
  keep,
});

const reference = z.strictObject({
  provider: z.literal('vault').describe('HashiCorp Vault or OpenBao, as the installation is set up for it.'),
  engine: z
    .enum(['kv', 'dynamic'])
    .default('kv')
    .describe(
      'kv: fields `username`, `domain` and `password` of a secret in a KV version 2 engine. dynamic: credentials made for this session by a role (`MOUNT/creds/PATH`), renewed while it runs and revoked at its end.',
    ),
  mount: vaultPath.describe('Where the engine is mounted.'),
  path: vaultPath.describe('Of the secret below the mount, or the name of the role.'),
  username: userName.optional().describe('Where the secret holds none.'),
  domain: name.optional().describe('Where the secret holds none.'),
  keep,
});

const clients = z.strictObject({
  provider: z
    .literal('client')
    .describe('What the client sends is used, also towards a target that demands network level authentication.'),
});

export const targetCredentialsRequest = z
  .union([given, reference, clients])
  .meta({ writeOnly: true })
  .describe(
    'Who logs on to the target. Given or from Vault, the gateway does, in the place of its user, who never learns them. Never returned: the session says only that there are some, and from where (`credentials`).',
  );
export type TargetCredentialsRequest = z.output<typeof targetCredentialsRequest>;

/** `DOMAIN\\user` in one. */
function nameOf(
  request: { username?: string | undefined; domain?: string | undefined },
  rdp: { username?: string | undefined; domain?: string | undefined },
): { username: string | null; domain: string | null } {
  const { username = rdp.username } = request;
  const parts = request.domain === undefined ? /^([^\\]+)\\([^\\]+)$/.exec(username ?? '') : null;
  if (parts !== null) return { username: parts[2]!, domain: parts[1]! };
  const isWhole = username?.includes('@') === true;
  return { username: username ?? null, domain: request.domain ?? (isWhole ? '' : (rdp.domain ?? null)) };
}

/** As the pipeline takes them. Null: nobody says who is to log on. */
export function credentialsOf(
  request: TargetCredentialsRequest,
  rdp: { username?: string | undefined; domain?: string | undefined },
): NewTargetCredentials | null {
  if ('provider' in request && request.provider === 'client') return { source: 'client' };
  const { username, domain } = nameOf(request, rdp);
  if ('provider' in request) {
    const { engine, mount, path, keep } = request;
    return { source: 'vault', reference: { engine, mount, path, username, domain }, keep };
  }
  if (username === null) return null;
  return {
    source: 'injected',
    credentials: { username, domain: domain ?? '', password: request.password },
    keep: request.keep,
  };
}

/** What the pipeline keeps, sealed: the credentials themselves or where to ask for them. */
export type NewTargetCredentials =
  /** Nothing is kept. */
  | { source: 'client' }
  | { source: 'injected'; credentials: TargetCredentials; keep: 'session' | 'once' }
  | { source: 'vault'; reference: CredentialReference; keep: 'session' | 'once' };

export interface CredentialReference {
  engine: 'kv' | 'dynamic';
  mount: string;
  path: string;
  /** Where the secret holds none. */
  username: string | null;
  domain: string | null;
}

/** The session as it is stored with them: it says where they come from. What is to be used once lasts one connection. */
export function withCredentials(session: SessionDocument, given: NewTargetCredentials | undefined): SessionDocument {
  if (given === undefined) return session;
  const { recording_config: recording } = session;
  return {
    ...session,
    credentials: given.source,
    recording_config:
      given.source !== 'client' && given.keep === 'once' ? { ...recording, reconnect_seconds: 0 } : recording,
  };
}

/**
 * Whom credentials were given for, and how they are handed over: where any of it is another, they are another's. Who may change a
 * session must not get them sent elsewhere.
 */
export const credentialTarget = ({ rdp_config: rdp }: Pick<SessionDocument, 'rdp_config'>): string =>
  JSON.stringify([
    ...[rdp.host, rdp.port, rdp.preconnection_id ?? null, rdp.preconnection_blob ?? null],
    ...[
      rdp.use_tls,
      rdp.ignore_cert,
      rdp.pinned_sha256 ?? null,
      rdp.legacy_tls === true,
      rdp.restricted_admin === true,
    ],
  ]);

const credentialReference: z.ZodType<CredentialReference> = z.object({
  engine: z.enum(['kv', 'dynamic']),
  mount: vaultPath,
  path: vaultPath,
  username: userName.nullable(),
  domain: name.nullable(),
});

const keeping = z.enum(['session', 'once']);
export const newTargetCredentials: z.ZodType<NewTargetCredentials> = z.discriminatedUnion('source', [
  z.object({ source: z.literal('client') }),
  z.object({ source: z.literal('injected'), credentials: targetCredentials, keep: keeping }),
  z.object({ source: z.literal('vault'), reference: credentialReference, keep: keeping }),
]);
