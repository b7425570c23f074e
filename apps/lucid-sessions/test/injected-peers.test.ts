/**
 * Real clients, whose users know no password of the target, through the whole gateway: it logs on with what it was given or gets from a
 * real OpenBao. Afterwards everything that was written is searched for every secret.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { rpcClient } from '@lucid-sessions/contract';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import type { ClientInfo } from '@lucid-sessions/rdp';
import {
  eventually,
  FakeBroker,
  OpenBao,
  type PeerClient,
  type PeerServer,
  peersMissing,
  skipUnlessPeers,
  startShadow3,
  startShadowNla,
  startXfreerdp,
  startXfreerdp3,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { armSession, type Gateway, readRecording, sessionIn, startGateway, verifySession } from './support/gateway.ts';

/** What the session's user types: good for nothing. */
const typed = 'what-the-user-typed';
const shadowAccount = { userName: 'svc-shadow', password: 'K3pt-in-Vault-Pässwörd' };

let bao: OpenBao | null = null;
const broker = new FakeBroker();
const folder = mkdtempSync(join(tmpdir(), 'lucid-injected-'));
before(async () => {
  if (peersMissing('openbao').length > 0) return;
  bao = await OpenBao.start();
  const { userName: username, password } = shadowAccount;
  await bao.ask('POST', 'secret/data/rdp/127.0.0.1', { data: { username, password } });
  await bao.ask('POST', 'sys/mounts/rabbitmq', { type: 'rabbitmq' });
  const connection = { connection_uri: await broker.start(), username: 'a', password: 'b', verify_connection: false };
  await bao.ask('POST', 'rabbitmq/config/connection', connection);
  await bao.ask('POST', 'rabbitmq/roles/rdp', { vhosts: '{"/":{"configure":".*","write":".*","read":".*"}}' });
  writeFileSync(join(folder, 'token'), bao.rootToken, { mode: 0o600 });
});
after(async () => {
  await bao?.stop();
  await broker.stop();
  rmSync(folder, { recursive: true });
});

const start = (t: TestContext): Promise<Gateway> =>
  startGateway(t, {
    // Clients are ended by a signal and say no goodbye.
    LUCID_RECONNECT_SECONDS: '0',
    LUCID_RECONCILE_MS: '500',
    ...(bao === null
      ? {}
      : {
          LUCID_CREDENTIALS_VAULT_URL: bao.address,
          LUCID_CREDENTIALS_VAULT_TOKEN_FILE: join(folder, 'token'),
          LUCID_CREDENTIALS_VAULT_PATHS: 'secret/rdp/{host},rabbitmq/rdp',
        }),
  });

const xfreerdp = (gateway: Gateway, routingToken: string, ...flags: string[]): Promise<PeerClient> =>
  startXfreerdp(
    `127.0.0.1:${gateway.rdpPort}`,
    ...['/sec:tls', '/u:mallory', `/p:${typed}`, '-decorations', ...flags],
    `/load-balance-info:Cookie: msts=${routingToken}`,
  );

async function typeUntilThere(client: PeerClient, server: PeerServer, text: string): Promise<void> {
  await eventually(`"${text}" typed on the server`, async () => {
    await client.click(200, 200);
    await client.type(text);
    return server.typedLines().some((line) => line.includes(text));
  });
}

/** In everything written and told, and in every frame with every key. */
async function assertNowhere(gateway: Gateway, id: string, secrets: readonly string[]): Promise<void> {
  const root = gateway.lucid.directory.root;
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const session = await gateway.api.json<SessionAnswer>('GET', `/sessions/${id}`);
  const { events } = await gateway.api.json<{ events: unknown[] }>('GET', '/audit?limit=100');
  const all: [string, Buffer][] = [
    ...files.map(({ parentPath, name }): [string, Buffer] => [name, readFileSync(join(parentPath, name))]),
    ['log', Buffer.from(gateway.logged.join('\n'))],
    ['answers', Buffer.from(JSON.stringify([session, events]))],
    ['frames', Buffer.concat((await readRecording(gateway, id)).map(({ body }) => Buffer.from(body)))],
  ];
  for (const secret of secrets)
    for (const encoding of ['utf8', 'utf16le'] as const)
      for (const [where, bytes] of all)
        assert.equal(bytes.includes(Buffer.from(secret, encoding)), false, `${secret} (${encoding}) is in ${where}`);
}

