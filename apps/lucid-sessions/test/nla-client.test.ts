/**
 * Real clients that log on to the gateway by network level authentication with a credential it issued: FreeRDP 2 and 3, impacket, and fifty of
 * our own at once. No file of the gateway holds the secret or its NT hash.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { Protocol } from '@lucid-sessions/rdp';
import { ntHashOf } from '@lucid-sessions/rdp/auth';
import { decodeNote, frameKinds } from '@lucid-sessions/recording';
import {
  eventually,
  type PeerClient,
  skipUnlessPeers,
  startShadow,
  startXfreerdp,
  startXfreerdp3,
  startXrdp,
  temporaryDirectory,
} from '@lucid-sessions/testkit';
import { armSession, type Gateway, readRecording, sessionIn, startGateway, verifySession } from './support/gateway.ts';

interface Credential {
  id: string;
  username: string;
  password: string;
}

async function issue(gateway: Gateway, id: string): Promise<Credential> {
  const issued = await gateway.api.json<Credential>('POST', `/sessions/${id}/credential`);
  return { id, username: issued.username, password: issued.password };
}

const issuedFor = async (gateway: Gateway, port: number): Promise<Credential> =>
  issue(gateway, (await armSession(gateway, port)).id);

const flagsOf = ({ username }: Credential, password: string): string[] => [
  '/sec:nla',
  `/u:${username}`,
  `/p:${password}`,
  '/size:800x600',
];

/** What FreeRDP says of a refusal. */
async function refusedWith(
  t: TestContext,
  gateway: Gateway,
  credential: Credential,
  password: string,
): Promise<string> {
  const client = await startXfreerdp(`127.0.0.1:${gateway.rdpPort}`, ...flagsOf(credential, password));
  t.after(() => client.stop());
  return eventually('a refusal', () => /ERRCONNECT_\w+/.exec(client.log('client'))?.[0]);
}

async function workIn(t: TestContext, client: PeerClient, gateway: Gateway, id: string): Promise<void> {
  t.after(() => client.stop());
  await sessionIn(gateway, id, 'recording');
  await eventually('a desktop', async () => {
    const { statistics } = await gateway.api.json<{ statistics: { frame_count: number } }>('GET', `/sessions/${id}`);
    return statistics.frame_count > 20;
  });
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');
  assert.equal((await verifySession(gateway, id)).clean, true);
}

/** impacket knows one port only; Debian's is of Debian's Python. */
const onPort = (port: number): string => `
import runpy, socket, sys
connect = socket.socket.connect
socket.socket.connect = lambda self, address: connect(self, (address[0], ${port}))
sys.argv = ['rdp_check.py', sys.argv[1]]
runpy.run_path('/usr/share/doc/python3-impacket/examples/rdp_check.py', run_name='__main__')
`;

const rdpCheck = (port: number, username: string, password: string): Promise<string> =>
  new Promise((resolve) => {
    const args = ['-c', onPort(port), `${username}:${password}@127.0.0.1`];
    execFile('/usr/bin/python3', args, { timeout: 30_000 }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });

test('clients log on with credentials of the gateway, and are recorded', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp', 'xfreerdp3', 'impacket')) return;
  const dataDir = temporaryDirectory('nla-client');
  const shadow = await startShadow();
  t.after(() => shadow.stop());
  // impacket speaks version 2; the others choose the highest by themselves.
  const environment = { LUCID_DATA_DIR: dataDir, LUCID_RECONNECT_SECONDS: '0', RDP_NLA_MIN_VERSION: '2' };
  const gateway = await startGateway(t, environment);
  const address = `127.0.0.1:${gateway.rdpPort}`;
  const credentials: Credential[] = [];

  const first = await issuedFor(gateway, shadow.port);
  credentials.push(first);
  const two = await startXfreerdp(address, ...flagsOf(first, first.password));
  t.after(() => two.stop());
  await eventually('the typed line', async () => {
    await two.click(200, 200);
    await two.type('logged on by nla');
    return shadow.typedLines().some((line) => line.includes('logged on by nla'));
  });
  await two.closeClient();
  await sessionIn(gateway, first.id, 'completed');
  assert.equal((await verifySession(gateway, first.id)).clean, true);
  const frames = await readRecording(gateway, first.id);
  const notes = frames.filter(({ kind }) => kind === frameKinds.note).map(({ body }) => decodeNote(body));
  assert.ok(notes.some((note) => note.type === 'client_logon' && note.user === first.username && note.version === 6));
  assert.match(await refusedWith(t, gateway, first, first.password), /LOGON_FAILURE/, 'its session is over');

  const third = await issuedFor(gateway, shadow.port);
  credentials.push(third);
  assert.match(await refusedWith(t, gateway, third, 'guess'), /LOGON_FAILURE/);
  assert.match(await rdpCheck(gateway.rdpPort, third.username, third.password), /Access Granted/);
  // Version 2 has no error codes: a refusal is a connection that is closed.
  for (const guess of ['one', 'two'])
    assert.match(await rdpCheck(gateway.rdpPort, third.username, guess), /Unexpected EOF|Access Denied/);
  // Burnt, it answers as a name that nobody has: who guesses is told nothing.
  assert.match(await refusedWith(t, gateway, third, third.password), /LOGON_FAILURE/, 'three wrong tries');
  const fresh = await issue(gateway, third.id);
  credentials.push(fresh);
  await workIn(t, await startXfreerdp3(address, ...flagsOf(fresh, fresh.password)), gateway, fresh.id);

  await gateway.lucid.dispose();
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(files.length > 10);
  const opened = Buffer.concat(frames.map(({ body }) => Buffer.from(body)));
  const logged = Buffer.from(gateway.logged.join('\n'));
  for (const { password } of credentials)
    for (const form of [Buffer.from(password), Buffer.from(password, 'utf16le'), Buffer.from(ntHashOf(password))])
      for (const bytes of [
        opened,
        logged,
        ...files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))),
      ])
        assert.equal(bytes.includes(form), false, `a form of ${password} is kept`);
});

test('a client that logs on works on a host without NLA (xfreerdp 3 to xrdp)', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xrdp', 'xfreerdp3')) return;
  const xrdp = await startXrdp();
  t.after(() => xrdp.stop());
  const gateway = await startGateway(t, { LUCID_RECONNECT_SECONDS: '0' });
  const credential = await issuedFor(gateway, xrdp.port);
  const client = await startXfreerdp3(`127.0.0.1:${gateway.rdpPort}`, ...flagsOf(credential, credential.password));
  await workIn(t, client, gateway, credential.id);
});

test('fifty log on at once, each into its own session', { timeout: 120_000 }, async (t) => {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t, { LUCID_RATE_LIMIT_UPDATE: '1000', LUCID_RECONNECT_SECONDS: '0' });
  const credentials = await Promise.all(Array.from({ length: 50 }, () => issuedFor(gateway, desktop.port)));
  const clients = await Promise.all(
    credentials.map(({ username, password }) =>
      connectClient({
        port: gateway.rdpPort,
        requestedProtocols: Protocol.ssl | Protocol.hybrid,
        logon: { username, password },
        size: { width: 640, height: 480 },
        timeoutMs: 60_000,
      }),
    ),
  );
  await Promise.all(clients.map((client) => client.close()));
  for (const { id } of credentials) await sessionIn(gateway, id, 'completed');
});
