import { randomUUID } from 'node:crypto';
import { type Role, roles } from '@lucid-sessions/contract';
import { SignJWT } from 'jose';
import { CliError, exitCodes, type Output } from '../cli/output.ts';

export interface TokenClaims {
  userId: string;
  roles: readonly string[];
  /** Seconds. */
  lifetimeS: number;
}

/** An access token as the contract wants it, signed with the installation's own HS256 secret. */
export async function makeToken(secret: string, { userId, roles: held, lifetimeS }: TokenClaims): Promise<string> {
  const unknown = held.filter((role) => !roles.includes(role as Role));
  if (unknown.length > 0)
    throw new CliError(`unknown role ${unknown.join(', ')}: choose from ${roles.join(', ')}`, exitCodes.usage);
  return new SignJWT({ user_id: userId, roles: [...held], type: 'access' })
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuedAt()
    .setJti(randomUUID())
    .setExpirationTime(`${lifetimeS} s`)
    .sign(new TextEncoder().encode(secret));
}

export interface TokenOptions extends TokenClaims {
  /** A new file for the token, 0600. */
  out?: string;
}

/** Into a file, or to somebody who reads standard output: never into a log or a pipe. */
export async function giveToken(
  secret: string,
  options: TokenOptions,
  output: Output,
  writeFile: (path: string, text: string) => Promise<void>,
): Promise<void> {
  const { out, ...claims } = options;
  const token = await makeToken(secret, claims);
  if (out === undefined && !output.isRead)
    throw new CliError('a token is a secret and is shown at a terminal only: name a file with --out', exitCodes.usage);
  const facts = { user_id: claims.userId, roles: claims.roles, expires_in: claims.lifetimeS };
  if (out === undefined) return output.result({ token, ...facts }, token);
  await writeFile(out, `${token}\n`);
  output.result({ file: out, ...facts }, `token      ${out} (mode 0600): use it with --token-file ${out}`);
}

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** `90s`, `30m`, `8h`, `30d` in seconds; at most a year. */
export function parseLifetime(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * unitSeconds[(unit ?? 's') as keyof typeof unitSeconds];
  if (!(seconds >= 1 && seconds <= 365 * 86_400))
    throw new CliError(`"${text}" is no lifetime: write 90s, 30m, 8h or 30d, at most 365d`, exitCodes.usage);
  return seconds;
}
