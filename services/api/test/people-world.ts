/** Accounts over HTTP: browsers with their cookies, and a clock that tests move. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiConfig } from '@lucid-sessions/api';
import type { OperationId, StoragePort } from '@lucid-sessions/contract';
import { FsChunkStore } from '@lucid-sessions/files';
import { SqliteMetadataStore } from '@lucid-sessions/sqlite';
import { createStorageService } from '@lucid-sessions/storage';
import { type Answer, type ApiWorld, apiWorld, type CallOptions } from './world.ts';

export const goodPassword = 'correct horse battery staple';

export class TestBrowser {
  readonly cookies = new Map<string, string>();
  csrfToken: string | null = null;
  /** As a proxy tells it. */
  address: string;
  readonly #world: ApiWorld;

  constructor(world: ApiWorld, address = '192.0.2.1') {
    this.#world = world;
    this.address = address;
  }

  async call(operation: OperationId, options: Omit<CallOptions, 'roles'> = {}): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = {
      'x-forwarded-for': this.address,
      ...(cookie === '' ? {} : { cookie }),
      ...(this.csrfToken === null ? {} : { 'x-csrf-token': this.csrfToken }),
      ...options.headers,
    };
    const answer = await this.#world.call(operation, { ...options, roles: null, headers });
    for (const line of answer.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (/Max-Age=0(;|$)/.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    if (answer.status < 400 && typeof answer.body.csrf_token === 'string') this.csrfToken = answer.body.csrf_token;
    return answer;
  }

  signIn(userId: string, password = goodPassword, code?: string): Promise<Answer> {
    const body = { user_id: userId, password, ...(code === undefined ? {} : { code }) };
    return this.call('signIn', { body });
  }
}

export interface PeopleWorld {
  world: ApiWorld;
  storage: StoragePort;
  clock: { us: number };
  /** An account with a password, signed in. */
  person(userId: string, roles?: string[]): Promise<TestBrowser>;
  another(changes?: Partial<ApiConfig>): Promise<ApiWorld>;
  dispose(): Promise<void>;
}

export async function peopleWorld(changes: Partial<ApiConfig> = {}): Promise<PeopleWorld> {
  const path = await mkdtemp(join(tmpdir(), 'lucid-people-'));
  const clock = { us: Date.now() * 1000 };
  const nowUs = () => clock.us;
  const storage = createStorageService({
    metadata: new SqliteMetadataStore(':memory:'),
    chunks: new FsChunkStore({ path: join(path, 'chunks') }),
    nowUs,
  });
  const worlds: ApiWorld[] = [];
  const another = async (more: Partial<ApiConfig> = {}): Promise<ApiWorld> => {
    const config = { publicUrl: '', trustProxy: { kind: 'hops', count: 1 } as const, ...changes, ...more };
    const made = await apiWorld(config, { storage, nowUs });
    worlds.push(made);
    return made;
  };
  const world = await another();
  return {
    ...{ world, storage, clock, another },
    async person(userId, roles = ['session_viewer']) {
      await world.call('createUser', { body: { user_id: userId, roles } });
      const invite = await world.call('inviteUser', { params: { user_id: userId }, body: {} });
      const browser = new TestBrowser(world);
      const body = { token: invite.body.token, password: goodPassword };
      const { status, body: answer } = await browser.call('redeemInvite', { body });
      if (status !== 200) throw new Error(`no sign-in of ${userId}: ${answer.error?.message}`);
      return browser;
    },
    async dispose() {
      for (const each of worlds) await each.dispose();
      await storage.dispose();
      await rm(path, { recursive: true, force: true });
    },
  };
}
