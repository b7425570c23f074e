/** Targets that send their client on: the gateway follows, and the client stays connected and recorded. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { parseTargetRule, type SessionTicket } from '@lucid-sessions/contract';
import { connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { RedirectionFlag, type ServerRedirection, x224ConnectionRequest } from '@lucid-sessions/rdp';
import { frameFlags } from '@lucid-sessions/recording';
import { eventually, skipUnlessPeers, startShadow, startXfreerdp, startXfreerdp3 } from '@lucid-sessions/testkit';
import { attempt, decode } from '@lucid-sessions/wire';
import { assertNowhere, assertReplayable, type Broker, broker, utf16 } from './broker-kit.ts';
import { type Gateway, type GatewayOptions, startGateway, ticketFor } from './gateway-kit.ts';

const cookiePassword = 'Br0ker-Cookie';

interface Sent {
  gateway: Gateway;
  broker: Broker;
  desktop: Desktop;
}

/** A session whose target is a broker; the name it gives leads to the desktop's own port on another address. */
async function sent(
  t: TestContext,
  fields: ServerRedirection['fields'],
  more: {
    flags?: number;
    licenses?: boolean;
    ticket?: Partial<SessionTicket>;
    config?: GatewayOptions['config'];
    resolve?: (name: string) => string;
  } = {},
): Promise<Sent> {
  const flags = Object.keys(fields).reduce((sum, name) => sum | flagOf[name as keyof typeof flagOf]!, more.flags ?? 0);
  const first = await broker(t, { redirFlags: flags, fields }, more);
  // The same port on another address: a redirection names none.
  const desktop = await startDesktop({ host: '127.0.0.2', port: first.port, now: () => new Date(0) });
  t.after(() => desktop.stop());
  const ticket = ticketFor(first.port, more.ticket);
  ticket.target = { ...ticket.target, port: first.port };
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket }),
    ...(more.config === undefined ? {} : { config: more.config }),
    deps: {
      resolve: async (name) => [more.resolve?.(name) ?? (name === 'farm-7.example' ? '127.0.0.2' : name)],
    },
  });
  return { gateway, broker: first, desktop };
}

const flagOf = {
  targetFqdn: RedirectionFlag.targetFqdn,
  targetNetAddress: RedirectionFlag.targetNetAddress,
  loadBalanceInfo: RedirectionFlag.loadBalanceInfo,
  userName: RedirectionFlag.username,
  domain: RedirectionFlag.domain,
  password: RedirectionFlag.password,
} as const satisfies Record<string, number>;

async function work({ gateway, desktop }: Sent, port = gateway.port): Promise<void> {
  const client = await connectClient({
    port,
    cookie: 'alice',
    userName: 'alice',
    password: 'own-Passw0rd',
    screenshots: true,
  });
  await client.type('followed\n', 5);
  while (desktop.typedLines().length === 0) await client.nextUpdates(1, 100);
  await client.settled();
  await client.close();
  await gateway.reported('drained');
}

for (const [how, fields, credentials] of [
  ['by name', { targetFqdn: utf16('farm-7.example') }, 'none'],
  ['by address', { targetNetAddress: utf16('127.0.0.2') }, 'none'],
  [
    'by a name that leads nowhere, and an address',
    { targetFqdn: utf16('nowhere.example'), targetNetAddress: utf16('127.0.0.2') },
    'none',
  ],
  ['from a target that was to know the client’s own credentials', { targetFqdn: utf16('farm-7.example') }, 'client'],
] as const)
  test(`sent on ${how}: the client works there, over the connection it has`, async (t) => {
    const scene = await sent(t, fields, { ticket: { credentials } });
    await work(scene);
    const { gateway, desktop, broker: first } = scene;
    assert.deepEqual(desktop.users(), ['alice']);
    assert.equal(first.asked.length, 1);
    const connected = gateway.notes().filter((note) => note.type === 'connected');
    assert.deepEqual(
      connected.map(({ targetAddress }) => targetAddress),
      [`127.0.0.1:${first.port}`, `127.0.0.2:${first.port}`],
    );
    assert.ok(gateway.notes().some((note) => note.type === 'downgrade' && /the gateway followed/.test(note.what)));
    assert.equal((await gateway.reported('ended')).reason, 'client_disconnected');
    await assertReplayable(gateway);
    assertNowhere(gateway, 'own-Passw0rd');
  });

test('a broker’s logon goes to the next target alone, and stands in no frame, report or line', async (t) => {
  const scene = await sent(t, {
    targetNetAddress: utf16('127.0.0.2'),
    userName: utf16('brokered'),
    domain: utf16('FARM'),
    password: utf16(cookiePassword),
  });
  await work(scene);
  assert.deepEqual(scene.desktop.users(), ['brokered']);
  const facts = scene.gateway.reports.flatMap((report) => (report.kind === 'fact' ? [report.fact] : []));
  assert.equal(facts.filter((fact) => fact.kind === 'downgrade' && /does not trust/.test(fact.what)).length, 1);
  assertNowhere(scene.gateway, cookiePassword);
  await assertReplayable(scene.gateway);
});

test('load balance information goes back to the same host, which gives the client to another', async (t) => {
  const line = 'Cookie: msts=3640205228.15629.0000';
  const scene = await sent(t, { loadBalanceInfo: Buffer.from(`${line}\r\n`, 'latin1') });
  const client = connectClient({ port: scene.gateway.port, cookie: 'alice', userName: 'alice' });
  await assert.rejects(client.then(({ ended }) => ended.then(({ errorText }) => Promise.reject(new Error(errorText)))));
  const { message } = await scene.gateway.reported('ended');
  // This one sends everybody round in circles.
  assert.match(message, /once too often/);
  assert.equal(scene.broker.asked.length, 5);
  assert.deepEqual(
    scene.broker.asked.map((request) => request.includes(line)),
    [false, true, true, true, true],
  );
});

