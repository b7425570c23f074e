import { randomUUID } from 'node:crypto';
import { type Role, roles } from '@lucid-sessions/contract';
import { SignJWT } from 'jose';
import { CliError, exitCodes } from '../cli/output.ts';

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

const unitSeconds = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/** `90s`, `30m`, `8h`, `30d` in seconds; at most a year. */
export function parseLifetime(text: string): number {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * unitSeconds[(unit ?? 's') as keyof typeof unitSeconds];
  if (!(seconds >= 1 && seconds <= 365 * 86_400))
    throw new CliError(`"${text}" is no lifetime: write 90s, 30m, 8h or 30d, at most 365d`, exitCodes.usage);
  return seconds;
}
