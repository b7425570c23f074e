/** The RD Gateway's door: who gets in, with what name, and how it ends wherever a client stands. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import type { Admission, SessionTicket } from '@lucid-sessions/contract';
import { connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { doorHeader } from '@lucid-sessions/kit';
import { GatewayError } from '@lucid-sessions/rdp';
import { frameKinds } from '@lucid-sessions/recording';
import { eventually, GatewayClient, requestsFor, startTunnel, type TunnelOptions } from '@lucid-sessions/testkit';
import { TwoChannels } from '../src/doors/two-channels.ts';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const cookie = 'b2ssQh7YAAd9d7mK-lucid-token';
const refusedAs = (code: 'unknown_session' | 'in_use' | 'unavailable'): Admission => ({
  admitted: false,
  code,
  message: 'no',
});

interface Behind {
  gateway: Gateway;
  desktop: Desktop;
  tunnel: TunnelOptions;
}

/** A recorder whose door stands behind a plain HTTP server, as it does behind the API. */
async function behindHttp(
  t: TestContext,
  more: { answer?: Admission; config?: object; ticket?: Partial<SessionTicket> } = {},
): Promise<Behind> {
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const ticket = ticketFor(desktop.port, more.ticket);
  const gateway = await startGateway(t, {
    admit: (route) =>
      more.answer ??
      (route.kind === 'token' && route.token === cookie ? { admitted: true, ticket } : refusedAs('unknown_session')),
    ...(more.config === undefined ? {} : { config: more.config }),
  });
  const server = createServer();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    gateway.recorder.doors.rdg?.({ request, socket, head, clientAddress: '192.0.2.9' }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    gateway,
    desktop,
    tunnel: { url, form: 'webSocket', cookie, host: ticket.target.host, port: ticket.target.port },
  };
}

test('with its cookie a client works on its session as at the listener, and the cookie is in no frame', async (t) => {
  const { gateway, desktop, tunnel } = await behindHttp(t);
  const { port, stop } = await startTunnel(tunnel);
  t.after(stop);
  const client = await connectClient({ port, userName: 'alice', screenshots: true });
  await client.type('through 443\n', 5);
  while (desktop.typedLines().length === 0) await client.nextUpdates(1, 100);
  assert.deepEqual(desktop.typedLines(), ['through 443']);
  await client.settled();
  await client.close();
  const { reason } = await gateway.reported('ended');
  assert.equal(reason, 'client_disconnected');
  await gateway.reported('drained');
  assert.deepEqual(
    new Set(gateway.routes.map((route) => JSON.stringify(route))),
    new Set([JSON.stringify({ kind: 'token', token: cookie })]),
  );
  const { clientAddress } = await gateway.reported('started');
  assert.equal(clientAddress, '192.0.2.9');
  for (const { body } of gateway.frames())
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.ok(!Buffer.from(body).includes(Buffer.from(cookie, encoding)));
  assert.ok(gateway.frames().filter(({ kind }) => kind === frameKinds.pdu).length > 20);
  // What the door had a look at is let go; nothing else is told.
  assert.deepEqual(
    gateway.attempts.map(({ count }) => count),
    [0],
  );
});

test('who has no cookie, or a wrong one, gets no tunnel', async (t) => {
  const { gateway, tunnel } = await behindHttp(t);
  for (const wrong of ['', 'another', `${cookie}x`]) {
    const client = new GatewayClient(tunnel);
    assert.equal(await client.open({ ...tunnel, cookie: wrong }), GatewayError.cookieAccessDenied);
    assert.equal(await client.next(), null);
  }
  assert.deepEqual(gateway.attempts.map(({ reason, outcome }) => [outcome, reason])[0], ['refused', 'unknown_session']);
  assert.ok(!JSON.stringify([gateway.attempts, gateway.lines]).includes('another'));
});

test('the host a client names is compared with its session’s target, never dialled', async (t) => {
  const { gateway, desktop, tunnel } = await behindHttp(t);
  for (const other of [{ host: 'elsewhere.example' }, { host: 'localhost' }, { port: tunnel.port + 1 }]) {
    const client = new GatewayClient(tunnel);
    assert.equal(await client.open({ ...tunnel, ...other }), GatewayError.resourceAccessDenied);
  }
  await eventually('what was refused is told', async () => gateway.attempts.length > 0);
  assert.deepEqual([gateway.attempts[0]?.reason, gateway.attempts[0]?.sessionId], ['target_denied', 'session-1']);
  assert.deepEqual(desktop.users(), []);
  const named = await behindHttp(t, {
    ticket: { target: { ...ticketFor(1).target, host: 'Desk.Example', port: 3389 } },
  });
  for (const host of ['desk.example', 'DESK.EXAMPLE.'])
    assert.equal(await new GatewayClient(named.tunnel).open({ ...named.tunnel, host }), 0);
});

test('every other refusal is told inside, in RDP’s own way', async (t) => {
  for (const code of ['in_use', 'unavailable'] as const) {
    const { gateway, tunnel } = await behindHttp(t, { answer: refusedAs(code) });
    const { port, stop } = await startTunnel(tunnel);
    t.after(stop);
    await assert.rejects(async () => {
      const { errorText } = await (await connectClient({ port, userName: 'alice' })).ended;
      throw new Error(errorText);
    });
    await eventually('it is told once', async () => gateway.attempts.length === 1);
    assert.equal(gateway.attempts[0]?.reason, code);
  }
});

