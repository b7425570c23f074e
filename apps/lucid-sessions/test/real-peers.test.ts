/**
 * Real clients through the whole gateway to real servers, with an independent tap on the wire: what was typed arrives, the
 * screen is the one without the gateway, the recording holds every byte, and it verifies.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FastPathUpdateCode, PduType2, StreamInspector } from '@lucid-sessions/rdp';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import {
  eventually,
  type PeerClient,
  type PeerName,
  type PeerServer,
  skipUnlessPeers,
  startRdesktop,
  startShadow,
  startTap,
  startWeston,
  startXfreerdp,
  startXrdp,
  temporaryDirectory,
  xrdpUser,
} from '@lucid-sessions/testkit';
import {
  armSession,
  chunkPath,
  type Gateway,
  readRecording,
  sessionIn,
  startGateway,
  verifySession,
} from './support/gateway.ts';
import { coloursCount, comparePngs, type Rectangle } from './support/pictures.ts';
import { assertSameStream } from './support/streams.ts';

interface Case {
  name: string;
  flags: string[];
  /** Codecs that lose a little: the picture is compared by PSNR. */
  lossy?: boolean;
  graphics?: 'classic';
}

/** The clock's hands move on, the eyes follow the pointer; both with the client window's decoration around them. */
const moving: Rectangle[] = [
  { left: 680, top: 280, width: 300, height: 300 },
  { left: 680, top: 30, width: 300, height: 250 },
];
const westonMoving: Rectangle[] = [{ left: 0, top: 0, width: 1280, height: 60 }];
const psnrDbMin = 30;
/** Clients end by a signal: what the server sent so short before may be on the way still, and is lost as without a gateway. */
const onTheWayMsMax = 2000;
/** Clients are ended by a signal and say no goodbye: their sessions would wait for them to come back. */
const withoutReturn = { LUCID_RECONNECT_SECONDS: '0' };
const xrdpFlags = [`/u:${xrdpUser.userName}`, `/p:${xrdpUser.password}`];

interface Scene {
  gateway: Gateway;
  server: PeerServer;
  /** Starts the client at `address`, with the routing line when it goes through the gateway. */
  connect(address: string, routingToken: string | null): Promise<PeerClient>;
  typed: string | null;
  except: readonly Rectangle[];
  lossy: boolean;
  graphics?: 'classic';
  /** The session's user name, where the client is found by its mstshash cookie. */
  username?: string;
}

/** Waits until the screen has colours and stays the same for a moment. */
async function settledScreenshot(client: PeerClient, path: string): Promise<void> {
  let last: Buffer | null = null;
  await eventually(
    'a screen that has settled',
    async () => {
      await sleep(700);
      await client.screenshot(path);
      const now = readFileSync(path);
      const settled = last !== null && coloursCount(path, 20) >= 20 && Buffer.compare(now, last) === 0;
      const moves = last !== null && coloursCount(path, 20) >= 20 && now.length > 0;
      last = now;
      // A clock that ticks never settles: two looks with a picture in them are enough then.
      return settled || moves;
    },
    30_000,
  );
}

async function typeUntilThere(client: PeerClient, server: PeerServer, text: string): Promise<void> {
  await eventually(
    `"${text}" typed on the server`,
    async () => {
      await client.click(200, 200);
      await client.type(text);
      for (let look = 0; look < 10; look += 1) {
        if (server.typedLines().some((line) => line.includes(text))) return true;
        await sleep(100);
      }
      return false;
    },
    40_000,
  );
}

