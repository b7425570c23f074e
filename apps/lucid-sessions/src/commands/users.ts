import type { Role, Scope } from '@lucid-sessions/contract';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import type { ApiClient } from '../cli/api-client.ts';
import { CliError, exitCodes, type Output, table } from '../cli/output.ts';
import { refuseExisting, writeTextFile } from '../cli/text-file.ts';

interface LinkOptions {
  out?: string;
}

type Link = RestAnswer<'inviteUser'>;

const linkUrl = (api: ApiClient, { url, path }: Link): string => url ?? new URL(path, api.url).href;

/** Before anything is made: a link is a secret, and goes to somebody who reads it or into a file. */
async function checkPlace({ out }: LinkOptions, output: Output): Promise<void> {
  if (out !== undefined) await refuseExisting(out);
  else if (!output.isRead)
    throw new CliError('a link is a secret and is shown at a terminal only: name a file with --out', exitCodes.usage);
}

async function give(api: ApiClient, output: Output, link: Link, { out }: LinkOptions, what: string): Promise<void> {
  const url = linkUrl(api, link);
  const facts = { expires_at: link.expires_at };
  if (out === undefined)
    return output.result({ url, ...facts }, `${what} Good once, until ${link.expires_at}:\n\n${url}\n`);
  await writeTextFile(out, `${url}\n`);
  output.result(
    { file: out, ...facts },
    `${what} The link is in ${out} (mode 0600), good once, until ${link.expires_at}.`,
  );
}

export async function setUp(api: ApiClient, output: Output, options: LinkOptions): Promise<void> {
  await checkPlace(options, output);
  await give(api, output, await api.rest.setUp(), options, 'Open this to make the first account.');
}

/** The link for the first account, where there is none; null elsewhere. */
export async function firstLink(api: ApiClient): Promise<string | null> {
  const { has_accounts } = await api.rest.signInWays();
  return has_accounts ? null : linkUrl(api, await api.rest.setUp());
}

/** An account for whoever looks at the demo, where there is none, and a link that signs them in. */
export async function demoLink(api: ApiClient): Promise<string | null> {
  if ((await api.rest.signInWays()).has_accounts) return null;
  await api.rest.createUser({ body: { user_id: 'demo', roles: ['admin'] } });
  return linkUrl(api, await api.rest.inviteUser({ params: { user_id: 'demo' }, body: { purpose: 'sign_in' } }));
}

export async function listUsers(api: ApiClient, output: Output): Promise<void> {
  const users: RestAnswer<'listUsers'>['users'] = [];
  for (let after: string | null = ''; after !== null; ) {
    const page: RestAnswer<'listUsers'> = await api.rest.listUsers({ query: { after, limit: 500 } });
    users.push(...page.users);
    after = page.next;
  }
  const rows = users.map((user) => [
    user.user_id,
    user.roles.join(' '),
    scopeText(user),
    user.disabled ? 'disabled' : waysOf(user),
    user.signed_in_at ?? 'never',
    user.display_name,
  ]);
  const header = ['USER', 'ROLES', 'SEES', 'SIGNS IN BY', 'LAST', 'NAME'];
  output.result({ users }, rows.length === 0 ? 'nobody has an account here' : table(header, rows));
}

const scopeOf = (scope: Scope | 'all'): Scope | null => (scope === 'all' ? null : scope);

function scopeText({ scope }: RestAnswer<'getUser'>): string {
  if (scope === null) return 'all';
  const { own, projects, labels, targets } = scope;
  const parts = [
    ...(own ? ['own'] : []),
    ...projects.map((name) => `project:${name}`),
    ...labels.map((name) => `label:${name}`),
    ...targets.map((id) => `target:${id}`),
  ];
  return parts.length === 0 ? 'nothing' : parts.join(' ');
}

function waysOf({ has_password, has_totp, passkeys, provider }: RestAnswer<'getUser'>): string {
  const ways = [
    has_password ? (has_totp ? 'password and code' : 'password') : '',
    passkeys > 0 ? `${passkeys} passkey(s)` : '',
    provider ?? '',
  ].filter((way) => way !== '');
  return ways.length === 0 ? 'a link only' : ways.join(', ');
}

export async function addUser(
  api: ApiClient,
  output: Output,
  name: string,
  options: LinkOptions & { role: Role[]; scope?: Scope | 'all'; displayName: string },
): Promise<void> {
  await checkPlace(options, output);
  const { role, scope = 'all', displayName } = options;
  await api.rest.createUser({ body: { user_id: name, roles: role, scope: scopeOf(scope), display_name: displayName } });
  const link = await api.rest.inviteUser({ params: { user_id: name }, body: {} });
  await give(api, output, link, options, `${name} has an account. This is for them alone: they choose a password.`);
}

export async function linkUser(
  api: ApiClient,
  output: Output,
  name: string,
  options: LinkOptions & { signIn?: boolean },
): Promise<void> {
  await checkPlace(options, output);
  const purpose = options.signIn === true ? 'sign_in' : 'password';
  const link = await api.rest.inviteUser({ params: { user_id: name }, body: { purpose } });
  await give(api, output, link, options, `For ${name} alone.`);
}

export interface ChangeOptions {
  role?: Role[];
  /** `all`: not limited. */
  scope?: Scope | 'all';
  displayName?: string;
  disable?: boolean;
  enable?: boolean;
  reset?: 'second_factor' | 'passkeys' | 'password' | 'provider';
}

export async function changeUser(api: ApiClient, output: Output, name: string, options: ChangeOptions): Promise<void> {
  const { role, scope, displayName, disable, enable, reset } = options;
  if (disable === true && enable === true) throw new CliError('either --disable or --enable', exitCodes.usage);
  const body = {
    ...(role === undefined ? {} : { roles: role }),
    ...(scope === undefined ? {} : { scope: scopeOf(scope) }),
    ...(displayName === undefined ? {} : { display_name: displayName }),
    ...(disable === true ? { disabled: true } : enable === true ? { disabled: false } : {}),
    ...(reset === undefined ? {} : { reset }),
  };
  const user = await api.rest.updateUser({ params: { user_id: name }, body });
  const standing = user.disabled ? 'disabled' : user.roles.join(', ');
  output.result(user, `${name}: ${standing}, sees ${scopeText(user)}, signs in by ${waysOf(user)}`);
}

export async function signOutUser(api: ApiClient, output: Output, name: string): Promise<void> {
  const { revoked } = await api.rest.revokeUserSignIns({ params: { user_id: name } });
  output.result({ revoked }, `${revoked} browser(s) of ${name} signed out`);
}

export async function removeUser(api: ApiClient, output: Output, name: string): Promise<void> {
  const removed = await api.rest.removeUser({ params: { user_id: name } });
  output.result(removed, `${name} has no account any more; what they did still bears their name`);
}