test('a client that leaves in any state leaves nothing behind, and what was reserved for it is let go', async (t) => {
  const { gateway, tunnel } = await behindHttp(t);
  const requests = requestsFor(cookie, tunnel.host, tunnel.port);
  for (let count = 0; count <= requests.length; count += 1) {
    const client = new GatewayClient(tunnel);
    for (const request of requests.slice(0, count)) await client.ask(request);
    await client.close();
  }
  await eventually('reservations let go', async () => {
    const { details } = await gateway.recorder.port.health();
    return details.connectionsWaiting === 0 && details;
  });
  // Three had shown the cookie.
  await eventually('told', async () => gateway.attempts.reduce((sum, { count }) => sum + count, 0) >= 1);
  assert.ok(gateway.attempts.every(({ outcome }) => outcome === 'client_left'));
  // That of the last was a look, let go when the connection inside asked anew.
  assert.deepEqual(new Set(gateway.attempts.map(({ sessionId }) => sessionId)), new Set(['session-1', null]));
  assert.deepEqual(gateway.reports, []);
  assert.deepEqual(gateway.problems, []);
});

test('a client that says nothing, or garbage, or too much, is let go', async (t) => {
  const { gateway, tunnel } = await behindHttp(t, { config: { handshakeMs: 300 } });
  const silent = new GatewayClient(tunnel);
  assert.equal(await silent.next(), null);
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(100_000, 1),
    Buffer.from('0a00000005000000', 'hex'),
  ]) {
    const client = new GatewayClient(tunnel);
    await client.sendBytes(bytes);
    assert.equal(await client.next(), null);
  }
  await eventually('counted', async () => {
    const { details } = await gateway.recorder.port.health();
    return details.connectionsWaiting === 0;
  });
  assert.deepEqual(gateway.attempts, []);
});

test('the recorder ends the channel with a close when it ends the session', async (t) => {
  const { gateway, tunnel } = await behindHttp(t);
  const { port, stop } = await startTunnel(tunnel);
  t.after(stop);
  const client = await connectClient({ port, userName: 'alice' });
  await client.nextUpdates(1, 5000);
  await gateway.recorder.port.stop({ sessionId: 'session-1', reason: 'stopped', message: 'enough' });
  const { errorInfo } = await client.ended;
  assert.notEqual(errorInfo, 0);
  await gateway.reported('drained');
});

test('where clients have to log on, a token alone opens the tunnel and nothing in it', async (t) => {
  const { gateway, tunnel } = await behindHttp(t, { config: { nla: 'required' } });
  const { port, stop } = await startTunnel(tunnel);
  t.after(stop);
  await assert.rejects(connectClient({ port, userName: 'alice' }), { code: 'negotiation_failed' });
  await eventually('told', async () => gateway.attempts.some(({ reason }) => reason === 'nla_required'));
  assert.deepEqual(gateway.reports, []);
});

/** As the API passes a request on; answers what the recorder says on it. */
function half(gateway: Gateway, method: string, id: string, clientAddress = '192.0.2.9') {
  const [socket, client] = duplexPair();
  const request = { headers: { [doorHeader.method]: method, 'rdg-connection-id': id } } as unknown as IncomingMessage;
  gateway.recorder.doors.rdg?.({ request, socket, head: Buffer.alloc(0), clientAddress });
  const answer = new Promise<string>((resolve) => client.once('data', (bytes) => resolve(String(bytes).slice(9, 12))));
  return { socket, answer };
}

test('two connections belong together by their id and address, each once', async (t) => {
  const { gateway } = await behindHttp(t);
  const id = '{0c7b3ef0-7d0e-4c7e-8f7a-2f6c9f0b1a2d}';
  const answers = [
    half(gateway, 'RDG_IN_DATA', id),
    half(gateway, 'RDG_OUT_DATA', 'no id'),
    half(gateway, 'RDG_OUT_DATA', id),
    half(gateway, 'RDG_OUT_DATA', id),
    half(gateway, 'RDG_IN_DATA', id, '192.0.2.10'),
    half(gateway, 'RDG_IN_DATA', id.toUpperCase()),
    half(gateway, 'RDG_IN_DATA', id),
  ];
  assert.deepEqual(await Promise.all(answers.map(({ answer }) => answer)), [
    '404',
    '400',
    '101',
    '409',
    '404',
    '101',
    '404',
  ]);
  for (const { socket } of answers) socket.destroy();
});

test('two channels are one stream: what is written goes out on the first, what is read comes from the second', async () => {
  const [out, heard] = duplexPair();
  const [incoming, said] = duplexPair();
  const stream = new TwoChannels(out);
  assert.equal(stream.attach(incoming), true);
  assert.equal(stream.attach(duplexPair()[0]), false);
  stream.write('to the client');
  said.write('from the client');
  assert.equal(String(await once(stream, 'data')), 'from the client');
  assert.equal(String(await once(heard, 'data')), 'to the client');
  said.end();
  await once(stream, 'end');
  stream.destroy();
  assert.ok(incoming.destroyed && out.destroyed);
});
