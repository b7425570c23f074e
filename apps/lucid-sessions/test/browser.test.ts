/**
 * The whole way in real programs: FreeRDP's client works on FreeRDP's server through the gateway, then Debian's chromium opens
 * the console, finds the recording, plays it, seeks, searches, checks the evidence, and at the end shows what the client showed.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  eventually,
  type PeerServer,
  skipUnlessPeers,
  startShadow,
  startXfreerdp,
  temporaryDirectory,
} from '@lucid-sessions/testkit';
import type { Browser } from 'playwright-core';
import { PNG } from 'pngjs';
import { loadAdminToken } from '../src/server/admin-token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { armSession, type Gateway, sessionIn, startGateway } from './support/gateway.ts';
import { comparePictures, cropPicture, type Rectangle } from './support/pictures.ts';

interface Look {
  name: string;
  flags: readonly string[];
  typed: string;
  /** Codecs that lose a little: decoders may round differently, so the picture is compared by PSNR. */
  lossy: boolean;
}

const looks: readonly Look[] = [
  { name: 'Lossless bitmaps', flags: ['/bpp:32'], typed: 'lucid-lossless', lossy: false },
  { name: 'RemoteFX', flags: ['/rfx'], typed: 'lucid-remotefx', lossy: true },
  { name: 'H.264', flags: ['/gfx:AVC420'], typed: 'lucid-avc', lossy: true },
];
const desktop = { width: 1024, height: 768 } as const;
/** The clock's hand moves on while the screenshot is taken, and the eyes follow the pointer. */
const moving: readonly Rectangle[] = [
  { left: 690, top: 290, width: 220, height: 220 },
  { left: 690, top: 40, width: 220, height: 170 },
];
const psnrDbMin = 38;
const verdicts = ['Integrity: unaltered', 'Completeness: whole', 'Origin: trusted recorder', 'Time: logged'] as const;
/** Where to leave pictures of the pages, for the documentation. */
const screenshotsDirectory = process.env.SCREENSHOTS_DIR;

/** A session of a real client; answers its id and what the client's window showed last. */
async function record(t: TestContext, gateway: Gateway, server: PeerServer, look: Look): Promise<[string, PNG]> {
  const directory = temporaryDirectory('browser');
  const { id, routingToken } = await armSession(gateway, server.port, { name: look.name });
  const client = await startXfreerdp(
    `127.0.0.1:${gateway.rdpPort}`,
    '/u:test',
    '/p:test',
    '-decorations',
    ...look.flags,
    `/load-balance-info:Cookie: msts=${routingToken}`,
  );
  t.after(() => client.stop());
  await sessionIn(gateway, id, 'recording');
  await eventually(
    `"${look.typed}" typed on the server`,
    async () => {
      await client.click(200, 200);
      await client.type(look.typed);
      await sleep(500);
      return server.typedLines().some((line) => line.includes(look.typed));
    },
    40_000,
  );
  // Lossy codecs send a first rough picture: what follows has to have arrived before the screenshot.
  await sleep(1500);
  const path = join(directory, 'client.png');
  await client.screenshot(path);
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');
  return [id, cropPicture(PNG.sync.read(readFileSync(path)), desktop.width, desktop.height)];
}

async function seeksWhereItIsTold(consolePage: ConsolePage, address: string): Promise<void> {
  const { page, timeline } = consolePage;
  const { duration } = await consolePage.state();
  const box = (await timeline.boundingBox())!;
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await consolePage.restingAt(duration / 2, duration / 20);

  await consolePage.focusPicture();
  await page.keyboard.press('Home');
  await consolePage.restingAt(0);
  await timeline.focus();
  await page.keyboard.press('ArrowRight');
  const later = Math.min(5, duration);
  await consolePage.restingAt(later);
  // The address follows a picture that rests: only then may a new one be given without the two crossing.
  const link = `#t=${later.toFixed(3).replace(/\.?0+$/, '')}`;
  await page.waitForURL((url) => url.hash === link);

  const moment = Math.floor(duration * 500) / 1000;
  await page.goto(`${address}#t=${moment}`);
  await consolePage.restingAt(moment);
  const there = await consolePage.canvas();
  await page.reload();
  await consolePage.waitForPicture();
  await consolePage.restingAt(moment);
  assert.ok((await consolePage.canvas()).data.equals(there.data), 'the same moment gives the same picture');
}

