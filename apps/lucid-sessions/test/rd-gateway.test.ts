/**
 * Sessions through port 443 only: clients of an RD Gateway come in on the API's TLS port by their .rdp file, and are recorded like
 * all others. FreeRDP 2 and 3 over WebSockets and without, and the same with five processes.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { GatewayError } from '@lucid-sessions/rdp';
import {
  connectClient,
  eventually,
  GatewayClient,
  makeCertificate,
  type PeerClient,
  skipUnlessPeers,
  startDesktop,
  startShadow,
  startTunnel,
  startXfreerdp,
  startXfreerdp3,
  startXrdp,
  type TunnelForm,
  xrdpUser,
} from '@lucid-sessions/testkit';

import type { SessionAnswer } from '../src/commands/sessions.ts';
import { startFive } from './support/five.ts';
import { type Gateway, readRecording, sessionIn, startGateway, verifySession } from './support/gateway.ts';
import { RawClient } from './support/raw-client.ts';

type Api = Pick<Gateway, 'api'>;

let certificate: { cert: string; key: string };
const directory = mkdtempSync(join(tmpdir(), 'lucid-rdg-'));
const [certPath, keyPath] = [join(directory, 'api.crt'), join(directory, 'api.key')];
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

before(async () => {
  certificate = await makeCertificate();
  writeFileSync(certPath, certificate.cert);
  writeFileSync(keyPath, certificate.key);
  setDefaultCACertificates([...getCACertificates(), certificate.cert]);
});

const tlsEnvironment = (): Record<string, string> => ({
  LUCID_API_TLS_CERT: certPath,
  LUCID_API_TLS_KEY: keyPath,
  // The port is the system's choice: the files of these tests get it afterwards.
  RDP_GATEWAY: 'localhost',
  LUCID_RECONNECT_SECONDS: '0',
});

interface Secured extends Api {
  /** Of the API. */
  port: number;
  dataDir: string;
  logged: string[];
}

/** The whole product whose API speaks TLS; its certificate is for `localhost`. */
async function secured(t: TestContext, more: Record<string, string> = {}): Promise<Secured> {
  const gateway = await startGateway(t, { ...tlsEnvironment(), ...more });
  const port = Number(new URL(gateway.lucid.addresses.api ?? '').port);
  const dataDir = gateway.lucid.directory.root;
  const token = readFileSync(gateway.lucid.directory.adminToken, 'utf8').trim();
  return { api: new RawClient({ url: `https://localhost:${port}`, token }), port, dataDir, logged: gateway.logged };
}

/** A session for `port`, and the .rdp file that leads to it through the gateway at the API's port. */
async function armed({ api, port }: Secured, target: number): Promise<{ id: string; token: string; file: string }> {
  const session = await api.json<SessionAnswer>('POST', '/sessions', {
    name: `port ${target}`,
    rdp_config: { host: '127.0.0.1', port: target, ignore_cert: true },
  });
  const id = session.session_id;
  await api.json('POST', `/sessions/${id}/start`, {});
  const answer = await api.send('GET', `/sessions/${id}/rdp-file?via=gateway`);
  const text = (await answer.text()).replace('gatewayhostname:s:localhost:443', `gatewayhostname:s:localhost:${port}`);
  const file = join(directory, `${id}.rdp`);
  writeFileSync(file, text);
  return { id, token: /^gatewayaccesstoken:s:(\S+)/m.exec(text)?.[1] ?? '', file };
}

function filesUnder(path: string): string[] {
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .map((name) => join(path, name))
    .filter((name) => statSync(name).isFile());
}

/** Nothing anybody wrote holds the token, in clear or as Windows writes text. */
function assertNowhere(secret: string, { dataDir, logged }: Secured): void {
  for (const encoding of ['utf8', 'utf16le'] as const)
    for (const file of filesUnder(dataDir))
      assert.ok(!readFileSync(file).includes(Buffer.from(secret, encoding)), `${file} holds it`);
  assert.ok(!logged.join('\n').includes(secret));
}

async function assertRecorded(gateway: Secured, id: string, token: string): Promise<void> {
  await sessionIn(gateway, id, 'completed');
  const { clean, verdicts } = await verifySession(gateway, id);
  assert.equal(clean, true, JSON.stringify(verdicts));
  assert.ok((await readRecording(gateway, id)).length > 20);
  assertNowhere(token, gateway);
}

