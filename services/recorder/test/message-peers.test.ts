/** A message over the desktop of a real client: seen while it is shown, gone afterwards; refused where nothing can be painted. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { frameFlags, frameKinds } from '@lucid-sessions/recording';
import {
  eventually,
  gnomeUser,
  type PeerClient,
  type PeerServer,
  skipUnlessPeers,
  startGnome,
  startShadow,
  startShadow3,
  startXfreerdp,
  startXfreerdp3,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import type { RecorderConfig } from '../src/config.ts';
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
  credentials: 'none' | 'client',
  startClient: typeof startXfreerdp,
  config: Partial<RecorderConfig> = {},
) {
  const server = await starting;
  t.after(() => server.stop());
  const gateway = await startGateway(t, {
    admit: () => ({ admitted: true, ticket: ticketFor(server.port, { credentials }) }),
    config: { chunkBytesMax: 10 << 20, ...config },
  });
  const client = await startClient(`127.0.0.1:${gateway.port}`, ...flags);
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

/** As its user saw it: the strip comes, all of what is recorded can be drawn, and the desktop is there at the end. */
async function assertShownInReplay(gateway: Gateway): Promise<void> {
  const decoder = new SessionDecoder();
  const looks: boolean[] = [];
  for (const { kind, flags, body: bytes } of gateway.frames()) {
    if (kind !== frameKinds.pdu || (flags & frameFlags.receivedOnly) !== 0) continue;
    const beforeTls = (flags & frameFlags.beforeTls) !== 0;
    await decoder.push({ fromServer: (flags & frameFlags.serverToClient) !== 0, beforeTls, bytes });
    const { data, width } = decoder.screen.pixels;
    const [red = 0, green = 0, blue = 0] = data.subarray((8 * width + 8) * 4);
    looks.push(red === 0xff && green === 0xf4 && blue === 0xc2);
  }
  assert.deepEqual([...decoder.screen.unsupported], []);
  assert.ok(looks.includes(true), 'the strip is in the recording');
  assert.equal(looks.at(-1), false, 'and gone at its end');
}

type Scene = [
  name: string,
  peers: Parameters<typeof skipUnlessPeers>[1][],
  server: () => Promise<PeerServer>,
  client: typeof startXfreerdp,
  flags: string[],
  credentials: 'none' | 'client',
];
const user = ['/u:test', '/p:test'];
const scenes: Scene[] = [
  [
    'xfreerdp with xrdp',
    ['xrdp', 'xfreerdp'],
    startXrdp,
    startXfreerdp,
    [`/u:${xrdpUser.userName}`, `/p:${xrdpUser.password}`, '/d:Xorg'],
    'none',
  ],
  [
    'xfreerdp with shadow, 16 bits, held',
    ['shadow', 'xfreerdp'],
    startShadow,
    startXfreerdp,
    [...user, '/bpp:16'],
    'client',
  ],
  ['xfreerdp with shadow, AVC444 by default', ['shadow', 'xfreerdp'], startShadow, startXfreerdp, user, 'none'],
  [
    'xfreerdp with shadow, AVC420, held',
    ['shadow', 'xfreerdp'],
    startShadow,
    startXfreerdp,
    [...user, '/gfx:AVC420'],
    'client',
  ],
  ['xfreerdp 3 with shadow 3', ['shadow3', 'xfreerdp3'], startShadow3, startXfreerdp3, [...user, '/sec:tls'], 'client'],
  [
    'xfreerdp with GNOME, progressive',
    ['gnome', 'xfreerdp'],
    startGnome,
    startXfreerdp,
    [`/u:${gnomeUser.userName}`, `/p:${gnomeUser.password}`, '/gfx'],
    'client',
  ],
];
for (const [name, peers, start, client, flags, credentials] of scenes)
  test(`${name}: a message is shown over the desktop, and the desktop is whole again`, {
    timeout: 300_000,
  }, async (t) => {
    if (skipUnlessPeers(t, ...peers)) return;
    const { gateway, client: shown } = await connected(t, start(), flags, credentials, client);
    await eventually('the message is taken', () => message(gateway, 8).catch(() => null));
    await eventually('the banner', () => showsBanner(t, shown));
    await eventually('the desktop again', async () => !(await showsBanner(t, shown)));
    await shown.closeClient();
    await gateway.reported('drained');
    if (peers.includes('gnome')) await assertShownInReplay(gateway);
    const notes = gateway.notes().filter((note) => note.type === 'message');
    assert.deepEqual(notes[0], { type: 'message', from: 'alice', text: 'We stop at six.\nPlease save your work.' });
  });

test('where the graphics pipeline draws and is not read, a message is refused in words', {
  timeout: 120_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp')) return;
  const { gateway } = await connected(t, startShadow(), [...user, '/gfx:AVC420'], 'none', startXfreerdp, {
    paintsPipeline: false,
  });
  await assert.rejects(message(gateway, 5), /its graphics pipeline draws the desktop and is not read/);
});
