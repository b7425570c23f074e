/** Credentials for targets: who gets them, for how long they are kept, and that nothing of them lies about. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ConnectionRequest,
  LucidError,
  type NewTargetCredentials,
  type PipelinePort,
  type SessionTicket,
} from '@lucid-sessions/contract';
import { LocalSeal } from '@lucid-sessions/keys';
import { type CredentialProvider, tokenSha256 } from '@lucid-sessions/pipeline';
import { SqliteJournalStore } from '@lucid-sessions/sqlite';
import { sampleSession } from '@lucid-sessions/storage/suites';
import { bothWays } from './both-ways.ts';
import { statistics, type World, world } from './world.ts';

const hourUs = 3_600_000_000;
const credentials = { username: 'svc-rdp', domain: 'CORP', password: 'pä$$ "word"\\ 🔑' };
const given = (keep: 'session' | 'once' = 'session'): NewTargetCredentials => ({
  source: 'injected',
  credentials,
  keep,
});
const vault = {
  source: 'vault',
  reference: { engine: 'dynamic', mount: 'database', path: 'rdp', username: null, domain: null },
  keep: 'session',
} as const;

async function create(made: World, sessionId: string, targetCredentials?: NewTargetCredentials): Promise<void> {
  const session = sampleSession(sessionId);
  const { created } = await made.pipeline.create({
    session,
    routeTokenSha256: tokenSha256(`token of ${sessionId}`),
    ...(targetCredentials === undefined ? {} : { targetCredentials }),
  });
  assert.equal(created, true);
}

let connections = 0;
async function find(made: World, sessionId: string): Promise<{ connectionId: string; ticket: SessionTicket | null }> {
  const connectionId = `looked-${++connections}`;
  const request: ConnectionRequest = {
    connectionId,
    route: { kind: 'token', token: `token of ${sessionId}` },
    clientAddress: '10.0.0.1:5000',
    clientName: null,
    recorderId: 'recorder-1',
  };
  const found = await made.pipeline.find(request);
  return { connectionId, ticket: found.found ? found.ticket : null };
}

async function ask(made: World, sessionId: string): ReturnType<PipelinePort['targetCredentials']> {
  return made.pipeline.targetCredentials({ connectionId: (await find(made, sessionId)).connectionId });
}

async function begin(made: World, sessionId: string): Promise<string> {
  const { connectionId } = await find(made, sessionId);
  assert.equal((await made.pipeline.admit({ connectionId })).admitted, true);
  made.recorder.alive.add(sessionId);
  const addresses = { clientAddress: '10.0.0.1:5000', targetAddress: '10.0.0.2:3389' };
  const started = { kind: 'started', sessionId, atUs: made.clock.us, recorderId: 'recorder-1' } as const;
  await made.pipeline.report({ ...started, connectionId, ...addresses });
  return connectionId;
}

async function end(made: World, sessionId: string): Promise<void> {
  const why = { reason: 'client_disconnected', message: 'bye', failed: false } as const;
  made.recorder.alive.delete(sessionId);
  await made.pipeline.report({ kind: 'ended', sessionId, atUs: made.clock.us, ...why, statistics });
}

const sealed = async (made: World): Promise<string[]> => {
  const store = made.deps().journal;
  const names = (await store.listSealed()).map(({ sessionId, name }) => `${sessionId} ${name}`);
  await store.dispose();
  return names;
};

bothWays('the connection that was found gets them, and nobody else', async (made) => {
  await create(made, 's1', given());
  await create(made, 's2');
  const [one, two] = [await find(made, 's1'), await find(made, 's2')];
  assert.equal(one.ticket?.credentials, 'injected');
  assert.equal(two.ticket?.credentials, 'none');
  assert.equal(JSON.stringify(one.ticket).includes(credentials.username), false);
  assert.deepEqual(await made.pipeline.targetCredentials({ connectionId: one.connectionId }), { credentials });
  assert.deepEqual(await made.pipeline.targetCredentials({ connectionId: two.connectionId }), { credentials: null });
  assert.deepEqual(await made.pipeline.targetCredentials({ connectionId: 'nobody' }), { credentials: null });
  // The session has them no more, from the moment on that it has the connection.
  const joined = await begin(made, 's1');
  assert.deepEqual(await made.pipeline.targetCredentials({ connectionId: joined }), { credentials: null });
  const { session } = await made.storage.getSession({ sessionId: 's1' });
  assert.equal(session?.credentials, 'injected');
  assert.equal(JSON.stringify(session).includes(credentials.username), false);
});

bothWays('who guesses a name does not get in as somebody else', async (made) => {
  await create(made, 's1', given());
  await made.pipeline.start({ sessionId: 's1' });
  const admission = await made.connect({ kind: 'cookie', name: 's1' });
  assert.equal(!admission.admitted && admission.code, 'unknown_session');
});

bothWays('an id that is taken keeps its own', async (made) => {
  await create(made, 's1', given());
  const other = { ...given(), credentials: { ...credentials, password: 'another' } } as NewTargetCredentials;
  const again = { session: sampleSession('s1'), routeTokenSha256: null, targetCredentials: other };
  assert.deepEqual(await made.pipeline.create(again), { created: false });
  assert.deepEqual(await ask(made, 's1'), { credentials });
});

bothWays('they are for the target they were given for', async (made) => {
  await create(made, 's1', given());
  const { session } = await made.storage.getSession({ sessionId: 's1' });
  const moved = { ...session!, rdp_config: { ...session!.rdp_config, host: 'elsewhere' }, version: 2 };
  await made.storage.replaceSession({ session: moved, expectedVersion: 1 });
  assert.deepEqual(await ask(made, 's1'), { credentials: null });
  await made.pipeline.start({ sessionId: 's1', targetCredentials: given() });
  assert.deepEqual(await ask(made, 's1'), { credentials });
});

bothWays('they serve reconnections and are gone with the session', async (made) => {
  await create(made, 's1', given());
  await begin(made, 's1');
  await made.pipeline.report({
    ...{ kind: 'lost', sessionId: 's1', atUs: made.clock.us, untilUs: made.clock.us + 1e6, message: 'broken' },
  });
  const { connectionId, ticket } = await find(made, 's1');
  assert.equal(ticket?.reconnects, true);
  assert.deepEqual(await made.pipeline.targetCredentials({ connectionId }), { credentials });
  await end(made, 's1');
  assert.deepEqual(await sealed(made), []);
});

bothWays('what is for one connection is gone when that is recorded, and nothing comes back to it', async (made) => {
  await create(made, 's1', given('once'));
  // A client that looks at the certificate and leaves has used nothing up.
  for (let look = 0; look < 2; look++) assert.deepEqual(await ask(made, 's1'), { credentials });
  assert.equal((await find(made, 's1')).ticket?.reconnectSeconds, 0);
  await begin(made, 's1');
  assert.deepEqual(await sealed(made), []);
});

bothWays('one that never began keeps them, and waits with them', async (made) => {
  await create(made, 's1', given());
  const { connectionId } = await find(made, 's1');
  await made.pipeline.admit({ connectionId });
  await made.pipeline.attempted({
    ...{ connectionId, sessionId: 's1', atUs: made.clock.us, clientAddress: 'a', clientName: null },
    ...{ outcome: 'client_left', reason: 'client_disconnected', message: 'gone', count: 1 },
  });
  assert.deepEqual(await ask(made, 's1'), { credentials });
});

bothWays('stopped or deleted before anybody came: forgotten, and asked for again', async (made) => {
  await create(made, 's1', given());
  await create(made, 's2', given());
  await made.pipeline.start({ sessionId: 's1' });
  await made.pipeline.stop({ sessionId: 's1', reason: '' });
  await made.pipeline.remove({ sessionId: 's2' });
  assert.deepEqual(await sealed(made), []);
  await assert.rejects(made.pipeline.start({ sessionId: 's1' }), { code: 'LUCID_ERR_3004' });
  await made.pipeline.start({ sessionId: 's1', targetCredentials: given() });
  assert.deepEqual(await ask(made, 's1'), { credentials });
});

bothWays('no running session takes others', async (made) => {
  await create(made, 's1', given());
  await begin(made, 's1');
  await assert.rejects(made.pipeline.start({ sessionId: 's1', targetCredentials: given('once') }), {
    code: 'LUCID_ERR_3004',
  });
  assert.deepEqual(await sealed(made), ['s1 target']);
});

bothWays(
  'those nobody came for are forgotten, and those whose session is not there',
  async (made) => {
    await create(made, 's1', given());
    await create(made, 's2', given());
    await begin(made, 's2');
    const { journal } = made.deps();
    await journal.putSealed('s3', 'target', Uint8Array.of(1));
    await journal.putSealed('s3', 'gateway', Uint8Array.of(1));
    await journal.dispose();
    made.clock.us += 3 * hourUs;
    await made.restart({ credentialsHours: 2, reconcileMs: 3_600_000 });
    assert.deepEqual(await sealed(made), ['s2 target', 's3 gateway']);
    await assert.rejects(made.pipeline.start({ sessionId: 's1' }), /forgotten/);
  },
  { credentialsHours: 2 },
);

test('a key that is gone opens nothing', async () => {
  const made = await world();
  await create(made, 's1', given());
  made.lender.seal = new LocalSeal({ keyId: 'other', bytes: new Uint8Array(32).fill(8) });
  await made.restart();
  assert.deepEqual(await sealed(made), []);
  assert.deepEqual(await ask(made, 's1'), { credentials: null });
  await made.dispose();
});

/** A provider that does as the test says, and its loans. */
function lender(): CredentialProvider & { calls: string[]; away: boolean; seconds: number } {
  let loans = 0;
  const made = {
    calls: [] as string[],
    away: false,
    seconds: 3600,
    say(what: string): void {
      if (made.away) throw new LucidError('unavailable', 'Vault can not be reached');
      made.calls.push(what);
    },
    allows: ({ path }: { path: string }) => path !== 'closed',
    async read({ mount, path }: { mount: string; path: string }, host: string) {
      made.say(`read ${mount}/${path} for ${host}`);
      loans += 1;
      const lease = { id: `lease-${loans}`, seconds: made.seconds, renewable: true };
      return { credentials: { ...credentials, username: `v-${loans}` }, lease };
    },
    async renew(id: string) {
      made.say(`renew ${id}`);
      return { id, seconds: made.seconds, renewable: true };
    },
    async revoke(id: string) {
      made.say(`revoke ${id}`);
    },
  };
  return made;
}