describe('real clients', () => {
  const cases: { name: string; start: typeof startXfreerdp; peers: 'xfreerdp' | 'xfreerdp3'; flags: string[] }[] = [
    { name: 'FreeRDP 2, WebSocket', start: startXfreerdp, peers: 'xfreerdp', flags: ['/gt:http'] },
    { name: 'FreeRDP 2, two connections', start: startXfreerdp, peers: 'xfreerdp', flags: ['/gt:http,no-websockets'] },
    { name: 'FreeRDP 3, WebSocket', start: startXfreerdp3, peers: 'xfreerdp3', flags: ['/gateway:type:http'] },
    {
      name: 'FreeRDP 3, two connections',
      start: startXfreerdp3,
      peers: 'xfreerdp3',
      flags: ['/gateway:type:http,no-websockets'],
    },
  ];

  /** Types until it is there: the desktop's terminal has to have the focus. */
  async function typeInto(client: PeerClient, lines: () => string[], text: string): Promise<void> {
    await eventually(
      `"${text}" on the desktop`,
      async () => {
        await client.click(200, 200);
        await client.type(text);
        return lines().some((line) => line.includes(text));
      },
      40_000,
    );
  }

  test('work on a desktop by their .rdp file; the RDP listener is not reached', async (t) => {
    if (skipUnlessPeers(t, 'shadow', 'xfreerdp', 'xfreerdp3')) return;
    const gateway = await secured(t);
    const shadow = await startShadow();
    t.after(() => shadow.stop());
    for (const { name, start, flags } of cases) {
      const { id, token, file } = await armed(gateway, shadow.port);
      const client = await start(file, '/u:ada', '/p:none', ...flags);
      t.after(() => client.stop());
      await sessionIn(gateway, id, 'recording').catch((error: Error) => {
        throw new Error(`${name}: ${error.message} ${client.log('client').slice(-2000)}`);
      });
      await typeInto(client, () => shadow.typedLines(), `by ${name}`);
      await client.closeClient();
      await assertRecorded(gateway, id, token);
    }
    // Nobody came in anywhere else.
    assert.ok(!gateway.logged.some((line) => /refused|left:/.test(line)), gateway.logged.join('\n'));
  });

  test('log on to the gateway inside the tunnel where it demands that (RDP_NLA=required)', async (t) => {
    if (skipUnlessPeers(t, 'shadow', 'xfreerdp', 'xfreerdp3')) return;
    const gateway = await secured(t, { RDP_NLA: 'required' });
    const shadow = await startShadow();
    t.after(() => shadow.stop());
    for (const { name, start, flags } of cases.filter(({ name }) => name.endsWith('WebSocket'))) {
      const { id, token, file } = await armed(gateway, shadow.port);
      const { username, password } = await gateway.api.json<{ username: string; password: string }>(
        'POST',
        `/sessions/${id}/credential`,
      );
      const client = await start(file, `/u:${username}`, `/p:${password}`, '/sec:nla', ...flags);
      t.after(() => client.stop());
      await sessionIn(gateway, id, 'recording').catch((error: Error) => {
        throw new Error(`${name}: ${error.message} ${client.log('client').slice(-2000)}`);
      });
      await typeInto(client, () => shadow.typedLines(), `logged on by ${name}`);
      await client.closeClient();
      await assertRecorded(gateway, id, token);
      assertNowhere(password, gateway);
    }
  });

  test('reach xrdp, with its password typed into the client', async (t) => {
    if (skipUnlessPeers(t, 'xrdp', 'xfreerdp3')) return;
    const gateway = await secured(t);
    const xrdp = await startXrdp();
    t.after(() => xrdp.stop());
    const { id, token, file } = await armed(gateway, xrdp.port);
    const client = await startXfreerdp3(file, '/d:Xorg', `/u:${xrdpUser.userName}`, `/p:${xrdpUser.password}`);
    t.after(() => client.stop());
    await sessionIn(gateway, id, 'recording');
    await typeInto(client, () => xrdp.typedLines(), 'hello xrdp');
    await client.closeClient();
    await assertRecorded(gateway, id, token);
    assertNowhere(xrdpUser.password, gateway);
  });
});

