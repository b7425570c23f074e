import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { clientCapabilities, ErrorInfo, GeneralExtraFlag, Protocol } from '@lucid-sessions/rdp';
import { LogonStatus } from '@lucid-sessions/rdp/auth';
import { eventually, freePort } from '@lucid-sessions/testkit';
import { PNG } from 'pngjs';
import { type ClientError, connectClient, makeCertificate, Scancode, startDesktop } from '../src/index.ts';
import { Scene } from '../src/scene.ts';

const certificate = await makeCertificate();
const now = () => new Date('2026-01-01T12:34:56Z');
const desktop = await startDesktop({ certificate, now });
after(() => desktop.stop());

/** The same desktop painted without RDP in between. */
function expected(width: number, height: number, act: (scene: Scene) => void): Uint8Array {
  const scene = new Scene(width, height);
  scene.tick('12:34:56');
  act(scene);
  return scene.paint(scene.area).rgba;
}

function type(scene: Scene, text: string): void {
  for (const character of text) scene.type(character);
}

function largestDifference(a: Uint8Array, b: Uint8Array): number {
  assert.equal(a.length, b.length);
  let largest = 0;
  for (let i = 0; i < a.length; i += 1) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

for (const [bitsPerPixel, lost] of [
  [15, 8],
  [16, 8],
  [24, 0],
  [32, 0],
] as const)
  test(`at ${bitsPerPixel} bpp the client shows what the desktop painted`, async () => {
    const client = await connectClient({
      port: desktop.port,
      bitsPerPixel,
      size: { width: 810, height: 606 },
      screenshots: true,
      cookie: 'alice',
      userName: `user${bitsPerPixel}`,
      serverSha256: desktop.certificateSha256,
    });
    const line = `Line ${bitsPerPixel}: ~!@#`;
    await client.type(`${line}\nhalf`);
    client.click(600, 450);
    const want = expected(810, 606, (scene) => {
      type(scene, `${line}\nhalf`);
      scene.click(600, 450);
    });
    await eventually('the picture', () => {
      const { rgba } = client.screenshot();
      return rgba.length === want.length && largestDifference(rgba, want) <= lost;
    });
    assert.ok(desktop.typedLines().includes(line));
    assert.ok(desktop.users().includes(`user${bitsPerPixel}`));
    assert.equal(client.unsupported().size, 0);
    const png = PNG.sync.read(client.screenshotPng());
    assert.deepEqual([png.width, png.height], [810, 606]);
    const end = await client.close();
    assert.equal(end.errorInfo, 0);
  });

test('clients of old manners are served: slow-path both ways and compression headers', async () => {
  const client = await connectClient({
    port: desktop.port,
    bitsPerPixel: 16,
    size: { width: 640, height: 480 },
    screenshots: true,
    capabilitySets: (shape) =>
      clientCapabilities(shape, 0x409).map((set) =>
        set.kind === 'general' ? { ...set, extraFlags: GeneralExtraFlag.longCredentialsSupported } : set,
      ),
  });
  await client.type('abc');
  const want = expected(640, 480, (scene) => type(scene, 'abc'));
  await eventually('the picture', () => largestDifference(client.screenshot().rgba, want) <= 8);
  await client.close();
});

test('keys: backspace, caps lock, Unicode and a second click raise and undo', async () => {
  const client = await connectClient({ port: desktop.port, size: { width: 640, height: 480 }, screenshots: true });
  await client.type('x');
  client.key(Scancode.backspace);
  client.key(Scancode.capsLock);
  await client.type('caps é');
  client.key(Scancode.capsLock);
  await client.type('\n', 1);
  await eventually('the line', () => desktop.typedLines().includes('CAPS é'));
  client.move(1, 1);
  client.click(560, 300);
  client.click(20, 20);
  const want = expected(640, 480, (scene) => {
    type(scene, 'CAPS é\n');
    scene.click(560, 300);
    assert.deepEqual(scene.stack, ['Notes', 'Terminal', 'Clock']);
    scene.click(20, 20);
  });
  await eventually('the picture', () => largestDifference(client.screenshot().rgba, want) <= 8);
  await client.close();
});

test('a suppressed client gets nothing until it asks again, then everything', async () => {
  const client = await connectClient({ port: desktop.port, size: { width: 640, height: 480 }, screenshots: true });
  const start = expected(640, 480, () => {});
  await eventually('the first picture', () => largestDifference(client.screenshot().rgba, start) <= 8);
  client.suppress(true);
  await client.type('hidden\n');
  await eventually('the line', () => desktop.typedLines().includes('hidden'));
  assert.equal(await client.nextUpdates(1, 150), false);
  client.suppress(false);
  const want = expected(640, 480, (scene) => type(scene, 'hidden\n'));
  await eventually('the picture', () => largestDifference(client.screenshot().rgba, want) <= 8);
  const before = client.statistics.receivedBytes;
  client.refresh();
  assert.equal(await client.nextUpdates(1), true);
  await client.settled(100);
  assert.ok(client.statistics.receivedBytes - before > 5000);
  await client.close();
});

test('many clients at once, each with a desktop of its own', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `many-${i}`);
  const clients = await Promise.all(
    names.map((userName) => connectClient({ port: desktop.port, userName, size: { width: 320, height: 240 } })),
  );
  assert.ok(desktop.sessionsCount() >= 20);
  await Promise.all(clients.map((client, i) => client.type(`${names[i]}\n`)));
  await eventually('all lines', () => names.every((name) => desktop.typedLines().includes(name)));
  for (const client of clients) client.destroy();
  await Promise.all(clients.map((client) => client.ended));
  await eventually('all sessions over', () => desktop.sessionsCount() === 0);
  assert.throws(() => clients[0]!.screenshot(), /screenshots: true/);
});

