/**
 * A session in nothing but a browser: Debian's chromium opens the console, connects, works on real RDP servers, and the recording
 * verifies, holds no password and shows what the page showed.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { startDesktop } from '@lucid-sessions/desktop';
import {
  eventually,
  type PeerServer,
  shadowUser,
  skipUnlessPeers,
  startShadow,
  startShadowNla,
  startXrdp,
  xrdpUser,
} from '@lucid-sessions/testkit';
import type { Browser, Page } from 'playwright-core';
import { PNG } from 'pngjs';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { startFive } from './support/five.ts';
import { armSession, type Gateway, sessionIn, startGateway, verifySession } from './support/gateway.ts';
import { comparePictures, type Rectangle } from './support/pictures.ts';

/** Where the API is, and who may ask it. */
interface Api extends Pick<Gateway, 'api'> {
  dataDir: string;
}

interface Target {
  name: string;
  server: Pick<PeerServer, 'port' | 'typedLines'>;
  user: { userName: string; password: string };
  /** xrdp chooses the kind of session by it. */
  domain?: string;
}

const typed = 'echo in-a-browser';
/** The clock's hands move on, and the eyes follow the pointer; where they are depends on the size of the desktop. */
const moving: readonly Rectangle[] = [{ left: 660, top: 20, width: 260, height: 560 }];
/** Pictures cross as RemoteFX: the two decoders may round differently. */
const psnrDbMin = 38;
/** Where to leave pictures of the page, for the documentation. */
const screenshotsDirectory = process.env.SCREENSHOTS_DIR;

/** The page of one session's desktop, from the console's list on. */
async function open({ api, dataDir }: Api, browser: Browser, name: string): Promise<ConsolePage> {
  const opened = await ConsolePage.open(browser, new URL('/', api.url).href);
  await opened.signIn(readFileSync(join(dataDir, 'secrets', 'admin-token'), 'utf8').trim());
  await opened.page.getByRole('link', { name: `Connect to ${name} in this browser` }).click();
  return opened;
}

async function logOn(page: Page, { user, domain = '' }: Target): Promise<void> {
  await page.getByLabel('User name').fill(user.userName);
  await page.getByLabel('Password').fill(user.password);
  await page.getByLabel('Domain').fill(domain);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
}

const typeInto = (page: Page, server: Target['server']): Promise<unknown> =>
  eventually(
    'it was typed',
    async () => {
      await page.locator('canvas').click({ position: { x: 200, y: 200 } });
      await page.keyboard.type(typed, { delay: 20 });
      await page.keyboard.press('Enter');
      await page.waitForTimeout(700);
      return server.typedLines().some((line) => line.includes(typed));
    },
    60_000,
  );

async function picture(page: Page): Promise<PNG> {
  const url = await page.evaluate(() => document.querySelector('canvas')!.toDataURL('image/png'));
  return PNG.sync.read(Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'));
}

/** Whether a pixel has about this colour: 16 bits are asked for before the target is known. */
async function shows(page: Page, colour: number): Promise<boolean> {
  const { data } = await picture(page);
  const wanted = [colour >> 16, (colour >> 8) & 0xff, colour & 0xff];
  for (let at = 0; at < data.length; at += 4)
    if (wanted.every((value, i) => Math.abs(data[at + i]! - value) <= 4)) return true;
  return false;
}

/** A host that demands NLA; its password is typed without Shift, which Playwright does not hold. */
async function nlaDesktop(t: TestContext) {
  const account = { username: 'webperson', password: `w3b-pass-${t.name.length}` };
  const desktop = await startDesktop({ now: () => new Date(0), account });
  t.after(() => desktop.stop());
  return { account, desktop, server: { port: desktop.port, typedLines: () => desktop.typedLines() } };
}

async function lastPicture({ api }: Api, id: string): Promise<PNG> {
  return eventually('the last picture', async () => {
    const answer = await api.send('GET', `/sessions/${id}/picture?pointer=false`).catch(() => null);
    return answer?.ok === true && PNG.sync.read(Buffer.from(await answer.arrayBuffer()));
  });
}

function* filesIn(directory: string): Generator<string> {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) yield* filesIn(path);
    else yield path;
  }
}

