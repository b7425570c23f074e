/** Pictures the server draws for viewers that have no H.264: by REST, and in a browser without WebCodecs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createPixelBuffer, markImported, paintScreen, SessionDecoder } from '@lucid-sessions/graphics';
import { createH264Decoder } from '@lucid-sessions/node';
import { type Frame, traceOf } from '@lucid-sessions/recording';
import { drawFrame, isReplayed } from '@lucid-sessions/recording/replay';
import { skipUnlessPeers } from '@lucid-sessions/testkit';
import type { BrowserContext } from 'playwright-core';
import { PNG } from 'pngjs';
import { Output } from '../src/cli/output.ts';
import { importCapture } from '../src/commands/import.ts';
import type { SessionAnswer } from '../src/commands/sessions.ts';
import { makeToken } from '../src/commands/token.ts';
import { loadAdminToken, signingSecret } from '../src/server/admin-token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { type Gateway, readRecording, startGateway } from './support/gateway.ts';
import { RawClient } from './support/raw-client.ts';

const capture = join(import.meta.dirname, '../../../testkit/captures/shadow-gfx-avc420.rdpcap.gz');

/** A real session of H.264, as a recording of this installation. */
async function importH264({ api }: Gateway): Promise<SessionAnswer> {
  const parts: string[] = [];
  const output = new Output({ stdout: { write: (text) => parts.push(text) }, stderr: { write: () => {} } }, true);
  assert.equal(await importCapture(output, capture, { keylog: [] }, () => api), 0);
  const { imported } = JSON.parse(parts.join('')) as { imported: { session: SessionAnswer }[] };
  return imported[0]!.session;
}

/** What the recording shows at a moment, drawn here from its first frame. */
async function drawn(frames: readonly Frame[], untilUs: number, pointer = false): Promise<PNG> {
  const decoder = new SessionDecoder({ createH264Decoder: () => createH264Decoder() });
  for (const frame of frames) if (frame.timeUs <= untilUs && isReplayed(frame)) await drawFrame(decoder, frame);
  await decoder.settle();
  const picture = createPixelBuffer(decoder.screen.width, decoder.screen.height);
  paintScreen(picture, decoder.screen, pointer);
  markImported(picture);
  decoder.close();
  const png = new PNG({ width: picture.width, height: picture.height });
  png.data.set(picture.data);
  return png;
}

/** Alpha aside. */
function differing(a: PNG, b: PNG): number {
  assert.deepEqual([a.width, a.height], [b.width, b.height]);
  let count = 0;
  for (let at = 0; at < a.data.length; at += 4)
    if (a.data[at] !== b.data[at] || a.data[at + 1] !== b.data[at + 1] || a.data[at + 2] !== b.data[at + 2]) count += 1;
  return count;
}

async function pictureOf(api: RawClient, id: string, timeUs: number): Promise<PNG> {
  const answer = await api.send('GET', `/sessions/${id}/picture?pointer=false&time_us=${timeUs}`);
  assert.equal(answer.headers.get('content-type'), 'image/png');
  assert.equal(answer.headers.get('x-h264-decoder'), 'ffmpeg');
  const shownUs = Number(answer.headers.get('x-time-us'));
  assert.ok(shownUs <= timeUs);
  const png = Buffer.from(await answer.arrayBuffer());
  const digest = createHash('sha256').update(png).digest('base64');
  assert.equal(answer.headers.get('repr-digest'), `sha-256=:${digest}:`);
  const { merkle_root: root } = await api.json<{ merkle_root: string }>('GET', `/sessions/${id}`);
  assert.deepEqual([answer.headers.get('x-lucid-session'), answer.headers.get('x-lucid-root')], [id, root]);
  assert.deepEqual(JSON.parse(traceOf(png) ?? ''), {
    ...{ v: 1, session_id: id, merkle_root: root, from_us: shownUs, to_us: shownUs },
    pixels_sha256: null,
  });
  return PNG.sync.read(png);
}

const lastUs = (frames: readonly Frame[]): number => frames.at(-1)!.timeUs;

/** One installation and one recording serve all that looks at it. */
interface Imported {
  gateway: Gateway;
  id: string;
  frames: Frame[];
}

async function drawnOfAnyMoment({ gateway, id, frames }: Imported): Promise<void> {
  const { api, lucid } = gateway;
  const endUs = lastUs(frames);
  // On, back, and back before where the recording was entered; then to the end.
  for (const share of [0.7, 0.9, 0.5, 1])
    assert.equal(
      differing(await pictureOf(api, id, endUs * share), await drawn(frames, endUs * share)),
      0,
      `at ${share}`,
    );
  assert.equal(differing(await pictureOf(api, id, endUs + 60_000_000), await drawn(frames, endUs)), 0);
  const pointed = await (await api.send('GET', `/sessions/${id}/picture`)).arrayBuffer();
  assert.equal(differing(PNG.sync.read(Buffer.from(pointed)), await drawn(frames, endUs, true)), 0, 'with the pointer');

  const { events } = await api.json<{ events: { event_type: string; details: { view?: string } }[] }>(
    'GET',
    `/audit?resource_id=${id}&limit=200`,
  );
  const told = events.filter(({ details }) => details.view === 'pictures');
  assert.deepEqual(
    told.map(({ event_type }) => event_type),
    ['playback_started'],
  );
  type Records = { records: { kind: string; body: { detail?: string } }[] };
  const { records } = await api.json<Records>('GET', `/sessions/${id}/manifest`);
  assert.equal(records.filter(({ kind, body }) => kind === 'custody' && body.detail === 'pictures').length, 1);

  await assert.rejects(api.send('GET', `/sessions/${id}/picture?time_us=0`), /no desktop is shown at that time/);
  await assert.rejects(api.send('GET', `/sessions/${id}/picture?time_us=-1`), /whole number/);
  await assert.rejects(api.send('GET', `/sessions/${id}/picture?pointer=maybe`), /pointer/);
  const token = await makeToken(signingSecret(lucid.directory, {})!, {
    userId: 'eve',
    roles: ['session_viewer'],
    lifetimeS: 60,
  });
  const viewer = new RawClient({ url: lucid.addresses.api ?? '', token });
  await assert.rejects(viewer.send('GET', `/sessions/${id}/picture`), /chunks:download/);
}

