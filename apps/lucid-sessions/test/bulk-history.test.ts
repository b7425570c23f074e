/** A session long enough that the 2 MB history of RDP 6.1's bulk compression begins anew several times. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { StreamInspector } from '@lucid-sessions/rdp';
import { BulkDecompressor } from '@lucid-sessions/rdp/bulk';
import { type Frame, frameFlags, frameKinds } from '@lucid-sessions/recording';
import {
  eventually,
  skipUnlessPeers,
  startShadow,
  startTap,
  startXfreerdp,
  temporaryDirectory,
} from '@lucid-sessions/testkit';
import { PNG } from 'pngjs';
import { armSession, readRecording, sessionIn, startGateway } from './support/gateway.ts';
import { comparePictures, cropPicture } from './support/pictures.ts';

const updatesBytesMin = 10_000_000;
/** On the wire it is a third of that or less. */
const wireBytesMin = 3_500_000;
/** The clock and the eyes. */
const moving = [{ left: 680, top: 0, width: 344, height: 768 }];
const compressionType = 0x0f;
const rdp61 = 3;

/** Screens of text that is never the same, one after the other, until told to stop. */
const flood = (stop: string): string =>
  `until [ -e ${stop} ]; do head -c 3000 /dev/urandom | base64 -w 0; sleep 0.1; done; sleep 100`;

/** The size of the updates when they are decompressed, and how many PDUs RDP 6.1 compressed. */
function updatesOf(frames: readonly Frame[]): { bytes: number; rdp61Count: number } {
  const bulk = { client: new BulkDecompressor(), server: new BulkDecompressor() };
  let rdp61Count = 0;
  const inspector = new StreamInspector({
    client: (data, flags) => bulk.client.decompress(data, flags),
    server: (data, flags) => {
      if ((flags & compressionType) === rdp61) rdp61Count += 1;
      return bulk.server.decompress(data, flags);
    },
  });
  let bytes = 0;
  for (const { flags, body } of frames)
    for (const event of inspector.push((flags & frameFlags.serverToClient) === 0 ? 'client' : 'server', body)) {
      if (event.kind === 'fastPathUpdate' || event.kind === 'slowPathUpdate') bytes += event.data?.length ?? 0;
      assert.notEqual(event.kind, 'malformed');
    }
  return { bytes, rdp61Count };
}

test('a long session under RDP 6.1 compression ends in the picture that its client has', {
  timeout: 300_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'xfreerdp', 'shadow')) return;
  const shadow = await startShadow();
  t.after(() => shadow.stop());
  const tap = await startTap({ host: '127.0.0.1', port: shadow.port });
  t.after(() => tap.stop());
  const gateway = await startGateway(t, { LUCID_RECONNECT_SECONDS: '0' });
  const directory = temporaryDirectory('shots');
  const { id, routingToken } = await armSession(gateway, tap.port);
  const token = `/load-balance-info:Cookie: msts=${routingToken}`;
  const address = `127.0.0.1:${gateway.rdpPort}`;
  const client = await startXfreerdp(address, '-decorations', '/u:test', '/p:test', '/bpp:32', '+compression', token);
  t.after(() => client.stop());
  await sessionIn(gateway, id, 'recording');

  const stop = join(directory, 'stop');
  const place = ['-geometry', '100x20+20+400', '-fn', 'fixed', '-e', 'bash', '-c', flood(stop)];
  const terminal = spawn('xterm', place, { env: { ...process.env, DISPLAY: shadow.display }, stdio: 'ignore' });
  t.after(() => terminal.kill());
  await eventually('enough updates', async () => tap.connection(0).serverToClient.length > wireBytesMin, 120_000);
  writeFileSync(stop, '');
  const shot = join(directory, 'shot.png');
  let last: PNG | null = null;
  let same = 0;
  await eventually(
    'a terminal that has written all',
    async () => {
      await client.screenshot(shot);
      const now = PNG.sync.read(readFileSync(shot));
      same = last !== null && comparePictures(last, now, moving).differentCount === 0 ? same + 1 : 0;
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 500));
      return same === 3;
    },
    120_000,
  );
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');

  const delivered = ({ kind, flags }: Frame): boolean =>
    kind === frameKinds.pdu && (flags & frameFlags.receivedOnly) === 0;
  const frames = (await readRecording(gateway, id)).filter(delivered);
  const { bytes, rdp61Count } = updatesOf(frames);
  t.diagnostic(
    `${tap.connection(0).serverToClient.length} bytes on the wire, ${bytes} of updates, ${rdp61Count} PDUs of RDP 6.1`,
  );
  assert.ok(bytes > updatesBytesMin, `${bytes} bytes of updates`);
  assert.ok(rdp61Count > 0);
  const decoder = new SessionDecoder();
  for (const { flags, body } of frames)
    await decoder.push({ fromServer: (flags & frameFlags.serverToClient) !== 0, bytes: body });
  assert.deepEqual([...decoder.screen.unsupported], []);
  const drawn = new PNG({ width: decoder.screen.width, height: decoder.screen.height });
  drawn.data.set(decoder.screen.pixels.data);
  const { differentCount } = comparePictures(
    drawn,
    cropPicture(PNG.sync.read(readFileSync(shot)), drawn.width, drawn.height),
    moving,
  );
  assert.equal(differentCount, 0);
});
