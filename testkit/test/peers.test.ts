import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ClientOptions, connectClient, startDesktop } from '@lucid-sessions/desktop';
import { clientCapabilities, ErrorInfo } from '@lucid-sessions/rdp';
import { PNG } from 'pngjs';
import {
  eventually,
  type PeerClient,
  type PeerServer,
  peersMissing,
  skipUnlessPeers,
  startRdesktop,
  startShadow,
  startWeston,
  startXfreerdp,
  startXrdp,
  xrdpUser,
} from '../src/peers.ts';

/** Real clients against our desktop, our client against real servers. */

const directory = mkdtempSync(join(tmpdir(), 'lucid-peers-test-'));
after(() => rmSync(directory, { recursive: true, force: true }));

/** How many pixels of a picture have the desktop's terminal color: proof that a client decoded what we sent. */
function terminalPixels(png: PNG): number {
  let count = 0;
  for (let at = 0; at < png.data.length; at += 4) {
    const [red, green, blue] = png.data.subarray(at, at + 3);
    if (Math.abs(red! - 0x10) < 9 && Math.abs(green! - 0x14) < 9 && Math.abs(blue! - 0x1a) < 9) count += 1;
  }
  return count;
}

const clients: { name: string; peer: 'xfreerdp' | 'rdesktop'; start: (target: string) => Promise<PeerClient> }[] = [
  { name: 'xfreerdp', peer: 'xfreerdp', start: (to) => startXfreerdp(to, '/u:alice', '/p:x', '/size:800x600') },
  {
    name: 'xfreerdp at 16 bpp',
    peer: 'xfreerdp',
    start: (to) => startXfreerdp(to, '/u:alice', '/p:x', '/size:800x600', '/bpp:16'),
  },
  {
    name: 'xfreerdp without fast-path',
    peer: 'xfreerdp',
    start: (to) => startXfreerdp(to, '/u:alice', '/p:x', '/size:800x600', '/bpp:24', '-fast-path'),
  },
  {
    name: 'rdesktop at 16 bpp',
    peer: 'rdesktop',
    start: (to) => startRdesktop(to, '-u', 'alice', '-g', '800x600', '-a', '16'),
  },
  {
    name: 'rdesktop at 32 bpp',
    peer: 'rdesktop',
    start: (to) => startRdesktop(to, '-u', 'alice', '-g', '800x600', '-a', '32'),
  },
];

for (const { name, peer, start } of clients)
  test(`${name} shows our desktop and types into it`, async (t) => {
    if (skipUnlessPeers(t, peer)) return;
    const desktop = await startDesktop();
    const client = await start(`127.0.0.1:${desktop.port}`);
    try {
      await eventually('an active session', () => desktop.sessionsCount() === 1);
      const path = join(directory, 'shot.png');
      await eventually('the terminal on the screen', async () => {
        await client.screenshot(path);
        return terminalPixels(PNG.sync.read(readFileSync(path))) > 100_000;
      });
      await client.click(100, 100);
      await client.type('Hello from outside!');
      await eventually('the typed line', () => desktop.typedLines().includes('Hello from outside!'));
      assert.deepEqual(desktop.users(), ['alice']);
    } finally {
      await client.stop();
      await desktop.stop();
    }
  });

test('xfreerdp learns why it is refused', async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp')) return;
  const desktop = await startDesktop({ refuseWith: ErrorInfo.serverDeniedConnection.code });
  const client = await startXfreerdp(`127.0.0.1:${desktop.port}`, '/u:alice', '/p:x');
  try {
    await eventually('the error in its log', () => client.log('client').includes('ERRINFO_SERVER_DENIED_CONNECTION'));
  } finally {
    await client.stop();
    await desktop.stop();
  }
});

async function useServer(server: PeerServer, options: Omit<ClientOptions, 'port'>, types: boolean): Promise<void> {
  for (const bitsPerPixel of [16, 24, 32] as const) {
    const client = await connectClient({ port: server.port, screenshots: true, bitsPerPixel, ...options });
    await eventually('a picture', () => new Set(new Uint32Array(client.screenshot().rgba.buffer)).size > 4);
    if (types) {
      // The terminal takes the focus with the pointer; until it does, keys go nowhere.
      await eventually(`typed ${bitsPerPixel}`, async () => {
        client.click(200, 200);
        await client.type(`depth ${bitsPerPixel}\n`, 20);
        await client.nextUpdates(1, 500);
        return server.typedLines().includes(`depth ${bitsPerPixel}`);
      });
    }
    assert.equal(client.unsupported().size, 0);
    await client.close();
  }
}

test('our client uses FreeRDP’s shadow server', async (t) => {
  if (skipUnlessPeers(t, 'shadow')) return;
  const server = await startShadow();
  try {
    await useServer(server, {}, true);
  } finally {
    await server.stop();
  }
});

test('our client uses xrdp', async (t) => {
  if (skipUnlessPeers(t, 'xrdp')) return;
  const server = await startXrdp();
  try {
    await useServer(server, { ...xrdpUser, domain: 'Xorg', timeoutMs: 30_000 }, true);
  } finally {
    await server.stop();
  }
});

test('our client uses Weston once it takes surface commands', async (t) => {
  if (skipUnlessPeers(t, 'weston')) return;
  const server = await startWeston();
  const capabilitySets: ClientOptions['capabilitySets'] = (shape) => [
    ...clientCapabilities(shape, 0x409),
    { kind: 'surfaceCommands', cmdFlags: 0x52, reserved: 0 },
    { kind: 'frameAcknowledge', maxUnacknowledgedFrameCount: 2 },
  ];
  try {
    await useServer(server, { capabilitySets }, false);
  } finally {
    await server.stop();
  }
});

test('missing peers are named', (t) => {
  const path = process.env.PATH;
  process.env.PATH = directory;
  try {
    assert.ok(peersMissing('xfreerdp').includes('xfreerdp'));
    const required = process.env.REQUIRE_PEERS;
    process.env.REQUIRE_PEERS = '1';
    assert.throws(() => skipUnlessPeers(t, 'xfreerdp'), /\.ci\/install-peers/);
    if (required === undefined) delete process.env.REQUIRE_PEERS;
    else process.env.REQUIRE_PEERS = required;
  } finally {
    process.env.PATH = path;
  }
});
