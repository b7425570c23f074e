/** What a client is shown by the gateway itself. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { connectClient, type RdpClient } from '@lucid-sessions/desktop';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { eventually, skipUnlessPeers, startXfreerdp } from '@lucid-sessions/testkit';
import { startGateway } from './gateway-kit.ts';

const denied = ErrorInfo.serverDeniedConnection.code;

/** A picture of what real peers are shown, where somebody wants to look at it. */
const shots = process.env.SCREEN_SHOTS;

const refusing = (t: TestContext, refusalMs: number) =>
  startGateway(t, {
    admit: () => ({ admitted: false, code: 'unknown_session', message: 'there is no such session' }),
    config: { refusalMs },
  });

/** How many colours are shown: 1 is an empty desktop. */
function coloursOf(rdp: RdpClient): number {
  const { rgba } = rdp.screenshot();
  return new Set(new Uint32Array(rgba.buffer, rgba.byteOffset, rgba.byteLength / 4)).size;
}

test('a refusal is read in words, and ends by an error code when its user has read it', async (t) => {
  const gateway = await refusing(t, 60_000);
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password: '', screenshots: true });
  await rdp.settled(100);
  assert.ok(coloursOf(rdp) > 4, 'a dialog is shown');
  assert.equal((await gateway.attempted()).reason, 'unknown_session');
  await rdp.type('\n');
  assert.equal((await rdp.ended).errorInfo, denied);
  assert.deepEqual(gateway.reports, []);
  assert.deepEqual(gateway.problems, []);
});

test('a refusal nobody answers ends by itself', async (t) => {
  const gateway = await refusing(t, 200);
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password: '' });
  assert.equal((await rdp.ended).errorInfo, denied);
});

test('so many refusals are shown at once, and the rest are told by codes', async (t) => {
  const gateway = await refusing(t, 60_000);
  const clients = await Promise.all(
    Array.from({ length: 33 }, () => connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password: '' })),
  );
  const first = await Promise.race(clients.map((client) => client.ended));
  assert.equal(first.errorInfo, denied);
  await Promise.all(clients.map((client) => client.close()));
});

test('xfreerdp shows the refusal, and its button closes it', { timeout: 60_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp')) return;
  const gateway = await refusing(t, 60_000);
  const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, '/u:test', '/p:test', '/size:1024x768');
  t.after(() => client.stop());
  await gateway.attempted();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  if (shots !== undefined) await client.screenshot(`${shots}/refusal.png`);
  await client.type('');
  await eventually('the error in its log', () => /SERVER_DENIED_CONNECTION/.test(client.log('client')));
});