async function findsWhatWasTyped(consolePage: ConsolePage, typed: string): Promise<void> {
  const { page, events } = consolePage;
  // FreeRDP's shadow tells of no logon: all that is typed there may be a password, and is asked for apart.
  await events.getByRole('button', { name: 'Show what was typed before the logon' }).click();
  await consolePage.focusPicture();
  await page.keyboard.press('/');
  await page.keyboard.type(typed);
  const found = events.getByRole('button', { name: new RegExp(`typed.*${typed}`, 's') }).first();
  await found.click();
  await consolePage.page.waitForFunction(() => {
    const player = document.querySelector('lucid-player') as unknown as { currentTime: number; state: string };
    return player.currentTime > 0 && player.state === 'paused';
  });
  assert.equal(await events.getByText('the client disconnected').count(), 0, 'what does not match is not listed');
  await events.getByRole('searchbox').fill('');
  await events.getByText('the client disconnected').waitFor();
}

async function playsToTheEnd(consolePage: ConsolePage): Promise<PNG> {
  const { page } = consolePage;
  await consolePage.focusPicture();
  await page.keyboard.press('Home');
  await consolePage.restingAt(0);
  await page.getByRole('combobox', { name: 'Speed' }).selectOption('16');
  // The client's own pointer is no part of its screenshot.
  await page.getByRole('button', { name: 'Show the pointer' }).click();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await consolePage.ended();
  return consolePage.canvas();
}

async function leavePictures({ page }: ConsolePage, name: string): Promise<void> {
  if (screenshotsDirectory === undefined) return;
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await sleep(300);
    await page.screenshot({ path: join(screenshotsDirectory, `${name}-${colorScheme}.png`) });
  }
}

async function lookAt(t: TestContext, browser: Browser, gateway: Gateway, server: PeerServer, look: Look) {
  const [id, expected] = await record(t, gateway, server, look);
  const address = new URL('/', gateway.lucid.addresses.api).href;
  const consolePage = await ConsolePage.open(browser, address);
  await consolePage.signIn((await loadAdminToken(gateway.lucid.directory, {}))?.token ?? '');
  if (look === looks.at(-1)) {
    await consolePage.page.getByRole('link', { name: look.name }).waitFor();
    await leavePictures(consolePage, 'sessions');
  }
  await consolePage.openSession(look.name);
  const sessionAddress = `${address}sessions/${id}`;
  assert.equal(consolePage.page.url().split('#')[0], sessionAddress);
  for (const verdict of verdicts) await consolePage.evidence.getByText(verdict, { exact: true }).waitFor();
  await seeksWhereItIsTold(consolePage, sessionAddress);
  await findsWhatWasTyped(consolePage, look.typed);
  const shown = await playsToTheEnd(consolePage);
  if (!look.lossy) await leavePictures(consolePage, 'session');

  const { differentCount, psnrDb } = comparePictures(shown, expected, moving);
  t.diagnostic(`${look.name}: ${differentCount} pixels differ, PSNR ${psnrDb.toFixed(1)} dB`);
  if (look.lossy) assert.ok(psnrDb >= psnrDbMin, `PSNR ${psnrDb.toFixed(1)} dB`);
  else assert.equal(differentCount, 0, `${differentCount} pixels differ`);
  assert.ok(
    consolePage.requests.some((path) => /\/chunks\/[^/]+\/download$/.test(path)),
    'requests of the player’s worker are seen here',
  );
  assert.deepEqual(consolePage.problems, []);
  await consolePage.page.context().close();
}

test('a real client is recorded, then looked at in a real browser', { timeout: 300_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xfreerdp', 'chromium')) return;
  const server = await startShadow();
  t.after(() => server.stop());
  // xfreerdp is ended by a signal and says no goodbye: its session would wait for it to come back.
  const gateway = await startGateway(t, { LUCID_RECONNECT_SECONDS: '0' });
  const page = await fetch(new URL('/', gateway.lucid.addresses.api));
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/);
  const browser = await startBrowser(t);
  for (const look of looks) await t.test(look.name, (inner) => lookAt(inner, browser, gateway, server, look));
});