/** One session through the gateway, all that is promised of it checked, and its screen compared with a direct one. */
async function record(t: TestContext, scene: Scene): Promise<string> {
  const { gateway, server } = scene;
  const directory = temporaryDirectory('shots');
  const tap = await startTap({ host: '127.0.0.1', port: server.port });
  t.after(() => tap.stop());
  const { id, routingToken } = await armSession(gateway, tap.port, {
    rdp_config: scene.username === undefined ? {} : { username: scene.username },
    recording_config: scene.graphics === undefined ? {} : { graphics: scene.graphics },
  });

  const through = await scene.connect(`127.0.0.1:${gateway.rdpPort}`, routingToken);
  t.after(() => through.stop());
  await sessionIn(gateway, id, 'recording');
  if (scene.typed !== null) await typeUntilThere(through, server, scene.typed);
  await settledScreenshot(through, join(directory, 'through.png'));
  const closedAtMs = performance.now();
  await through.closeClient();

  const session = await sessionIn(gateway, id, 'completed');
  assert.ok((session.statistics.frame_count ?? 0) > 20);
  assert.equal(session.statistics.dropped_frames, 0);
  const frames = await readRecording(gateway, id);
  assert.equal(tap.connectionsCount, 1);
  const seen = tap.connection(0);
  const up = assertSameStream(frames, 'client_to_server', 'receiver', seen.clientToServer);
  const tailBytesMax = seen.serverToClient.length - tap.crossedBy(0, closedAtMs - onTheWayMsMax).serverToClient;
  assertSameStream(frames, 'server_to_client', 'sender', seen.serverToClient, tailBytesMax);
  assert.ok(up.bytes > 0);
  for (const { body } of frames)
    assert.equal(
      Buffer.from(body.buffer, body.byteOffset, body.length).includes(Buffer.from(xrdpUser.password, 'utf16le')),
      false,
    );
  const report = await verifySession(gateway, id);
  assert.deepEqual(report.findings, []);
  assert.equal(report.verdicts.completeness, 'whole');
  assert.equal(report.facts.downgrades.length > 0, scene.graphics === 'classic');

  const direct = await scene.connect(`127.0.0.1:${server.port}`, null);
  t.after(() => direct.stop());
  await sleep(1500);
  const look = async () => {
    await direct.click(200, 200);
    await settledScreenshot(direct, join(directory, 'direct.png'));
    return comparePngs(join(directory, 'through.png'), join(directory, 'direct.png'), scene.except);
  };
  // A click that came while the desktop was still being drawn gives no focus: the terminal's cursor stays hollow, 78 pixels of it.
  let comparison = await look();
  for (let left = 4; left > 0 && comparison.differentCount > 0 && !scene.lossy; left -= 1) comparison = await look();
  await direct.closeClient();
  if (scene.lossy) assert.ok(comparison.psnrDb >= psnrDbMin, `PSNR ${comparison.psnrDb.toFixed(1)} dB`);
  else assert.equal(comparison.differentCount, 0, `${comparison.differentCount} pixels differ`);
  return id;
}

const xfreerdp =
  (flags: readonly string[]) =>
  (address: string, routingToken: string | null): Promise<PeerClient> =>
    startXfreerdp(
      address,
      '-decorations',
      ...flags,
      ...(routingToken === null ? [] : [`/load-balance-info:Cookie: msts=${routingToken}`]),
    );

/** What crossed, told by this project's own inspector. */
function kindsOf(frames: readonly Frame[]): { slowPathInput: number; orders: number; channels: Set<string> } {
  const inspector = new StreamInspector();
  const kinds = { slowPathInput: 0, orders: 0, channels: new Set<string>() };
  for (const frame of frames) {
    if (frame.kind !== frameKinds.pdu || (frame.flags & frameFlags.receivedOnly) !== 0) continue;
    const sender = (frame.flags & frameFlags.serverToClient) === 0 ? 'client' : 'server';
    for (const event of inspector.push(sender, frame.body)) {
      if (event.kind === 'shareData' && event.pdu.pduType2 === PduType2.input) kinds.slowPathInput += 1;
      if (event.kind === 'fastPathUpdate' && event.updateCode === FastPathUpdateCode.orders) kinds.orders += 1;
      if (event.kind === 'channelChunk') kinds.channels.add(event.channelName);
    }
  }
  return kinds;
}

function cases(
  server: string,
  peers: PeerName[],
  start: () => Promise<PeerServer>,
  list: readonly Case[],
  common: { flags: readonly string[]; typed: boolean; except: readonly Rectangle[] },
): void {
  test(`xfreerdp to ${server}`, { timeout: 600_000 }, async (t) => {
    if (skipUnlessPeers(t, 'xfreerdp', ...peers)) return;
    const peer = await start();
    t.after(() => peer.stop());
    const gateway = await startGateway(t, withoutReturn);
    for (const [index, { name, flags, lossy, graphics }] of list.entries())
      await t.test(name, async (inner) => {
        const id = await record(inner, {
          gateway,
          server: peer,
          connect: xfreerdp([...common.flags, ...flags]),
          typed: common.typed ? `lucid${index}` : null,
          except: common.except,
          lossy: lossy === true,
          ...(graphics === undefined ? {} : { graphics }),
        });
        if (index === 0) await flippedByteIsFound(gateway, id);
      });
    assert.deepEqual(
      gateway.logged.filter((line) => line.includes(xrdpUser.password)),
      [],
    );
  });
}