for (const rule of ['farm-7.example', '127.0.0.2'])
  test(`what no session may loosen for ${rule} holds where the gateway follows to it`, async (t) => {
    const fields = { targetFqdn: utf16('farm-7.example') };
    const bound = { target: parseTargetRule(rule)!, rules: { clipboard: 'off', drives: false } } as const;
    const scene = await sent(t, fields, { config: { channelBounds: [bound] } });
    await work(scene);
    const said = scene.gateway.notes().flatMap((note) => (note.type === 'policy' ? [note.what] : []));
    assert.deepEqual(said, ['in force: clipboard:off drives:off']);
  });

test('a name that leads to a forbidden address when the gateway goes there again is not followed', async (t) => {
  let asked = 0;
  const { target } = ticketFor(0);
  const first = await sent(
    t,
    { loadBalanceInfo: Buffer.from('Cookie: msts=1\r\n') },
    {
      config: { targets: { allow: [], deny: [parseTargetRule('127.0.0.2')!], opensLoopback: true, ownPorts: [] } },
      resolve: () => (asked++ === 0 ? '127.0.0.1' : '127.0.0.2'),
      ticket: { target: { ...target, host: 'rebound.example' } },
    },
  );
  await assert.rejects(connectClient({ port: first.gateway.port, cookie: 'alice', userName: 'alice' }));
  assert.match((await first.gateway.reported('ended')).message, /can't be reached by RDP/);
  assert.deepEqual(first.desktop.users(), []);
});

test('what only tells where a session is, is kept from the client and followed by nobody', async (t) => {
  const { gateway, broker: first } = await sent(
    t,
    { targetFqdn: utf16('farm-7.example') },
    { flags: RedirectionFlag.noRedirect },
  );
  await assert.rejects(connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice' }));
  assert.equal((await gateway.reported('ended')).reason, 'server_disconnected');
  assert.equal(first.asked.length, 1);
  await gateway.reported('drained');
  const received = gateway.frames().filter(({ flags }) => (flags & frameFlags.receivedOnly) !== 0);
  assert.ok(received.some(({ body }) => Buffer.from(body).includes(Buffer.from('farm-7', 'utf16le'))));
});

for (const [how, fields, flags, message] of [
  ['to an address that is forbidden', { targetNetAddress: utf16('169.254.169.254') }, 0, /can't be reached by RDP/],
  [
    'by RDSTLS as nobody',
    { targetNetAddress: utf16('127.0.0.2') },
    RedirectionFlag.passwordIsPkEncrypted,
    /by RDSTLS without saying as whom/,
  ],
  ['nowhere', {}, 0, /without saying where to/],
  ['by a line that is several', { loadBalanceInfo: Buffer.from('a\r\nb\r\n') }, 0, /that is no line/],
] as const)
  test(`sent on ${how}: refused in words`, async (t) => {
    const { gateway, desktop } = await sent(t, fields, { flags });
    await assert.rejects(async () => {
      const { errorText } = await (await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice' }))
        .ended;
      throw new Error(errorText);
    });
    const ended = await gateway.reported('ended');
    assert.match(ended.message, message);
    assert.equal(ended.failed, true);
    assert.deepEqual(desktop.users(), []);
  });

test('a client that leaves while the gateway follows, and a session that is stopped then, end as they should', async (t) => {
  let release: (() => void) | null = null;
  const first = await broker(t, {
    redirFlags: RedirectionFlag.targetFqdn,
    fields: { targetFqdn: utf16('slow.example') },
  });
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(first.port) }),
    deps: {
      resolve: async (name) => {
        if (name === 'slow.example')
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        return ['127.0.0.1'];
      },
    },
  });
  const client = connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice' }).catch(() => {});
  while (release === null) await new Promise((resolve) => setTimeout(resolve, 5));
  await gateway.recorder.port.stop({ sessionId: 'session-1', reason: 'stopped', message: 'enough' });
  assert.equal((await gateway.reported('ended')).reason, 'stopped');
  await client;
  (release as () => void)();
  await gateway.reported('drained');
  assert.deepEqual(gateway.problems, []);
  assert.ok(attempt(() => decode(x224ConnectionRequest, Buffer.from(first.asked[0]!, 'latin1'))) !== null);
});

test('real clients are sent on to a real desktop and notice nothing', async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp', 'xfreerdp3')) return;
  const shadow = await startShadow();
  t.after(() => shadow.stop());
  const fields = { targetNetAddress: utf16('127.0.0.1') };
  const redirection = { redirFlags: RedirectionFlag.targetNetAddress, fields };
  const first = await broker(t, redirection, { host: '127.0.0.2', port: shadow.port });
  const { target } = ticketFor(shadow.port);
  for (const [name, start] of [
    ['two', startXfreerdp],
    ['three', startXfreerdp3],
  ] as const) {
    const ticket = ticketFor(shadow.port, { target: { ...target, host: '127.0.0.2' } });
    const gateway = await startGateway(t, { admit: () => ({ admitted: true, ticket }) });
    const client = await start(`127.0.0.1:${gateway.port}`, '/u:ada', '/p:none', '/sec:tls');
    t.after(() => client.stop());
    await eventually(
      `"${name}" on the desktop`,
      async () => {
        await client.click(200, 200);
        await client.type(name);
        return shadow.typedLines().some((line) => line.includes(name));
      },
      40_000,
    );
    await client.closeClient();
    await gateway.reported('drained');
    assert.equal(gateway.notes().filter(({ type }) => type === 'connected').length, 2);
    await assertReplayable(gateway);
  }
  assert.equal(first.asked.length, 2);
});