for (const form of ['webSocket', 'twoConnections'] as const satisfies readonly TunnelForm[])
  test(`a token opens its session, its host and nothing else (${form})`, async (t) => {
    const gateway = await secured(t);
    const desktop = await startDesktop({ now: () => new Date(0) });
    t.after(() => desktop.stop());
    const { id, token } = await armed(gateway, desktop.port);
    const way = {
      url: `https://localhost:${gateway.port}`,
      form,
      cookie: token,
      host: '127.0.0.1',
      port: desktop.port,
    };
    assert.equal(await new GatewayClient(way).open({ ...way, cookie: 'of nobody' }), GatewayError.cookieAccessDenied);
    assert.equal(await new GatewayClient(way).open({ ...way, port: 22 }), GatewayError.resourceAccessDenied);
    const tunnel = await startTunnel(way);
    t.after(() => tunnel.stop());
    const client = await connectClient({ port: tunnel.port, userName: 'ada', screenshots: true });
    await client.type('in\n', 5);
    while (desktop.typedLines().length === 0) await client.nextUpdates(1, 100);
    // A second one while the first is at work is refused inside, in words.
    await assert.rejects(async () => {
      const { errorText } = await (await connectClient({ port: tunnel.port, userName: 'ada' })).ended;
      throw new Error(errorText);
    });
    await client.settled();
    await client.close();
    await assertRecorded(gateway, id, token);
    await assert.rejects(async () => {
      const { errorText } = await (await connectClient({ port: tunnel.port, userName: 'ada' })).ended;
      throw new Error(errorText);
    });
    assert.deepEqual(desktop.users(), ['ada']);
  });

test('five processes: the API’s passes a client on to the recorder’s', async (t) => {
  const five = await startFive(t, tlsEnvironment());
  const port = Number(five.environment.SESSION_API_PORT);
  const token = readFileSync(join(five.dataDir, 'secrets', 'admin-token'), 'utf8').trim();
  const gateway = {
    api: new RawClient({ url: `https://localhost:${port}`, token }),
    port,
    dataDir: five.dataDir,
    logged: [],
  };
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  for (const form of ['webSocket', 'twoConnections'] as const) {
    const { id, token: cookie } = await armed(gateway, desktop.port);
    const tunnel = await startTunnel({
      url: `https://localhost:${port}`,
      form,
      cookie,
      host: '127.0.0.1',
      port: desktop.port,
    });
    t.after(() => tunnel.stop());
    const client = await connectClient({ port: tunnel.port, userName: 'ada', screenshots: true });
    await client.type(`${form}\n`, 5);
    while (!desktop.typedLines().includes(form)) await client.nextUpdates(1, 100);
    await client.settled();
    await client.close();
    await assertRecorded(gateway, id, cookie);
  }
});

test('everything on IPv6: services, API, listener, gateway, target and .rdp files', async (t) => {
  const gateway = await startGateway(t, {
    LUCID_BIND_HOST: '::1',
    LUCID_API_HOST: '::1',
    RDP_LISTEN_HOST: '::1',
    LUCID_PUBLIC_RDP_HOST: '::1',
    RDP_GATEWAY: '[::1]:8443',
    LUCID_RECONNECT_SECONDS: '0',
  });
  const { api, recorder = '' } = gateway.lucid.addresses;
  assert.match(`${api} ${recorder}`, /^http:\/\/\[::1\]:\d+ http:\/\/\[::1\]:\d+$/);
  const desktop = await startDesktop({ host: '::1', now: () => new Date(0) });
  t.after(() => desktop.stop());
  for (const via of ['listener', 'gateway'] as const) {
    const session = await gateway.api.json<SessionAnswer>('POST', '/sessions', {
      name: via,
      rdp_config: { host: '[::1]', port: desktop.port, ignore_cert: true },
    });
    const id = session.session_id;
    await gateway.api.json('POST', `/sessions/${id}/start`, {});
    const file = await (await gateway.api.send('GET', `/sessions/${id}/rdp-file?via=${via}`)).text();
    const token = /(?:msts=|gatewayaccesstoken:s:)(\S+)/.exec(file)?.[1] ?? '';
    const address = via === 'listener' ? `[::1]:${gateway.rdpPort}` : `[::1]:${desktop.port}`;
    assert.ok(file.includes(`full address:s:${address}\r\n`), file);
    if (via === 'gateway') assert.ok(file.includes('gatewayhostname:s:[::1]:8443\r\n'));
    const tunnel = { url: api ?? '', form: 'twoConnections' as const, cookie: token, host: '::1', port: desktop.port };
    const lent = via === 'gateway' ? await startTunnel(tunnel) : null;
    t.after(() => lent?.stop());
    const way = lent === null ? { host: '::1', port: gateway.rdpPort, routingToken: token } : { port: lent.port };
    const client = await connectClient({ ...way, userName: 'ada', screenshots: true });
    await client.type(`${via}\n`, 5);
    while (!desktop.typedLines().includes(via)) await client.nextUpdates(1, 100);
    await client.settled();
    await client.close();
    await sessionIn(gateway, id, 'completed');
    assert.equal((await verifySession(gateway, id)).clean, true);
  }
});