async function assertRecorded(gateway: Gateway, id: string, source: string): Promise<void> {
  const session = await sessionIn(gateway, id, 'completed');
  assert.deepEqual([session.credentials, session.client_user], [source, 'mallory']);
  const report = await verifySession(gateway, id);
  assert.deepEqual(report.findings, []);
  assert.equal(report.verdicts.completeness, 'whole');
}

test('xfreerdp to xrdp: the desktop appears, though its user typed something else', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp', 'xrdp')) return;
  const server = await startXrdp();
  t.after(() => server.stop());
  const gateway = await start(t);
  const { userName: username, password } = xrdpUser;
  const { id, routingToken } = await armSession(gateway, server.port, { target_credentials: { username, password } });
  const client = await xfreerdp(gateway, routingToken);
  t.after(() => client.stop());
  await sessionIn(gateway, id, 'recording');
  await typeUntilThere(client, server, 'injected');
  await client.closeClient();
  await assertRecorded(gateway, id, 'injected');
  await assertNowhere(gateway, id, [password, typed]);
});

test('xfreerdp to FreeRDP 3’s shadow, which demands NLA, with a secret of OpenBao', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp', 'shadow3', 'openbao')) return;
  const server = await startShadow3(shadowAccount);
  t.after(() => server.stop());
  const gateway = await start(t);
  const target_credentials = { provider: 'vault', mount: 'secret', path: 'rdp/127.0.0.1' };
  const { id, routingToken } = await armSession(gateway, server.port, { target_credentials });
  const client = await xfreerdp(gateway, routingToken);
  t.after(() => client.stop());
  await sessionIn(gateway, id, 'recording');
  await typeUntilThere(client, server, 'vaulted');
  await client.closeClient();
  await assertRecorded(gateway, id, 'vault');
  await assertNowhere(gateway, id, [shadowAccount.password, typed, bao!.rootToken]);
});

/** As the session's page would show it, once. */
async function issuedCredential({ lucid }: Gateway, sessionId: string): Promise<{ user: string; secret: string }> {
  const token = readFileSync(lucid.directory.serviceSecret, 'utf8').trim();
  const pipeline = rpcClient('pipeline', lucid.addresses.pipeline ?? '', { token });
  return (await pipeline.issueCredential({ sessionId })).credential;
}

const bothSides = [
  { version: 2, client: startXfreerdp, server: startShadowNla, peers: ['xfreerdp', 'shadow'] },
  { version: 3, client: startXfreerdp3, server: startShadow3, peers: ['xfreerdp3', 'shadow3'] },
] as const;
for (const { version, client: startClient, server: startServer, peers } of bothSides)
  test(`NLA on both sides, FreeRDP ${version}: an issued credential here, an injected one there`, {
    timeout: 240_000,
  }, async (t) => {
    if (skipUnlessPeers(t, ...peers)) return;
    const server = await startServer(shadowAccount);
    t.after(() => server.stop());
    const gateway = await start(t);
    const { userName: username, password } = shadowAccount;
    const { id } = await armSession(gateway, server.port, { target_credentials: { username, password } });
    const { user, secret } = await issuedCredential(gateway, id);
    const logon = ['/sec:nla', `/u:${user}`, `/p:${secret}`, '-decorations'];
    const client = await startClient(`127.0.0.1:${gateway.rdpPort}`, ...logon);
    t.after(() => client.stop());
    await sessionIn(gateway, id, 'recording');
    await typeUntilThere(client, server, 'bothsides');
    await client.closeClient();
    const session = await sessionIn(gateway, id, 'completed');
    assert.equal(session.credentials, 'injected');
    assert.deepEqual((await verifySession(gateway, id)).findings, []);
    await assertNowhere(gateway, id, [password, secret]);
  });

test('credentials made by OpenBao for one session are taken back at its end', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'openbao')) return;
  const logons: ClientInfo[] = [];
  const desktop = await startDesktop({ onClientInfo: (info) => logons.push(info) });
  t.after(() => desktop.stop());
  const gateway = await start(t);
  const target_credentials = { provider: 'vault', engine: 'dynamic', mount: 'rabbitmq', path: 'rdp' };
  const { id, routingToken } = await armSession(gateway, desktop.port, { target_credentials });
  const client = await connectClient({
    ...{ port: gateway.rdpPort, routingToken, userName: 'mallory', password: typed },
  });
  await client.settled();
  const [logon] = logons;
  assert.ok(broker.users.has(logon!.userName));
  await client.close();
  await assertRecorded(gateway, id, 'vault');
  await eventually('the end of the lease', () => broker.users.size === 0);
  await assertNowhere(gateway, id, [logon!.password, typed, bao!.rootToken]);
});
