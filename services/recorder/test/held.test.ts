/** Clients that are held until what they say of themselves is known, then joined to their target. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { SessionTicket } from '@lucid-sessions/contract';
import { connectClient, type Desktop, startDesktop } from '@lucid-sessions/desktop';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { ErrorInfo } from '@lucid-sessions/rdp';
import { frameFlags, frameKinds } from '@lucid-sessions/recording';
import {
  eventually,
  type PeerServer,
  skipUnlessPeers,
  startShadow,
  startShadow3,
  startShadowNla,
  startXfreerdp,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

const password = 'Corr3ct-Horse';

const heldGateway = (t: TestContext, port: number, more: Partial<SessionTicket> = {}): Promise<Gateway> =>
  startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(port, { credentials: 'client', ...more }) }),
    config: { chunkBytesMax: 10 << 20 },
  });

async function desktop(t: TestContext): Promise<Desktop> {
  const started = await startDesktop({ now: () => new Date(0) });
  t.after(() => started.stop());
  return started;
}

/** Nothing that was recorded holds the password. */
function checkSecret(gateway: Gateway, secret: string): void {
  for (const { copy } of gateway.chunks)
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.equal(Buffer.from(copy).includes(Buffer.from(secret, encoding)), false);
}

test('a held session is relayed and recorded like any other', async (t) => {
  const target = await desktop(t);
  const gateway = await heldGateway(t, target.port);
  const rdp = await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice', password });
  await rdp.type('whoami\n', 5);
  while (target.typedLines().length === 0) await rdp.nextUpdates(1, 100);
  assert.deepEqual(target.typedLines(), ['whoami']);
  assert.deepEqual(target.users(), ['alice']);
  await rdp.settled();
  await rdp.close();
  await gateway.reported('drained');
  const ended = await gateway.reported('ended');
  assert.equal(ended.reason, 'client_disconnected', ended.message);
  assert.deepEqual(gateway.problems, []);
  checkSecret(gateway, password);
  const notes = gateway.notes();
  assert.deepEqual(
    notes.map(({ type }) => type),
    ['connected', 'target_certificate', 'client', 'joined', 'ended'],
  );
  const joined = notes.find((note) => note.type === 'joined')!;
  assert.equal(joined.client.channelIds.length, joined.target.channelIds.length);
});

test('its recording replays: the last picture is the desktop', async (t) => {
  const target = await desktop(t);
  const gateway = await heldGateway(t, target.port);
  const rdp = await connectClient({ port: gateway.port, cookie: 'a', userName: 'a', password, screenshots: true });
  await rdp.settled();
  const shown = rdp.screenshot();
  await rdp.close();
  await gateway.reported('drained');
  const decoder = new SessionDecoder();
  for (const frame of gateway.frames())
    if (frame.kind === frameKinds.pdu && (frame.flags & frameFlags.receivedOnly) === 0)
      decoder.push({
        fromServer: (frame.flags & 1) !== 0,
        beforeTls: (frame.flags & frameFlags.beforeTls) !== 0,
        bytes: frame.body,
      });
  const { pixels } = decoder.screen;
  assert.deepEqual([pixels.width, pixels.height], [shown.width, shown.height]);
  const { buffer, byteOffset, byteLength } = pixels.data;
  assert.ok(Buffer.from(buffer, byteOffset, byteLength).equals(shown.rgba));
});

test('a target that can not be had is told to a client that waits for it', async (t) => {
  const gateway = await heldGateway(t, 1);
  const rdp = await connectClient({ port: gateway.port, cookie: 'alice', userName: 'alice', password });
  assert.equal((await rdp.ended).errorInfo, ErrorInfo.cbDestinationNotFound.code);
  const attempt = await gateway.attempted();
  assert.deepEqual([attempt.outcome, attempt.reason], ['target_failed', 'target_unreachable']);
});

async function useReal(t: TestContext, server: PeerServer, flags: string[], line: string): Promise<Gateway> {
  t.after(() => server.stop());
  const gateway = await heldGateway(t, server.port);
  const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, ...flags);
  t.after(() => client.stop());
  await eventually('a session', () => gateway.reports.some(({ kind }) => kind === 'started'));
  await eventually('the typed line', async () => {
    await client.click(300, 150);
    await client.type(line);
    return server.typedLines().some((typed) => typed.includes(line));
  });
  if (process.env.SHOTS !== undefined) await client.screenshot(`${process.env.SHOTS}/${line}.png`);
  await client.closeClient();
  await gateway.reported('drained');
  assert.equal((await gateway.reported('ended')).reason, 'client_disconnected');
  return gateway;
}

test('xfreerdp to freerdp-shadow, held', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
  await useReal(t, await startShadow(), ['/u:test', '/p:test', '/gfx:AVC420', '+clipboard'], 'held-shadow');
});

test('xfreerdp to xrdp, held: what the client sends logs on', { timeout: 120_000 }, async (t) => {
  if (skipUnlessPeers(t, 'xrdp', 'xfreerdp')) return;
  const { userName, password: secret } = xrdpUser;
  const flags = [`/u:${userName}`, `/p:${secret}`, '/d:Xorg', '/clipboard'];
  checkSecret(await useReal(t, await startXrdp(), flags, 'held-xrdp'), secret);
});

for (const [name, start, peer] of [
  ['2', startShadowNla, 'shadow'],
  ['3', startShadow3, 'shadow3'],
] as const)
  test(`a TLS client's own credentials open a host that demands NLA: freerdp-shadow ${name}`, {
    timeout: 120_000,
  }, async (t) => {
    if (skipUnlessPeers(t, peer, 'xfreerdp')) return;
    const [userName, secret] = ['heldperson', 'Held-Pass-77'];
    const gateway = await useReal(
      t,
      await start({ userName, password: secret }),
      [`/u:${userName}`, `/p:${secret}`],
      `held-nla-${name}`,
    );
    checkSecret(gateway, secret);
    assert.ok(gateway.reports.some((report) => report.kind === 'fact' && report.fact.kind === 'target_logon'));
  });
