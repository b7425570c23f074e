/** A message over the desktop of a real client: seen while it is shown, gone afterwards; refused where a pipeline draws. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  eventually,
  type PeerClient,
  type PeerServer,
  skipUnlessPeers,
  startShadow,
  startXfreerdp,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import { type Gateway, startGateway, ticketFor } from './gateway-kit.ts';

/** Whether the top left of the client's window is of the banner's pale yellow (which no desktop here has there). */
async function showsBanner(t: TestContext, client: PeerClient): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'shot-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'shot.png');
  await client.screenshot(file);
  const format = '%[fx:round(255*p{8,8}.r)] %[fx:round(255*p{8,8}.g)] %[fx:round(255*p{8,8}.b)]';
  const [red = 0, green = 0, blue = 0] = execFileSync('convert', [file, '-format', format, 'info:'], {
    encoding: 'utf8',
  })
    .split(' ')
    .map(Number);
  return red > 245 && green > 235 && blue > 170 && blue < 215;
}

async function connected(
  t: TestContext,
  starting: Promise<PeerServer>,
  flags: string[],
  credentials: 'none' | 'client' = 'none',
) {
  const server = await starting;
  t.after(() => server.stop());
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(server.port, { credentials }) }),
    config: { chunkBytesMax: 10 << 20 },
  });
  const client = await startXfreerdp(`127.0.0.1:${gateway.port}`, ...flags);
  t.after(() => client.stop());
  await eventually(
    'updates',
    async () => ((await gateway.recorder.port.live()).sessions[0]?.statistics.updatesCount ?? 0) > 4,
  );
  return { server, gateway, client };
}

const message = ({ recorder }: Gateway, seconds: number) =>
  recorder.port.message({
    sessionId: 'session-1',
    from: 'alice',
    text: 'We stop at six.\nPlease save your work.',
    seconds,
  });

const scenes: [string, 'xrdp' | 'shadow', () => Promise<PeerServer>, string[]][] = [
  ['xrdp', 'xrdp', startXrdp, [`/u:${xrdpUser.userName}`, `/p:${xrdpUser.password}`, '/d:Xorg']],
  ['shadow, 16 bits, held', 'shadow', startShadow, ['/u:test', '/p:test', '/bpp:16']],
];
for (const [name, peer, start, flags] of scenes)
  test(`xfreerdp with ${name}: a message is shown over the desktop, and the desktop is whole again`, {
    timeout: 120_000,
  }, async (t) => {
    if (skipUnlessPeers(t, peer, 'xfreerdp')) return;
    const { gateway, client } = await connected(t, start(), flags, peer === 'shadow' ? 'client' : 'none');
    await eventually('the message is taken', () => message(gateway, 3).catch(() => null));
    await eventually('the banner', () => showsBanner(t, client));
    await eventually('the desktop again', async () => !(await showsBanner(t, client)));
    await client.closeClient();
    await gateway.reported('drained');
    const notes = gateway.notes().filter((note) => note.type === 'message');
    assert.deepEqual(notes[0], { type: 'message', from: 'alice', text: 'We stop at six.\nPlease save your work.' });
  });

test('where the graphics pipeline draws, a message is refused in words', { timeout: 60_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
  const { gateway } = await connected(t, startShadow(), ['/u:test', '/p:test', '/gfx:AVC420']);
  await assert.rejects(message(gateway, 5), /its graphics pipeline draws the desktop/);
});