/** No file of the installation holds it, in either encoding that passwords cross in. */
function checkSecret(dataDir: string, secret: string): void {
  for (const path of filesIn(dataDir)) {
    const bytes = readFileSync(path);
    for (const encoding of ['utf8', 'utf16le'] as const)
      assert.equal(bytes.includes(Buffer.from(secret, encoding)), false, path);
  }
}

async function leavePicture(page: Page, name: string): Promise<void> {
  if (screenshotsDirectory === undefined) return;
  mkdirSync(screenshotsDirectory, { recursive: true });
  await page.screenshot({ path: join(screenshotsDirectory, `connect-${name}.png`) });
}

async function work(t: TestContext, gateway: Api, browser: Browser, target: Target): Promise<string> {
  const { id } = await armSession(gateway, target.server.port, { name: target.name });
  const opened = await open(gateway, browser, target.name);
  const { page } = opened;
  await page.getByLabel('User name').waitFor();
  await leavePicture(page, `${target.name}-form`);
  await logOn(page, target);
  await page.getByText('Connected, recorded').waitFor();
  await typeInto(page, target.server);
  await leavePicture(page, target.name);
  const shown = await picture(page);
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByText('Not connected').waitFor();
  await sessionIn(gateway, id, 'completed');
  const { psnrDb } = comparePictures(await lastPicture(gateway, id), shown, moving);
  t.diagnostic(`${target.name}: PSNR ${psnrDb.toFixed(1)} dB`);
  assert.ok(psnrDb >= psnrDbMin, `PSNR ${psnrDb.toFixed(1)} dB`);
  const { verdicts } = await verifySession(gateway, id);
  assert.deepEqual([verdicts.integrity, verdicts.completeness], ['intact', 'whole']);
  assert.deepEqual(opened.problems, []);
  await page.context().close();
  return id;
}

/** Enter, behind what is typed, answers the gateway's screen; the target takes over the same connection. */
async function acknowledge(gateway: Api, browser: Browser, { name, server, user }: Target): Promise<void> {
  const recording = { recording_config: { consent_text: 'Everything is recorded.' } };
  const { id } = await armSession(gateway, server.port, { name, ...recording });
  const { page } = await open(gateway, browser, name);
  await logOn(page, { name, server, user });
  await page.getByText('Waiting for your answer on the screen').waitFor();
  assert.equal(await page.getByText('Connected, recorded').count(), 0);
  await eventually('the text', () => shows(page, 0x1d5fbf));
  // It is drawn before it is shown, and has the keys when it is.
  await page.locator('canvas:focus').waitFor();
  await page.keyboard.press('Enter');
  await page.getByText('Connected, recorded').waitFor();
  const before = server.typedLines().length;
  await typeInto(page, { ...server, typedLines: () => server.typedLines().slice(before) });
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await sessionIn(gateway, id, 'completed');
  await page.context().close();
}

