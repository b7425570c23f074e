/** The short form of `bench long-recording`: a looped capture in a real browser, sought from stored keyframes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rpcClient } from '@lucid-sessions/contract';
import { SessionDecoder } from '@lucid-sessions/graphics';
import { createFfmpegH264Decoder } from '@lucid-sessions/node';
import { frameFlags } from '@lucid-sessions/recording';
import { eventually, loopedFrames, skipUnlessPeers, writeLongRecording } from '@lucid-sessions/testkit';
import { loadAdminToken } from '../src/server/admin-token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { startGateway } from './support/gateway.ts';

const secret = 'the secret of this test alone, long enough';
const startedUs = 1_767_225_600_000_000;

/** The pictures at moments (in s, ascending), decoded from the first frame on. */
async function straightTo(capturePath: string, moments: readonly number[]): Promise<Buffer[]> {
  const decoder = new SessionDecoder({ createH264Decoder: () => createFfmpegH264Decoder() });
  const pictures: Buffer[] = [];
  const left = [...moments];
  try {
    for (const { timeUs, flags, body } of loopedFrames(capturePath, moments.at(-1)! * 1e6 + 10e6)) {
      for (; left.length > 0 && timeUs > left[0]! * 1e6; left.shift())
        pictures.push(Buffer.from(decoder.screen.pixels.data));
      if (left.length === 0) break;
      await decoder.push({ fromServer: (flags & frameFlags.serverToClient) !== 0, bytes: body });
    }
    return pictures;
  } finally {
    decoder.close();
  }
}

for (const [capture, seconds] of [
  ['gnome-type-gfx-default', 420],
  ['xorg-bpp32-nocomp', 420],
  // Not shadow-gfx-avc420: at 5 KB a second it has no keyframe within its share for the first ten minutes.
  ['shadow-default', 75],
] as const)
  test(`seeking in minutes of ${capture} shows what decoding from the beginning shows`, async (t) => {
    if (skipUnlessPeers(t, 'chromium', 'ffmpeg')) return;
    const gateway = await startGateway(t, { LUCID_SERVICE_SECRET: secret, LUCID_RATE_LIMIT_CHUNKS: '100000' });
    const { api, lucid } = gateway;
    const port = <P extends 'storage' | 'processor'>(name: P) =>
      rpcClient<P>(name, lucid.addresses[name] ?? '', { token: secret });
    const capturePath = new URL(`../../../testkit/captures/${capture}.rdpcap.gz`, import.meta.url).pathname;
    const sessionId = `long-${capture}`;
    await writeLongRecording(
      { storage: port('storage'), processor: port('processor') },
      { sessionId, capturePath, seconds, startedUs },
    );
    type List = { covered_chunks: number; keyframes: { number: number; time_us: number }[] };
    const list = await eventually(
      'keyframes of every chunk',
      async () => {
        const { pagination } = await api.json<{ pagination: { total: number } }>(
          'GET',
          `/sessions/${sessionId}/chunks`,
        );
        const found = await api.json<List>('GET', `/sessions/${sessionId}/keyframes`);
        return found.covered_chunks === pagination.total && found;
      },
      300_000,
    );
    assert.ok(list.keyframes.length > 0);
    await assert.rejects(api.send('GET', `/sessions/${sessionId}/keyframes/99999`), /no keyframe of this number/);

    const browser = await startBrowser(t);
    const consolePage = await ConsolePage.open(browser, lucid.addresses.api ?? '');
    await consolePage.signIn((await loadAdminToken(lucid.directory, {}))?.token ?? '');
    await consolePage.openSession(sessionId);
    await consolePage.page.getByRole('button', { name: 'Show the pointer' }).click();
    const moments = [0.93, 0.5, 0.99, 0.2, 0.71].map((part) => Math.floor(seconds * part));
    const ascending = moments.toSorted((one, other) => one - other);
    const pictures = await straightTo(capturePath, ascending);
    for (const moment of moments) {
      await consolePage.page.evaluate(
        (at) => (document.querySelector('lucid-player') as HTMLElement & { seek(seconds: number): void }).seek(at),
        moment,
      );
      await consolePage.restingAt(moment);
      const picture = pictures[ascending.indexOf(moment)]!;
      assert.ok((await consolePage.canvas()).data.equals(picture), `at ${moment} s`);
    }
    const fetched = consolePage.requests.filter((path) => /\/keyframes\/\d+$/.test(path));
    assert.ok(fetched.length > 0, 'stored keyframes were used');
    assert.deepEqual(consolePage.problems, []);
  });
