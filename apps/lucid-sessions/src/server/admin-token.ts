/** The ready administrator token of an embedded installation: made once, kept in a 0600 file. */
import { accessSync, constants } from 'node:fs';
import { type Environment, readSecretFile } from '@lucid-sessions/kit';
import { decodeJwt } from 'jose';
import { makeToken } from '../commands/token.ts';
import type { DataDirectory } from './environment.ts';
import { loadOrCreateSecret, writeSecret } from './secret-file.ts';

const lifetimeS = 365 * 86_400;
/** A token that ends sooner is made anew. */
const remainingSMin = 86_400;

export interface AdminToken {
  token: string;
  isNew: boolean;
}

/** Null where tokens come from an identity provider (this installation can't sign any), or there is no data directory to keep it in. */
export async function loadAdminToken(directory: DataDirectory, environment: Environment): Promise<AdminToken | null> {
  const secret = signingSecret(directory, environment);
  if (secret === null) return null;
  if (environment.LUCID_JWT_SECRET && !isWritable(directory.root)) return null;
  const kept = keptToken(directory.adminToken);
  if (kept !== null) return { token: kept, isNew: false };
  const token = await makeToken(secret, { userId: 'admin', roles: ['admin'], lifetimeS });
  writeSecret(directory.adminToken, token);
  return { token, isNew: true };
}

/** The HS256 secret this installation signs tokens with; null when its tokens are someone else's. */
export function signingSecret(directory: DataDirectory, environment: Environment): string | null {
  if (environment.LUCID_JWT_PUBLIC_KEY || environment.LUCID_JWT_JWKS_URL) return null;
  return environment.LUCID_JWT_SECRET || loadOrCreateSecret(directory.jwtSecret);
}

/** A container's root may be read-only, and what is not mounted in it with it. */
function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function keptToken(path: string): string | null {
  try {
    const token = readSecretFile(path);
    return (decodeJwt(token).exp ?? 0) - Date.now() / 1000 > remainingSMin ? token : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
