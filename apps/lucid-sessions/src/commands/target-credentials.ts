/** Who is to log on to the target, as the options of `sessions create` and `sessions start` say it. */
import type { RestBody } from '@lucid-sessions/contract/rest-client';
import { CliError, exitCodes } from '../cli/output.ts';
import { type PasswordInput, readPassword } from '../cli/password.ts';

export interface TargetCredentialOptions {
  targetUser?: string;
  targetPasswordFile?: string;
  /** `kv:MOUNT/PATH` or `dynamic:MOUNT/ROLE`. */
  targetVault?: string;
  targetClient?: boolean;
  targetOnce?: boolean;
}

export type TargetCredentialsBody = NonNullable<RestBody<'createSession'>['target_credentials']>;

const usage = (message: string): CliError => new CliError(message, exitCodes.usage);

/** Null where none is named. */
export async function targetCredentials(
  options: TargetCredentialOptions,
  input: PasswordInput = process.stdin,
): Promise<TargetCredentialsBody | null> {
  const { targetUser: username, targetPasswordFile: file, targetVault: vault, targetClient, targetOnce } = options;
  const named = [file, vault, targetClient].filter((source) => source !== undefined);
  if (named.length > 1) throw usage('name one of --target-password-file, --target-vault and --target-client');
  if (targetClient === true) return { provider: 'client' };
  const more = {
    ...(username === undefined ? {} : { username }),
    ...(targetOnce === true ? { keep: 'once' as const } : {}),
  };
  if (vault !== undefined) return { provider: 'vault', ...vaultPath(vault), ...more };
  if (file !== undefined) return { password: await readPassword(file, input), ...more };
  if (username === undefined && targetOnce !== true) return null;
  throw usage('--target-user and --target-once go with --target-password-file or --target-vault');
}

function vaultPath(text: string): { engine: 'kv' | 'dynamic'; mount: string; path: string } {
  const [, engine, mount = '', path = ''] = /^(kv|dynamic):([^/]+)\/(.+)$/.exec(text) ?? [];
  if (engine !== 'kv' && engine !== 'dynamic') throw usage('--target-vault takes kv:MOUNT/PATH or dynamic:MOUNT/ROLE');
  return { engine, mount, path };
}
