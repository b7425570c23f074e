/** `login`, `logout`, `whoami`: a token of one's own for a server, kept in a file of one's own and never shown. */
import { hostname } from 'node:os';
import type { RestAnswer } from '@lucid-sessions/contract/rest-client';
import { readSecretFile } from '@lucid-sessions/kit/secret-file';
import { ApiClient } from '../cli/api-client.ts';
import type { Cli } from '../cli/cli.ts';
import type { KeptSignIn } from '../cli/kept-sign-ins.ts';
import { CliError, exitCodes, type Output } from '../cli/output.ts';
import { readPassword } from '../cli/password.ts';

export interface LoginOptions {
  user?: string;
  passwordFile?: string;
  code?: string;
  days: number;
  plainHttp?: boolean;
}

const tokenNameMax = 100;

/** Without a slash at its end, as it is kept. Refuses what would carry a secret in clear over a network. */
function serverOf(text: string | undefined, plainHttp: boolean): string {
  if (text === undefined)
    throw new CliError('name the server: lucid-sessions login https://lucid.example.org', exitCodes.usage);
  const { url } = new ApiClient({ url: text, token: '' });
  const { protocol, hostname: host } = new URL(url);
  const isHere = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(host);
  if (protocol === 'http:' && !isHere && !plainHttp)
    throw new CliError(
      `${url} is not encrypted, and what is sent there can be read on the way: use https://, or --plain-http`,
      exitCodes.usage,
    );
  return url;
}

export async function logIn(cli: Cli, given: string | undefined, options: LoginOptions): Promise<void> {
  const server = serverOf(given ?? cli.namedServer, options.plainHttp === true);
  const { tokenFile } = cli;
  const kept =
    tokenFile === undefined ? await byPassword(cli, server, options) : await byToken(server, await brought(tokenFile));
  const signIns = cli.keptSignIns();
  signIns.keep(server, kept);
  const { token: _token, ...facts } = kept;
  const until = kept.expires_at === null ? '' : `, until ${kept.expires_at}`;
  cli.output().result({ server, ...facts, file: signIns.path }, `${kept.user_id} at ${server}${until}`);
}

const brought = (tokenFile: string): Promise<string> | string =>
  tokenFile === '-' ? readPassword('-', process.stdin) : readSecretFile(tokenFile);

async function byToken(server: string, token: string): Promise<KeptSignIn> {
  const who = await new ApiClient({ url: server, token }).rest.whoAmI();
  if (who.user_id === null) throw new CliError('this token is nobody’s', exitCodes.refused);
  return { token, token_id: null, user_id: who.user_id, expires_at: who.expires_at };
}

/** Signs in as a browser does, has a token made, and signs out: what stays is the token, which the account's page lists. */
async function byPassword(cli: Cli, server: string, options: LoginOptions): Promise<KeptSignIn> {
  const ask = cli.ask();
  const user_id = options.user ?? (await ask?.('User name: '));
  if (user_id === undefined) throw new CliError('name yourself with --user', exitCodes.usage);
  const askSecret = cli.askSecret();
  const password =
    options.passwordFile === undefined
      ? await askSecret?.(`Password of ${user_id}: `)
      : await readPassword(options.passwordFile, process.stdin);
  if (password === undefined)
    throw new CliError('there is no terminal to ask for the password: name it with --password-file', exitCodes.usage);
  const browser = new Browser(server);
  const credentials = { user_id, password };
  const { code } = options;
  const signedIn = await browser
    .signIn(code === undefined ? credentials : { ...credentials, code })
    .catch(async (error: unknown) => {
      const wantsCode = error instanceof CliError && error.details.second_factor === true && code === undefined;
      if (!wantsCode || ask === null) throw error;
      return browser.signIn({ ...credentials, code: await ask('Code of your authenticator app: ') });
    });
  try {
    const name = `lucid-sessions on ${hostname()}`.slice(0, tokenNameMax);
    const { token, token_id, expires_at } = await browser.rest.createToken({ body: { name, days: options.days } });
    return { token, token_id, user_id: signedIn.user_id, expires_at };
  } finally {
    await browser.rest.signOut();
  }
}

/** A browser as the API knows it: a cookie, and a token against forged requests. */
class Browser extends ApiClient {
  constructor(url: string) {
    const cookies = new Map<string, string>();
    let csrfToken: string | null = null;
    super({
      url,
      token: '',
      async fetch(input, init) {
        const headers = new Headers(init?.headers);
        if (cookies.size > 0) headers.set('cookie', [...cookies].map((pair) => pair.join('=')).join('; '));
        if (csrfToken !== null) headers.set('x-csrf-token', csrfToken);
        const answer = await fetch(input, { ...init, headers });
        for (const cookie of answer.headers.getSetCookie()) {
          const [, name, value] = /^([^=;]+)=([^;]*)/.exec(cookie) ?? [];
          if (name !== undefined && value !== undefined) cookies.set(name, value);
        }
        return answer;
      },
    });
    this.#tell = (token) => {
      csrfToken = token;
    };
  }

  readonly #tell: (csrfToken: string | null) => void;

  async signIn(body: { user_id: string; password: string; code?: string }): Promise<RestAnswer<'signIn'>> {
    const answer = await this.rest.signIn({ body });
    this.#tell(answer.csrf_token);
    return answer;
  }
}

export async function logOut(cli: Cli, given: string | undefined): Promise<void> {
  const signIns = cli.keptSignIns();
  const kept = signIns.find((given ?? cli.namedServer)?.replace(/\/+$/, ''));
  if (kept === null) throw new CliError('nobody is signed in there');
  const { server, token, token_id } = kept;
  signIns.forget(server);
  const problem =
    token_id === null
      ? 'the token was brought, and stays good: revoke it on the account’s page'
      : await new ApiClient({ url: server, token }).rest.revokeToken({ params: { token_id } }).then(
          () => null,
          (error: Error) => `the token was not revoked (${error.message}): revoke it on the account’s page`,
        );
  const told = problem === null ? 'the token is revoked' : problem;
  cli.output().result({ server, revoked: problem === null }, `signed out of ${server}; ${told}`);
}

export async function whoAmI(api: ApiClient, output: Output): Promise<void> {
  const who = await api.rest.whoAmI();
  if (who.user_id === null) throw new CliError(`${api.url} knows nobody by this token`, exitCodes.refused);
  const { csrf_token: _none, ...facts } = who;
  const lines = [
    ['user', who.display_name === '' ? who.user_id : `${who.user_id} (${who.display_name})`],
    ['server', api.url],
    ['roles', who.roles.join(', ')],
    ['may', who.permissions.join(', ')],
  ];
  output.result(
    { server: api.url, ...facts },
    lines.map(([name = '', value]) => `${name.padEnd(7)} ${value}`).join('\n'),
  );
}
