/** Real clients through the recorder to real servers. Skipped where they are not installed. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { SessionTicket } from '@lucid-sessions/contract';
import {
  eventually,
  type PeerClient,
  type PeerServer,
  skipUnlessPeers,
  startRdesktop,
  startShadow,
  startXfreerdp,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

interface Way {
  server: PeerServer;
  gateway: Gateway;
}

async function way(t: TestContext, starting: Promise<PeerServer>, more: Partial<SessionTicket> = {}): Promise<Way> {
  const server = await starting;
  t.after(() => server.stop());
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(server.port, more) }),
    config: { chunkBytesMax: 10 << 20 },
  });
  return { server, gateway };
}

/** Types a line, sees it arrive, closes the client, and looks at what was recorded. */
async function useAndCheck({ server, gateway }: Way, client: PeerClient): Promise<void> {
  await eventually('a desktop', () => gateway.reports.some(({ kind }) => kind === 'started'));
  await eventually('updates', async () => {
    const { sessions } = await gateway.recorder.port.live();
    return (sessions[0]?.statistics.updatesCount ?? 0) > 2;
  });
  await eventually('the typed line', async () => {
    await client.click(300, 150);
    await client.type('lucid');
    return server.typedLines().some((line) => line.includes('lucid'));
  });
  await client.closeClient();
  await gateway.reported('drained');
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'client_disconnected', ended.message);
  const frames = gateway.frames();
  assert.equal(frames.length, ended.statistics.framesCount);
  assert.ok(frames.length > 50);
  for (const { body } of frames)
    assert.equal(Buffer.from(body).includes(Buffer.from(xrdpUser.password, 'utf16le')), false);
  assert.ok(gateway.notes().some((note) => note.type === 'client' && note.clientName.length > 0));
}

const address = ({ gateway }: Way): string => `127.0.0.1:${gateway.port}`;

for (const graphics of ['passthrough', 'classic'] as const)
  test(`xfreerdp to freerdp-shadow, ${graphics}`, { timeout: 120_000 }, async (t) => {
    if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
    const route = await way(t, startShadow(), { graphics });
    const client = await startXfreerdp(address(route), '/u:test', '/p:test', '/gfx:AVC420');
    t.after(() => client.stop());
    await useAndCheck(route, client);
    const downgrades = route.gateway.notes().filter((note) => note.type === 'downgrade');
    assert.equal(downgrades.length > 0, graphics === 'classic');
  });

test('xfreerdp and rdesktop to xrdp', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xrdp', 'xfreerdp', 'rdesktop')) return;
  const { userName, password } = xrdpUser;
  const route = await way(t, startXrdp());
  const flags = [`/u:${userName}`, `/p:${password}`, '/d:Xorg'];
  const client = await startXfreerdp(address(route), ...flags);
  t.after(() => client.stop());
  await useAndCheck(route, client);
  const second = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(route.server.port) }),
    config: { chunkBytesMax: 10 << 20 },
  });
  const rdesktop = await startRdesktop(`127.0.0.1:${second.port}`, '-u', userName, '-p', password, '-d', 'Xorg');
  t.after(() => rdesktop.stop());
  await useAndCheck({ server: route.server, gateway: second }, rdesktop);
});

test('xfreerdp is told by a real error why it may not connect', { timeout: 60_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp')) return;
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: false, code: 'unknown_session', message: 'there is no such session' }),
  });
  const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, '/u:test', '/p:test');
  t.after(() => client.stop());
  const log = await eventually('the error in its log', () => {
    const text = client.log('client');
    return /SERVER_DENIED_CONNECTION/.test(text) && text;
  });
  assert.match(log, /ERRINFO_SERVER_DENIED_CONNECTION/);
});
