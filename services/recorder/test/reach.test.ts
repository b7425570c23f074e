/** Ways to a target: a machine of a host that lends its port (preconnection blob), and IPv6 on either side. */
import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connectClient, startDesktop } from '@lucid-sessions/desktop';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { preconnectionPdu } from '@lucid-sessions/rdp';
import { frameFlags, frameKinds } from '@lucid-sessions/recording';
import { SessionIndexer } from '@lucid-sessions/recording/session-index';
import { Reader } from '@lucid-sessions/wire';
import { startGateway, ticketFor } from './gateway-kit.ts';

/** A host that reads which machine is meant and lends its port to it. */
async function lendingHost(t: TestContext, port: number) {
  const asked: unknown[] = [];
  const server = createServer((socket) => {
    socket.once('data', (bytes: Buffer) => {
      const reader = new Reader(bytes);
      asked.push(preconnectionPdu.decode(reader));
      const machine = connect(port, '127.0.0.1');
      machine.write(reader.rest());
      socket.pipe(machine).pipe(socket);
      for (const one of [socket, machine]) one.on('error', () => {});
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { asked, port: (server.address() as AddressInfo).port };
}

test('a machine of a Hyper-V host: the blob goes out before RDP, is recorded, and readers begin behind it', async (t) => {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const host = await lendingHost(t, desktop.port);
  const { target } = ticketFor(host.port);
  const preconnection = { id: 7, blob: '8a7e1f6e-0000-4b7c-9a53-000000000000;EnhancedMode=1' };
  const ticket = ticketFor(host.port, { target: { ...target, preconnection } });
  const gateway = await startGateway(t, { admit: () => ({ admitted: true, ticket }) });
  const client = await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice', screenshots: true });
  await client.type('hello\n', 5);
  while (desktop.typedLines().length === 0) await client.nextUpdates(1, 100);
  await client.settled();
  await client.close();
  await gateway.reported('drained');
  assert.deepEqual(host.asked, [{ flags: 0, ...preconnection }]);

  const pdus = gateway.frames().filter(({ kind }) => kind === frameKinds.pdu);
  const [, sent] = pdus;
  assert.equal(sent?.flags, frameFlags.beforeTls | frameFlags.deliveredOnly);
  assert.deepEqual(preconnectionPdu.decode(new Reader(sent.body)), { flags: 0, ...preconnection });
  const decoder = new SessionDecoder();
  for (const { flags, body: bytes } of pdus.filter((frame) => (frame.flags & frameFlags.receivedOnly) === 0))
    await decoder.push({
      fromServer: (flags & frameFlags.serverToClient) !== 0,
      beforeTls: (flags & frameFlags.beforeTls) !== 0,
      bytes,
    });
  assert.deepEqual([...decoder.screen.unsupported], []);
  const indexer = new SessionIndexer();
  for (const frame of gateway.frames()) indexer.push(frame);
  const events = indexer.take(0, true).events.map(({ kind }) => kind);
  assert.ok(!events.includes('error'));
});

test('IPv6: a client of ::1, a listener there, and a target there, by address and by name', async (t) => {
  const desktop = await startDesktop({ host: '::1' });
  t.after(() => desktop.stop());
  for (const host of ['::1', 'desk.example']) {
    const ticket = ticketFor(desktop.port, { target: { ...ticketFor(desktop.port).target, host } });
    const gateway = await startGateway(t, {
      admit: () => ({ admitted: true, ticket }),
      config: { listeners: [{ host: '::1', port: 0, target: `[::1]:${desktop.port}` }] },
      deps: { resolve: async (name) => [name === 'desk.example' ? '::1' : name] },
    });
    assert.equal(gateway.recorder.addresses[0]?.host, '::1');
    const client = await connectClient({ host: '::1', port: gateway.port, cookie: 'alice', userName: 'alice' });
    await client.close();
    await gateway.reported('drained');
    const connected = gateway.notes().find((note) => note.type === 'connected');
    assert.match(connected?.clientAddress ?? '', /^\[::1\]:\d+$/);
    assert.equal(connected?.targetAddress, `[::1]:${desktop.port}`);
    assert.deepEqual(gateway.routes, [{ kind: 'listener', target: `[::1]:${desktop.port}` }]);
  }
});

test('a listener on every address takes clients of both kinds', async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  for (const host of ['::1', '127.0.0.1']) {
    const gateway = await startGateway(t, {
      admit: () => ({ admitted: true, ticket: ticketFor(desktop.port) }),
      config: { listeners: [{ host: '::', port: 0, target: null }] },
    });
    await (await connectClient({ host, port: gateway.port, cookie: 'alice', userName: 'alice' })).close();
    const { clientAddress } = await gateway.reported('started');
    assert.ok(clientAddress.includes(host), clientAddress);
  }
});