test('what is lent to a session is renewed while it runs and taken back at its end, over restarts and outages', async () => {
  const made = await world();
  const provider = lender();
  await assert.rejects(create(made, 's1', vault), { code: 'LUCID_ERR_3002' });
  made.lender.credentialProvider = provider;
  await made.restart();
  const closed = { ...vault, reference: { ...vault.reference, path: 'closed' } };
  await assert.rejects(create(made, 's1', closed), /not open to sessions with this target/);
  await create(made, 's1', vault);
  assert.deepEqual(await ask(made, 's1'), { credentials: { ...credentials, username: 'v-1' } });
  await begin(made, 's1');
  await made.restart();
  assert.deepEqual(await ask(made, 's1'), { credentials: { ...credentials, username: 'v-1' } });
  made.clock.us += 0.6 * hourUs;
  await made.restart();
  await made.restart();
  assert.deepEqual(provider.calls, ['read database/rdp for desk.example', 'renew lease-1']);
  provider.away = true;
  await end(made, 's1');
  await made.restart();
  assert.deepEqual(await sealed(made), ['s1 target-lease']);
  assert.match(made.failures.at(-1) ?? '', /Vault can not be reached/);
  provider.away = false;
  await made.restart();
  assert.equal(provider.calls.at(-1), 'revoke lease-1');
  assert.deepEqual(await sealed(made), []);
  await made.dispose();
});