/** A single flipped byte fails the verification and names the chunk. */
async function flippedByteIsFound(gateway: Gateway, id: string): Promise<void> {
  const path = await chunkPath(gateway, id, 1);
  const file = readFileSync(path);
  const broken = Buffer.from(file);
  broken[Math.floor(broken.length / 2)]! ^= 1;
  writeFileSync(path, broken);
  const report = await verifySession(gateway, id);
  assert.equal(report.clean, false);
  assert.equal(report.verdicts.integrity, 'broken');
  assert.deepEqual(
    report.findings.map(({ code, index }) => ({ code, index })),
    [{ code: 'CHUNK_ALTERED', index: 0 }],
  );
  writeFileSync(path, file);
}

describe('real peers through the gateway', () => {
  cases(
    'freerdp-shadow',
    ['shadow'],
    startShadow,
    [
      { name: 'default flags', flags: [], lossy: true },
      { name: '/bpp:16', flags: ['/bpp:16'] },
      { name: '/bpp:32', flags: ['/bpp:32'] },
      { name: '/rfx', flags: ['/rfx'], lossy: true },
      { name: '/gfx:AVC420', flags: ['/gfx:AVC420'], lossy: true },
      // Through the gateway it is brought down to bitmaps: lossless there, H.264 without it.
      { name: '/gfx:AVC420, classic graphics', flags: ['/gfx:AVC420'], lossy: true, graphics: 'classic' },
    ],
    { flags: ['/u:test', '/p:test'], typed: true, except: moving },
  );
  cases(
    'xrdp Xorg',
    ['xrdp'],
    startXrdp,
    [
      { name: 'default flags', flags: ['/d:Xorg'] },
      { name: '/bpp:16', flags: ['/d:Xorg', '/bpp:16'] },
      { name: '/bpp:32', flags: ['/d:Xorg', '/bpp:32'] },
      { name: '/rfx', flags: ['/d:Xorg', '/rfx', '/network:lan'], lossy: true },
    ],
    { flags: xrdpFlags, typed: true, except: moving },
  );
  cases('xrdp Xvnc', ['xrdp'], startXrdp, [{ name: 'default flags', flags: ['/d:Xvnc'] }], {
    flags: xrdpFlags,
    typed: true,
    except: moving,
  });
  cases('weston', ['weston'], startWeston, [{ name: 'default flags', flags: ['/u:test', '/p:test'], lossy: true }], {
    flags: [],
    typed: false,
    except: westonMoving,
  });

  test('rdesktop to xrdp: slow-path input, drawing orders, a shared drive', { timeout: 300_000 }, async (t) => {
    if (skipUnlessPeers(t, 'xrdp', 'rdesktop')) return;
    const server = await startXrdp();
    t.after(() => server.stop());
    const gateway = await startGateway(t, withoutReturn);
    const drive = temporaryDirectory('drive');
    writeFileSync(join(drive, 'note.txt'), 'a file on the shared drive');
    const { userName, password } = xrdpUser;
    const flags = ['-u', userName, '-p', password, '-d', 'Xorg', '-a', '16', '-r', `disk:share=${drive}`];
    const id = await record(t, {
      gateway,
      server,
      // rdesktop takes no routing token: the session is found by the user name it sends as mstshash.
      connect: (address) => startRdesktop(address, ...flags),
      typed: 'lucid-rdesktop',
      except: moving,
      lossy: false,
      username: userName,
    });
    const kinds = kindsOf(await readRecording(gateway, id));
    assert.ok(kinds.slowPathInput > 0, 'rdesktop sends its input by slow-path');
    assert.ok(kinds.orders > 0, 'xrdp draws with orders');
    assert.ok(kinds.channels.has('rdpdr'), 'the drive was announced');
  });
});