test('a refusal reaches the client with code and text', async () => {
  const closed = await startDesktop({ certificate, refuseWith: ErrorInfo.serverDeniedConnection.code });
  try {
    const end = await connectClient({ port: closed.port }).then(
      (client) => client.ended,
      (error: ClientError) => ({ errorInfo: error.detail, errorText: error.message, orderly: true }),
    );
    assert.equal(end.errorInfo, ErrorInfo.serverDeniedConnection.code);
    assert.equal(end.errorText, 'the server denied the connection');
    assert.equal(end.orderly, true);
  } finally {
    await closed.stop();
  }
});

test('the desktop says goodbye when it stops', async () => {
  const short = await startDesktop({ certificate, size: { width: 400, height: 300 }, bitsPerPixel: 16 });
  const client = await connectClient({ port: short.port });
  assert.deepEqual(client.size, { width: 400, height: 300 });
  await client.nextUpdates();
  await short.stop();
  assert.equal((await client.ended).orderly, true);
});

test('connecting fails with a reason', async () => {
  const failure = (options: Parameters<typeof connectClient>[0]) =>
    connectClient(options).then(
      () => assert.fail('connected'),
      (error: ClientError) => error.code,
    );
  assert.equal(await failure({ port: await freePort() }), 'unreachable');
  assert.equal(await failure({ port: desktop.port, serverSha256: '00' }), 'wrong_certificate');
  assert.equal(await failure({ port: desktop.port, requestedProtocols: 0 }), 'negotiation_failed');
  for (const [answer, code] of [
    ['HTTP/1.1 400 Bad Request\r\n', 'protocol_violation'],
    ['', 'closed'],
  ] as const) {
    const server = createServer((socket) => socket.on('error', () => {}).end(answer));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    assert.equal(await failure({ port: address.port }), code);
    server.close();
  }
  const silent = createServer((socket) => socket.on('error', () => {}));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  assert.ok(address !== null && typeof address === 'object');
  assert.equal(await failure({ port: address.port, timeoutMs: 100, routingToken: 'abc' }), 'timeout');
  silent.close();
});

test('a desktop with an account lets nobody else in', async (t) => {
  const account = { username: 'ada', password: 'Pässwörd' };
  const closed = await startDesktop({ account, certificate, now });
  t.after(() => closed.stop());
  const connect = (logon: { username: string; password: string; envelope?: 'raw' | 'spnego' }) =>
    connectClient({ port: closed.port, requestedProtocols: Protocol.ssl | Protocol.hybrid, logon });
  for (const envelope of ['raw', 'spnego'] as const) {
    const client = await connect({ ...account, username: 'Ada', envelope });
    await client.pictured;
    assert.equal((await client.close()).problem, null);
  }
  for (const wrong of [{ username: 'bob' }, { password: 'guess' }])
    await assert.rejects(connect({ ...account, ...wrong }), { code: 'logon_failed', detail: LogonStatus.logonFailure });
  await assert.rejects(connectClient({ port: closed.port }), { code: 'negotiation_failed' });
});

test('garbage ends a connection and nothing else', async () => {
  const { connect } = await import('node:net');
  const socket = connect(desktop.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\n\r\n');
  await new Promise<void>((resolve) => socket.on('close', () => resolve()));
  const client = await connectClient({ port: desktop.port });
  await client.close();
});
