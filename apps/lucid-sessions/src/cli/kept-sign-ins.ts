/** Where the command line is signed in: one file in the user's own configuration directory, mode 0600, with a token for each server. */
import { renameSync, unlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '@lucid-sessions/kit/environment';
import { readSecretFile } from '@lucid-sessions/kit/secret-file';
import { writeSecret } from '../server/secret-file.ts';
import { CliError } from './output.ts';

export interface KeptSignIn {
  token: string;
  /** Of a token that signing in made: signing out revokes it. Null: one that was brought. */
  token_id: string | null;
  user_id: string;
  /** RFC 3339; null: not known. */
  expires_at: string | null;
}

interface Kept {
  /** The server that is asked where none is named. */
  current: string | null;
  servers: Record<string, KeptSignIn>;
}

const serversMax = 100;

/** `XDG_CONFIG_HOME`, `APPDATA` or `~/.config`, as the system has it. */
function configFolder(environment: Environment): string {
  const own = process.platform === 'win32' ? environment.APPDATA : environment.XDG_CONFIG_HOME;
  return join(own || join(homedir(), '.config'), 'lucid-sessions');
}

function isKept(value: unknown): value is KeptSignIn {
  const { token, token_id, user_id, expires_at } = (value ?? {}) as Record<string, unknown>;
  const isTextOrNull = (field: unknown) => field === null || typeof field === 'string';
  return typeof token === 'string' && typeof user_id === 'string' && isTextOrNull(token_id) && isTextOrNull(expires_at);
}

export class KeptSignIns {
  readonly path: string;

  constructor(environment: Environment) {
    this.path = join(configFolder(environment), 'sign-ins.json');
  }

  /** Of `server`, or of the one signed in to last. */
  find(server: string | undefined): (KeptSignIn & { server: string }) | null {
    const { current, servers } = this.#read();
    const named = server ?? current;
    const kept = named === null ? undefined : servers[named];
    return named === null || kept === undefined ? null : { ...kept, server: named };
  }

  /** The server becomes the one that is asked where none is named. */
  keep(server: string, signIn: KeptSignIn): void {
    const { servers } = this.#read();
    if (Object.keys(servers).length >= serversMax && servers[server] === undefined)
      throw new CliError(`${this.path} holds ${serversMax} servers: log out of some`);
    this.#write({ current: server, servers: { ...servers, [server]: signIn } });
  }

  forget(server: string): void {
    const { current, servers } = this.#read();
    const left = Object.fromEntries(Object.entries(servers).filter(([name]) => name !== server));
    if (Object.keys(left).length === 0) unlinkSync(this.path);
    else this.#write({ current: current === server ? null : current, servers: left });
  }

  #read(): Kept {
    let text: string;
    try {
      text = readSecretFile(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { current: null, servers: {} };
      throw error;
    }
    try {
      const { current, servers } = JSON.parse(text) as { current: unknown; servers: Record<string, unknown> };
      const kept = Object.entries(servers).filter((entry): entry is [string, KeptSignIn] => isKept(entry[1]));
      return { current: typeof current === 'string' ? current : null, servers: Object.fromEntries(kept) };
    } catch {
      throw new CliError(`${this.path} can't be read: remove it and log in again`);
    }
  }

  /** Beside it and into its place: a crash leaves what was there. */
  #write(kept: Kept): void {
    const next = `${this.path}.${process.pid}`;
    writeSecret(next, JSON.stringify(kept, null, 2));
    renameSync(next, this.path);
  }
}

/** Ends of sign-ins; a token past its own is not sent. */
export const isOver = ({ expires_at }: KeptSignIn, nowMs: number): boolean =>
  expires_at !== null && !(Date.parse(expires_at) > nowMs);