test('a loan that lapses or can not be renewed is none of the session’s', async () => {
  const made = await world();
  const provider = lender();
  made.lender.credentialProvider = provider;
  await made.restart();
  await create(made, 's1', vault);
  await ask(made, 's1');
  // Nobody came: it lapses, and the next one is another.
  made.clock.us += 2 * hourUs;
  await made.restart();
  assert.deepEqual(await ask(made, 's1'), { credentials: { ...credentials, username: 'v-2' } });
  await begin(made, 's1');
  provider.renew = async () => {
    throw new LucidError('invalidRequest', 'it is not renewable');
  };
  made.clock.us += 0.7 * hourUs;
  await made.restart();
  assert.deepEqual(await sealed(made), ['s1 target', 's1 target-lease']);
  provider.away = true;
  await assert.rejects(async () => {
    made.clock.us += hourUs;
    await ask(made, 's1');
  }, /Vault can not be reached/);
  await made.dispose();
});

test('new credentials take an old loan back, before the next one is made', async () => {
  const made = await world();
  const provider = lender();
  made.lender.credentialProvider = provider;
  await made.restart();
  await create(made, 's1', vault);
  await ask(made, 's1');
  await made.pipeline.start({ sessionId: 's1', targetCredentials: vault });
  assert.deepEqual(await ask(made, 's1'), { credentials: { ...credentials, username: 'v-2' } });
  assert.ok(provider.calls.indexOf('revoke lease-1') < provider.calls.length - 1);
  assert.equal(provider.calls.at(-1), 'read database/rdp for desk.example');
  await made.pipeline.start({ sessionId: 's1', targetCredentials: { source: 'client' } });
  await made.restart();
  assert.equal(provider.calls.at(-1), 'revoke lease-2');
  assert.deepEqual(await sealed(made), []);
  assert.equal((await find(made, 's1')).ticket?.credentials, 'client');
  await made.dispose();
});

test('nothing in clear on the disk, and nothing at all when they are forgotten', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lucid-credentials-'));
  const path = join(folder, 'journal.db');
  const made = await world();
  made.lender.journal = new SqliteJournalStore(path);
  await made.restart();
  await create(made, 's1', given());
  const stored = Buffer.from((await made.lender.journal.getSealed('s1', 'target'))!);
  const files = async (): Promise<Buffer> =>
    Buffer.concat(await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name)))));
  const before = await files();
  assert.ok(before.includes(stored.subarray(0, 64)));
  for (const encoding of ['utf8', 'utf16le'] as const)
    for (const secret of [credentials.password, credentials.username])
      assert.equal(before.includes(Buffer.from(secret, encoding)), false);
  await made.pipeline.remove({ sessionId: 's1' });
  assert.equal((await files()).includes(stored.subarray(0, 64)), false);
  await made.dispose();
  await rm(folder, { recursive: true });
});