test('a session in nothing but a browser', { timeout: 300_000 }, async (t) => {
  if (skipUnlessPeers(t, 'shadow', 'xrdp', 'chromium')) return;
  const { api, lucid } = await startGateway(t, { LUCID_RECONNECT_SECONDS: '0' });
  const gateway = { api, dataDir: lucid.directory.root };
  const browser = await startBrowser(t);
  await t.test('shadow', async (inner) => {
    const server = await startShadow();
    inner.after(() => server.stop());
    await work(inner, gateway, browser, { name: 'shadow', server, user: shadowUser });
    await acknowledge(gateway, browser, { name: 'shadow-consent', server, user: shadowUser });
  });
  await t.test('shadow that demands NLA, and what it says to a wrong password', async (inner) => {
    const user = { userName: 'test', password: 'N1a-pass-Word' };
    const server = await startShadowNla(user);
    inner.after(() => server.stop());
    await work(inner, gateway, browser, { name: 'shadow-nla', server, user });
    const name = 'shadow-refuses';
    await armSession(gateway, server.port, { name });
    const { page } = await open(gateway, browser, name);
    await logOn(page, { name, server, user: { ...user, password: 'wrong' } });
    await page
      .getByRole('alert')
      .getByText(/user name or password/)
      .waitFor();
    await leavePicture(page, name);
    await page.context().close();
    checkSecret(gateway.dataDir, user.password);
  });
  await t.test('a text, a wrong password and the right one on screens of the gateway', async (inner) => {
    const { desktop, server, account } = await nlaDesktop(inner);
    const name = 'screens';
    const { id } = await armSession(gateway, desktop.port, {
      name,
      recording_config: { consent_text: 'Everything you do here is recorded.' },
      target_credentials: { provider: 'client' },
    });
    const { page } = await open(gateway, browser, name);
    await logOn(page, { name, server, user: { userName: account.username, password: 'wrong-Pass-99' } });
    // Told by colours that the screen before has not: a button, a problem.
    await eventually('the text', () => shows(page, 0x1d5fbf));
    // It is drawn before it is shown, and has the keys when it is.
    await page.locator('canvas:focus').waitFor();
    await page.keyboard.press('Enter');
    await eventually('what is wrong', () => shows(page, 0xb42318));
    await leavePicture(page, 'screen');
    await page.keyboard.type(account.password, { delay: 20 });
    await page.keyboard.press('Enter');
    await sessionIn(gateway, id, 'recording');
    await typeInto(page, server);
    await page.getByRole('button', { name: 'Disconnect' }).click();
    await sessionIn(gateway, id, 'completed');
    assert.equal((await verifySession(gateway, id)).verdicts.completeness, 'whole');
    await page.context().close();
    for (const secret of [account.password, 'wrong-Pass-99']) checkSecret(gateway.dataDir, secret);
  });
  await t.test('a target the gateway logs on to: the page asks for nothing', async (inner) => {
    const { desktop, server, account } = await nlaDesktop(inner);
    const name = 'injected';
    const { id } = await armSession(gateway, desktop.port, { name, target_credentials: account });
    const { page } = await open(gateway, browser, name);
    await page.getByRole('button', { name: 'Connect', exact: true }).waitFor();
    assert.equal(await page.getByLabel('Password').count(), 0);
    await page.getByRole('button', { name: 'Connect', exact: true }).click();
    await page.getByText('Connected, recorded').waitFor();
    await typeInto(page, server);
    await page.getByRole('button', { name: 'Disconnect' }).click();
    await sessionIn(gateway, id, 'completed');
    assert.equal((await verifySession(gateway, id)).verdicts.completeness, 'whole');
    await page.context().close();
    checkSecret(gateway.dataDir, account.password);
  });
  await t.test('xrdp', async (inner) => {
    const server = await startXrdp();
    inner.after(() => server.stop());
    await work(inner, gateway, browser, { name: 'xrdp-xorg', server, user: xrdpUser, domain: 'Xorg' });
    // Its bitmaps are padded.
    const before = server.typedLines().length;
    const xvnc = { port: server.port, typedLines: () => server.typedLines().slice(before) };
    const id = await work(inner, gateway, browser, { name: 'xrdp-xvnc', server: xvnc, user: xrdpUser, domain: 'Xvnc' });
    const { facts } = await verifySession(gateway, id);
    assert.equal(facts.downgrades.filter((what) => what.includes('bitmaps that the server pads')).length, 1);
    checkSecret(gateway.dataDir, xrdpUser.password);
  });
});

test('a lost line comes back by itself, also with five processes', { timeout: 180_000 }, async (t) => {
  if (skipUnlessPeers(t, 'chromium')) return;
  const five = await startFive(t, { RDP_LISTEN_HOST: '127.0.0.1' });
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const server = { port: desktop.port, typedLines: () => desktop.typedLines() };
  const name = 'five';
  const { id } = await armSession(five, desktop.port, { name });
  const browser = await startBrowser(t);
  const { page } = await open(five, browser, name);
  await logOn(page, { name, server, user: { userName: 'ada', password: 'ada' } });
  await page.getByText('Connected, recorded').waitFor();
  await typeInto(page, server);
  await five.again('api');
  await page.getByText('Connection lost, connecting again…').waitFor();
  await page.getByText('Connected, recorded').waitFor();
  const before = desktop.typedLines().length;
  await typeInto(page, { ...server, typedLines: () => desktop.typedLines().slice(before) });
  await page.getByRole('button', { name: 'Disconnect' }).click();
  const session = await sessionIn(five, id, 'completed');
  assert.ok(session.statistics.chunks_count > 0);
});