/** In the player's worker, before its own code. */
const hidings = {
  'no WebCodecs': { code: 'delete globalThis.VideoDecoder;', text: /it has no WebCodecs/ },
  'no H.264 in it': {
    code: 'VideoDecoder.isConfigSupported = async (config) => ({ supported: false, config });',
    text: /it has no decoder for this kind of H\.264/,
  },
} as const;

async function hideH264(context: BrowserContext, code: string): Promise<void> {
  await context.route('**/assets/worker-*', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${code}\n${await response.text()}` });
  });
}

const screenshots = process.env.LUCID_SCREENSHOTS;

async function shownWithoutH264(t: TestContext, { gateway, id, frames }: Imported): Promise<void> {
  const endUs = lastUs(frames);
  const browser = await startBrowser(t);
  for (const [name, { code, text }] of Object.entries(hidings))
    await t.test(name, (t) => shownByServer(t, code, text, code !== hidings['no WebCodecs'].code));

  async function shownByServer(t: TestContext, code: string, text: RegExp, isBrief: boolean): Promise<void> {
    const consolePage = await ConsolePage.open(browser, gateway.lucid.addresses.api ?? '');
    const { page } = consolePage;
    t.after(() => page.context().close());
    await hideH264(page.context(), code);
    await consolePage.signIn((await loadAdminToken(gateway.lucid.directory, {}))?.token ?? '');
    let [asked, underWay, together] = [0, 0, 0];
    page.context().on('request', (request) => {
      if (!request.url().includes('/picture?')) return;
      asked += 1;
      underWay += 1;
      together = Math.max(together, underWay);
    });
    page.context().on('requestfinished', (request) => {
      if (request.url().includes('/picture?')) underWay -= 1;
    });
    const at = endUs * 0.7;
    await page.goto(`${gateway.lucid.addresses.api}/sessions/${id}#t=${at / 1e6}`);
    await consolePage.waitForPicture();
    await page.getByRole('status').getByText(text).waitFor();
    await page.getByText('The server draws them instead').waitFor();
    await page.getByRole('button', { name: 'Show the pointer' }).click();
    assert.equal(differing(await consolePage.canvas(), await drawn(frames, at)), 0, 'where it was opened');
    if (isBrief) return;
    const seek = async (timeUs: number): Promise<void> => {
      await page.evaluate((seconds) => {
        (document.querySelector('lucid-player') as unknown as { seek(seconds: number): void }).seek(seconds);
      }, timeUs / 1e6);
      await consolePage.restingAt(timeUs / 1e6, 0.01);
    };
    for (const share of [0.9, 0.4]) {
      await seek(endUs * share);
      assert.equal(
        differing(await consolePage.canvas(), await drawn(frames, Math.round(endUs * share))),
        0,
        `at ${share}`,
      );
    }
    if (screenshots !== undefined) {
      mkdirSync(screenshots, { recursive: true });
      await page.screenshot({ path: join(screenshots, 'no-webcodecs.png') });
    }
    const before = { asked, seconds: (await consolePage.state()).currentTime };
    await consolePage.focusPicture();
    await page.keyboard.press('k');
    await consolePage.ended();
    const played = (await consolePage.state()).currentTime - before.seconds;
    // One a second and one at the end; the first at once.
    assert.ok(asked - before.asked <= Math.ceil(played) + 2, `${asked - before.asked} pictures in ${played} s`);
    assert.ok(asked - before.asked >= 2, `${asked - before.asked} pictures in ${played} s`);
    assert.equal(together, 1);
    assert.equal(differing(await consolePage.canvas(), await drawn(frames, endUs)), 0, 'at the end');
    assert.deepEqual(consolePage.problems, []);
  }
}

test('pictures of H.264 for who has no decoder', { timeout: 300_000 }, async (t) => {
  if (skipUnlessPeers(t, 'ffmpeg')) return;
  const gateway = await startGateway(t);
  const { session_id: id } = await importH264(gateway);
  const imported = { gateway, id, frames: await readRecording(gateway, id) };
  await t.test('the server draws any moment, tells one viewing once, and shows it to who may play it', () =>
    drawnOfAnyMoment(imported),
  );
  await t.test('a browser that lacks H.264 says so in words and shows what the server draws', async (t) => {
    if (!skipUnlessPeers(t, 'chromium')) await shownWithoutH264(t, imported);
  });
});

test('without a decoder the server says which to install', async (t) => {
  const { PATH } = process.env;
  // Before the thread that draws begins: it takes its environment with it.
  process.env.PATH = '/nowhere';
  t.after(() => {
    process.env.PATH = PATH;
  });
  const gateway = await startGateway(t);
  const { session_id: id } = await importH264(gateway);
  await assert.rejects(gateway.api.send('GET', `/sessions/${id}/picture`), /install ffmpeg.*npm install/);
});
