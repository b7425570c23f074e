import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import axe, { type AxeResults } from 'axe-core';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { PNG } from 'pngjs';
import { buildConsole } from '../build.ts';
import type { LucidPlayer } from '../src/player/page/lucid-player.ts';
import { browserMissing, launchBrowser } from './support/browser.ts';
import {
  type ContractServer,
  completedSession,
  makeSession,
  makeToken,
  startContractServer,
  testPassword,
} from './support/contract-server.ts';
import {
  capturesDirectory,
  monitorsFrame,
  type SealedRecording,
  sealCapture,
  sealFrames,
} from './support/recording.ts';

const recordingId = '4f6d2c1e-8a53-4b7e-9d10-0d7c2b9a6e11';
const monitorsId = '0a4c7c0e-52c5-4d0e-8f0b-6f1f6a1f7d21';
const brokenId = '7e0f7c52-6d0b-4f0c-9a52-5f3d3fb4d0a1';

describe('the console in a browser', { skip: browserMissing() }, () => {
  let server: ContractServer;
  let browser: Browser;
  let recording: SealedRecording;
  let outdir: string;

  before(async () => {
    outdir = await mkdtemp(join(tmpdir(), 'lucid-console-'));
    await buildConsole(outdir);
    const startedUs = Date.parse('2026-11-20T08:01:00Z') * 1000;
    recording = await sealCapture('xorg-default', { sessionId: recordingId, startedUs });
    const broken = await sealCapture('xorg-bpp16-nocomp', { sessionId: brokenId, startedUs });
    const middle = broken.chunks[1]!.file;
    middle[middle.length - 20]! ^= 1;
    server = await startContractServer(outdir, [
      completedSession(recording, { name: 'Patch night, database host' }),
      completedSession(broken, { name: 'Altered afterwards' }),
      {
        session: makeSession({
          session_id: 'waiting',
          name: 'Vendor access',
          status: 'created',
          started_at: null,
          metadata: { project: 'erp' },
        }),
      },
      {
        session: makeSession({
          session_id: 'gone',
          name: '<img src=x onerror=alert(1)>',
          status: 'failed',
          end_message: 'the target could not be reached',
        }),
      },
      {
        session: makeSession({
          session_id: 'turned-away',
          name: 'Turned away',
          status: 'stopped',
          started_at: null,
          outcome: 'refused',
          last_attempt: {
            at: '2026-11-20T08:05:00Z',
            client_address: '192.0.2.9:50123',
            client_name: 'bob',
            outcome: 'refused',
            reason: 'expired',
            message: 'this .rdp file is too old; download a fresh one',
          },
        }),
      },
    ]);
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    await rm(outdir, { recursive: true, force: true });
  });

  /** A page that notes what must never happen: errors, policy violations, requests to elsewhere. */
  async function open(
    path: string,
    options: { token?: string | null } = {},
  ): Promise<{ page: Page; problems: string[]; context: BrowserContext }> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, acceptDownloads: true });
    // An end to waiting, not a measure.
    context.setDefaultTimeout(120_000);
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text()))
        problems.push(`console: ${message.text()}`);
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(server.url) && !/^(?:blob|data):/.test(request.url()))
        problems.push(`elsewhere: ${request.url()}`);
    });
    const { token = makeToken() } = options;
    if (token !== null) await context.addCookies([{ name: 'lucid-session', value: token, url: server.url }]);
    await page.goto(server.url + path);
    return { page, problems, context };
  }

  const openPlayer = async (path: string): Promise<{ page: Page; problems: string[]; context: BrowserContext }> => {
    const opened = await open(path);
    await opened.page.waitForFunction(() => {
      const player = document.querySelector<LucidPlayer>('lucid-player');
      return player !== null && player.duration > 0 && player.state !== 'loading';
    });
    return opened;
  };

  const state = (page: Page): Promise<{ seconds: number; duration: number; state: string }> =>
    page.evaluate(() => {
      const player = document.querySelector<LucidPlayer>('lucid-player')!;
      return { seconds: player.currentTime, duration: player.duration, state: player.state };
    });

  const picture = async (page: Page): Promise<PNG> => {
    const base64 = await page.evaluate(async () => {
      const player = document.querySelector<LucidPlayer>('lucid-player')!;
      const bytes = new Uint8Array(await (await player.png()).arrayBuffer());
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
    });
    return PNG.sync.read(Buffer.from(base64, 'base64'));
  };

  test('asks who it is, refuses a wrong password, and keeps what proves it where no script reads it', async () => {
    const { page, problems, context } = await open('/', { token: null });
    await page.getByLabel('User name').fill('alice');
    await page.getByLabel('Password').fill('not the password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('User name or password is wrong').waitFor();
    await page.getByLabel('Password').fill(testPassword);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Sessions', level: 1 }).waitFor();
    assert.equal(
      await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })),
      '{}',
    );
    await page.reload();
    await page.getByRole('heading', { name: 'Sessions', level: 1 }).waitFor();
    assert.ok(server.requests.every((request) => !/accepted|correct horse/.test(request)));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Password').waitFor();
    assert.deepEqual(await context.cookies(), []);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('lists, searches and filters sessions, with the filter in the address', async () => {
    const { page, problems, context } = await open('/sessions');
    const rows = page.locator('tbody tr');
    await rows.nth(3).waitFor();
    assert.equal(await page.locator('tbody').getByText('<img src=x onerror=alert(1)>').count(), 1);
    await page.keyboard.press('/');
    await page.keyboard.type('vendor');
    // A pause between two keys is searched with what is there: the address tells which search the list shows.
    await page.waitForURL(/\?search=vendor$/);
    await page.getByText('1 session', { exact: true }).waitFor();
    await page.reload();
    await page.getByText('1 session', { exact: true }).waitFor();
    await page.getByRole('searchbox', { name: /Search sessions/ }).fill('');
    await page.getByRole('combobox', { name: 'Status' }).selectOption('failed');
    await page.getByText('1 session', { exact: true }).waitFor();
    await page.getByRole('combobox', { name: 'Status' }).selectOption('paused');
    await page.getByText('No session matches').waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a list is filtered by who and what became of it, sorted by its columns, and its filters are kept by name', async () => {
    const { page, problems, context } = await open('/sessions');
    const rows = page.locator('tbody tr');
    await rows.nth(3).waitFor();
    const names = () => page.locator('.session-name').allTextContents();
    await page.getByRole('button', { name: 'Session', exact: true }).click();
    await page.waitForURL(/\?sort=name$/);
    const upwards = page.getByRole('columnheader', { name: /Session/, exact: false });
    await page.locator('th[aria-sort="ascending"]').waitFor();
    const sorted = await names();
    assert.deepEqual(
      sorted,
      [...sorted].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)),
    );
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Session ↑', 'the focus stays');
    await upwards.getByRole('button').click();
    await page.waitForURL(/\?sort=name&order=desc$/);
    await page.locator('th[aria-sort="descending"]').waitFor();
    assert.deepEqual(await names(), sorted.reverse());
    await page.getByText('More filters').click();
    await page.getByLabel('Outcome').selectOption('refused');
    await page.getByText('1 session', { exact: true }).waitFor();
    await page.getByLabel('Name to save these filters under').fill('Turned away');
    await page.getByRole('button', { name: 'Save these' }).click();
    await page.getByText('Saved as “Turned away”.').waitFor();
    assert.deepEqual(server.filters, [{ name: 'Turned away', query: 'sort=name&order=desc&outcome=refused' }]);
    await page.getByLabel('User', { exact: true }).fill('nobody of this name');
    await page.getByText('No session matches').waitFor();
    assert.match(page.url(), /user=nobody\+of\+this\+name|user=nobody%20of%20this%20name/);
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page.waitForURL(/\/sessions$/);
    await rows.nth(3).waitFor();
    await page.reload();
    await page.getByRole('combobox', { name: 'Saved filters' }).selectOption('Turned away');
    await page.waitForURL(/outcome=refused/);
    await page.getByText('1 session', { exact: true }).waitFor();
    assert.equal(await page.getByLabel('Outcome').inputValue(), 'refused', 'its fields show what it filters by');
    await page.getByRole('button', { name: 'Forget' }).click();
    await page.getByText('“Turned away” is forgotten.').waitFor();
    assert.deepEqual(server.filters, []);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a list that can not be read again stays, says so, and goes on; what never began says when it was made', async () => {
    const { page, problems, context } = await open('/sessions');
    const rows = page.locator('tbody tr');
    await rows.nth(3).waitFor();
    assert.equal(
      await rows
        .filter({ hasText: 'Turned away' })
        .getByText(/^made /)
        .count(),
      1,
    );
    const lists = /\/api\/v1\/sessions\?/;
    await page.route(lists, (route) => route.fulfill({ status: 429, headers: { 'Retry-After': '900' }, body: '{}' }));
    await page.getByText(/^This list may be old: /).waitFor();
    assert.ok((await rows.count()) > 3);
    await page.unroute(lists);
    await page.getByText(/^\d+ sessions$/).waitFor();
    assert.ok((await rows.count()) > 3);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('creates a session and gives its .rdp file', async () => {
    const { page, problems, context } = await open('/new');
    await page.getByLabel('Name', { exact: true }).fill('Jump host');
    await page.getByLabel('Host').fill('jump.example.net');
    await page.getByRole('button', { name: 'Create session' }).click();
    const link = page.getByRole('button', { name: 'Download .rdp file' });
    const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
    assert.match(await readFile(await download.path(), 'utf8'), /^full address:s:127\.0\.0\.1:3389\r\n/);
    await page.getByText('Files point at localhost.').waitFor();
    await page.getByRole('link', { name: 'Go to the session' }).click();
    await page.getByText('Nobody has connected yet').waitFor();
    await page.getByRole('button', { name: 'Credential' }).click();
    const credential = page.getByRole('region', { name: 'Credential' });
    await credential.getByText('lucid-7k3f9q2mx4tz').waitFor();
    await credential.getByText('clients are sent to localhost').waitFor();
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await credential.getByRole('button', { name: 'Copy Password' }).click();
    await credential.getByText('Copied').waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), 'abcd-efgh-jkmn-pqrs-tuvw-xyz2');
    const fileOfIt = credential.getByRole('button', { name: '.rdp file that asks for it' });
    await Promise.all([page.waitForEvent('download'), fileOfIt.click()]);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('asks all recordings one question, and leads to the moment; nothing of it stands in an address', async () => {
    const { page, problems, context } = await open('/search');
    await page.getByLabel('Text').fill('drop table');
    await page.getByLabel('Reason').fill('case 17');
    await page.getByLabel('In what was typed and copied').check();
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('2 of 40 recordings hold it. 2 are being indexed').waitFor();
    assert.deepEqual(
      server.searches.map(({ text, reason, inputs }) => [text, reason, inputs]),
      [['drop table', 'case 17', true]],
    );
    assert.ok(
      server.requests.every((path) => !path.includes('drop')),
      'the text is in no address',
    );
    assert.equal(await page.getByText('sudo drop table <b>').count(), 2);
    await page.getByRole('link', { name: '0:02' }).first().click();
    await page.waitForURL(/\/sessions\/[0-9a-f-]+#t=2\.5$/);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('shows facts, chunks and audit trail of a session by tabs and keyboard', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}`);
    await page.getByRole('tab', { name: 'Facts' }).focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.getByRole('tab', { name: 'Chunks' }).getAttribute('aria-selected'), 'true');
    await page
      .getByRole('table')
      .locator('tbody tr')
      .nth(recording.chunks.length - 1)
      .waitFor();
    assert.equal(await page.getByRole('table').locator('tbody tr').count(), recording.chunks.length);
    await page.getByRole('tab', { name: 'Manifest' }).click();
    await page.getByRole('tabpanel').getByText(recording.merkleRoot).first().waitFor();
    await page.getByRole('tab', { name: 'Anchors' }).click();
    await page.getByText('Not there yet').waitFor();
    await page.getByRole('tab', { name: 'Audit trail' }).click();
    await page.getByText('Playback started').waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('says what became of a session in its heading and its facts, and leaves out what is not known', async () => {
    const { page, problems, context } = await open('/sessions/turned-away');
    await page.getByText('There is no recording to show: the last connection was refused: this .rdp file').waitFor();
    assert.equal(await page.locator('.standing').innerText(), 'stopped\nrefused');
    await page.getByText('not recorded: the gateway refused the last connection').waitFor();
    assert.equal(await page.getByText('Why it ended').count(), 0);
    const empty = await page
      .locator('dl.facts dd')
      .evaluateAll((all) => all.filter((one) => one.textContent === '').length);
    assert.equal(empty, 0);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('says of a deleted recording that it is gone, and does not wait for its pictures', async () => {
    server.sessions.set('gone', completedSession(recording, { name: 'Gone', session_id: 'gone', status: 'deleted' }));
    const { page, problems, context } = await open('/sessions/gone');
    await page.getByText('This recording was deleted').waitFor();
    assert.equal(await page.locator('lucid-player').count(), 0);
    server.sessions.delete('gone');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('plays to the end and shows what the client showed', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}`);
    await page.getByRole('combobox', { name: 'Speed' }).selectOption('16');
    await page.getByRole('button', { name: 'Show the pointer' }).click();
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.waitForFunction(() => document.querySelector<LucidPlayer>('lucid-player')!.state === 'ended');
    const shown = await picture(page);
    const expected = PNG.sync.read(await readFile(join(capturesDirectory, 'xorg-default.png')));
    assert.deepEqual([shown.width, shown.height], [expected.width, expected.height]);
    let different = 0;
    for (let i = 0; i < shown.data.length; i += 4)
      if (Math.max(...[0, 1, 2].map((c) => Math.abs(shown.data[i + c]! - expected.data[i + c]!))) > 8) different += 1;
    // The PNG was taken a moment later: the clock's hand had moved on.
    assert.ok(different / (shown.width * shown.height) < 0.01, `${different} pixels differ`);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('outlines the monitors a desktop lies on and looks at one of them alone, as long as there are several', async () => {
    const { startedUs, frames } = recording;
    const picture0 = PNG.sync.read(await readFile(join(capturesDirectory, 'xorg-default.png')));
    const [width, height] = [picture0.width, picture0.height];
    const lastUs = frames.at(-1)!.timeUs;
    // Behind the first pictures; the primary monitor is the right one, left of which the desktop is negative.
    const two = monitorsFrame(lastUs / 2, [
      { left: 0, top: 0, width: width - 400, height, primary: true },
      { left: -400, top: 0, width: 400, height, primary: false },
    ]);
    const one = monitorsFrame(lastUs - 100_000, [{ left: 0, top: 0, width, height, primary: true }]);
    const withMonitors = [...frames, two, one].sort((a, b) => a.timeUs - b.timeUs);
    const sealed = await sealFrames(withMonitors, { sessionId: monitorsId, startedUs });
    server.sessions.set(monitorsId, completedSession(sealed, { name: 'Two monitors' }));
    const { page, problems, context } = await openPlayer(`/sessions/${monitorsId}#t=${lastUs / 2e6 + 0.2}`);
    const choice = page.getByRole('combobox', { name: 'Monitors' });
    await choice.waitFor();
    assert.deepEqual(await choice.locator('option').allInnerTexts(), [
      'All 2 monitors',
      `Monitor 1 (primary): ${width - 400} × ${height}`,
      `Monitor 2: 400 × ${height}`,
    ]);
    const outlines = page.locator('svg.monitors');
    assert.deepEqual(await outlines.locator('text').allTextContents(), ['1', '2']);
    const whole = await picture(page);
    await choice.selectOption({ index: 2 });
    const second = await picture(page);
    assert.deepEqual([second.width, second.height], [400, height]);
    for (const y of [0, 100, height - 1])
      assert.deepEqual(
        second.data.subarray(y * 1600, (y + 1) * 1600),
        whole.data.subarray(y * width * 4, y * width * 4 + 1600),
      );
    assert.equal(await outlines.isVisible(), false);
    await page.locator('.stage').focus();
    await page.keyboard.press('o');
    assert.equal((await picture(page)).width, width);
    await page.keyboard.press('o');
    assert.equal((await picture(page)).width, width - 400);
    // Where the layout has one monitor again, all of it is seen.
    await page.evaluate(() => document.querySelector<LucidPlayer>('lucid-player')!.seek(1e9));
    await choice.waitFor({ state: 'hidden' });
    assert.equal((await picture(page)).width, width);
    server.sessions.delete(monitorsId);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('ends behind the last frame, also where that lies beyond the duration', async () => {
    const held = completedSession(recording, { name: 'Closed early', session_id: 'closed-early' });
    const last = recording.chunks.at(-1)!;
    const closedUs = last.closedUs - 100_000;
    held.recording = { ...recording, chunks: [...recording.chunks.slice(0, -1), { ...last, closedUs }] };
    server.sessions.set('closed-early', held);
    const { page, problems, context } = await openPlayer('/sessions/closed-early');
    await page.getByRole('combobox', { name: 'Speed' }).selectOption('16');
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.waitForFunction(() => document.querySelector<LucidPlayer>('lucid-player')!.state === 'ended');
    assert.ok((await picture(page)).data.length > 0);
    server.sessions.delete('closed-early');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('deleting asks for the name and a reason; a double click, Escape and another name destroy nothing', async () => {
    const name = 'To be deleted';
    const session = makeSession({ session_id: 'doomed', name, status: 'failed' });
    server.sessions.set('doomed', { session });
    const { page, problems, context } = await open('/sessions/doomed');
    const button = page.getByRole('button', { name: 'Delete…' });
    await button.dblclick();
    const dialog = page.getByRole('dialog', { name: 'Delete this recording for good?' });
    await dialog.waitFor();
    assert.match((await dialog.getAttribute('aria-describedby')) ?? '', /destroy-consequence/);
    assert.deepEqual(await page.evaluate(findNameless), []);
    const focused = () => page.evaluate(() => document.activeElement?.id ?? '');
    assert.equal(await focused(), 'destroy-name');
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await focused(), 'delete-session');
    await page.keyboard.press('Enter');
    await page.keyboard.type('To be kept');
    await page.keyboard.press('Enter');
    const nameField = dialog.getByLabel('Type its name to confirm');
    assert.equal(await nameField.getAttribute('aria-invalid'), 'true');
    assert.equal(await focused(), 'destroy-name');
    await nameField.fill(` ${name} `);
    await page.keyboard.press('Enter');
    assert.equal(await focused(), 'destroy-reason');
    if (process.env.LUCID_SCREENSHOTS) await page.screenshot({ path: `${process.env.LUCID_SCREENSHOTS}/delete.png` });
    await page.keyboard.type('recorded by mistake');
    assert.deepEqual(server.deletions, []);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Cancel');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/sessions');
    assert.deepEqual(server.deletions, [{ id: 'doomed', reason: 'recorded by mistake' }]);
    assert.equal(await dialog.count(), 0);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a deletion that is refused says why in the dialog, and can be tried again', async () => {
    const session = makeSession({ session_id: 'renamed', name: 'Old name', status: 'failed' });
    server.sessions.set('renamed', { session });
    const { page, context } = await open('/sessions/renamed');
    await page.getByRole('button', { name: 'Delete…' }).click();
    server.sessions.set('renamed', { session: { ...session, name: 'New name' } });
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Type its name to confirm').fill('Old name');
    await dialog.getByLabel('Why?').fill('x');
    await dialog.getByRole('button', { name: 'Delete for good' }).click();
    await dialog.getByRole('alert').waitFor();
    if (process.env.LUCID_SCREENSHOTS) await page.screenshot({ path: `${process.env.LUCID_SCREENSHOTS}/refused.png` });
    assert.equal(await dialog.getByRole('button', { name: 'Delete for good' }).isEnabled(), true);
    assert.equal(server.sessions.has('renamed'), true);
    server.sessions.delete('renamed');
    await context.close();
  });

  test('seeks by address, keyboard and slider, and back gives the same picture', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}#t=5`);
    assert.equal((await state(page)).seconds, 5);
    const there = await picture(page);
    await page.locator('.stage').focus();
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(() => document.querySelector<LucidPlayer>('lucid-player')!.currentTime === 0);
    await page.keyboard.press('End');
    await page.waitForFunction(() => document.querySelector<LucidPlayer>('lucid-player')!.state === 'ended');
    const slider = page.getByRole('slider', { name: 'Position' });
    await slider.focus();
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => {
      const player = document.querySelector<LucidPlayer>('lucid-player')!;
      return player.currentTime === 5 && player.state === 'paused';
    });
    assert.equal(await slider.getAttribute('aria-valuenow'), '5.0');
    assert.ok((await picture(page)).data.equals(there.data));
    await page.waitForFunction(() => location.hash === '#t=5');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('steps from picture to picture, forward and back', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}#t=3`);
    await page.locator('.stage').focus();
    const times: number[] = [];
    for (const key of ['.', '.', ',', ',']) {
      const before = (await state(page)).seconds;
      await page.keyboard.press(key);
      await page.waitForFunction(
        (old) => document.querySelector<LucidPlayer>('lucid-player')!.currentTime !== old,
        before,
      );
      times.push((await state(page)).seconds);
    }
    const [first, second, back, further] = times as [number, number, number, number];
    assert.ok(first > 3 && second > first, String(times));
    assert.equal(back, first);
    assert.ok(further <= 3, String(times));
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('lists events, searches them and jumps', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}`);
    const events = page.getByRole('region', { name: 'Events' });
    // Found ahead of the viewer: nothing was played yet.
    await events.getByText('the client disconnected').waitFor();
    await events.getByText('abc default⏎').waitFor();
    assert.ok((await state(page)).seconds < 4);
    await page.locator('.stage').focus();
    await page.keyboard.press('/');
    await page.keyboard.type('connected from');
    await events.getByText(/^1 of \d+ events match$/).waitFor({ state: 'attached' });
    await events.getByRole('button', { name: /connected from/ }).click();
    await page.waitForFunction(() => document.querySelector<LucidPlayer>('lucid-player')!.currentTime === 0);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('says so when a chunk was altered', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${brokenId}`);
    await page.locator('.stage').focus();
    await page.keyboard.press('End');
    await page.getByText('Chunk 2: the ciphertext does not authenticate').waitFor();
    const evidence = page.getByRole('region', { name: 'Evidence' });
    await evidence.getByText('Integrity: altered', { exact: true }).waitFor();
    await evidence.getByText('The file of chunk 1 is not the one that was sealed.').waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('checks the evidence in the browser, verdict by verdict', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}`);
    const evidence = page.getByRole('region', { name: 'Evidence' });
    await evidence.getByText(`over ${recording.chunks.length} chunks`).waitFor();
    const words = await evidence.locator('[data-verdict] strong').allTextContents();
    assert.deepEqual(words, [
      'Integrity: unaltered',
      'Completeness: whole',
      'Origin: trusted recorder',
      'Time: recorder’s clock',
      'Readability: readable',
      'Replay: not examined',
    ]);
    server.untrusted.add(recording.identityKey);
    await page.reload();
    await evidence.getByText('Origin: not trusted', { exact: true }).waitFor();
    server.untrusted.clear();
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('follows a running session as its chunks are sealed', async () => {
    const held = completedSession(recording, { name: 'Running', status: 'recording', session_id: 'running' });
    const all = recording.chunks;
    held.recording = { ...recording, chunks: all.slice(0, 2) };
    server.sessions.set('running', held);
    const { page, problems, context } = await openPlayer('/sessions/running');
    assert.equal((await state(page)).duration, 4);
    await page.getByText('Live', { exact: true }).last().waitFor();
    held.recording.chunks = all;
    await page.waitForFunction(
      (end) => document.querySelector<LucidPlayer>('lucid-player')!.currentTime >= end - 0.5,
      (recording.endedUs - recording.startedUs) / 1e6,
    );
    assert.notEqual((await state(page)).state, 'ended');
    held.session.status = 'completed';
    // All is stored: the same page shows the recording, where the viewer was.
    await page.getByRole('region', { name: 'Evidence' }).getByText('Completeness: whole', { exact: true }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Live', exact: true }).count(), 0);
    assert.ok((await state(page)).seconds > 4);
    server.sessions.delete('running');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('writes a video with progress', async () => {
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}`);
    // Headless browsers have no file picker: the download path is the one taken.
    await page.evaluate(() => Reflect.deleteProperty(window, 'showSaveFilePicker'));
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save as video (WebM)' }).click(),
    ]);
    const file = await readFile(await download.path());
    assert.equal(file.readUInt32BE(0), 0x1a45dfa3);
    // The console's own policy lets no page of it play video files: an empty page does.
    const viewer = await context.newPage();
    const seconds = await viewer.evaluate(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const video = document.createElement('video');
      video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/webm' }));
      await new Promise((resolve, reject) => {
        video.onloadedmetadata = resolve;
        video.onerror = () => reject(new Error(video.error?.message));
      });
      return video.duration;
    }, file.toString('base64'));
    assert.ok(Math.abs(seconds - (await state(page)).duration) < 0.2, `${seconds} s`);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('marks every picture of an imported recording that leaves the player, as PNG and as video, and no other', async () => {
    const hasMark = ({ data }: PNG): boolean =>
      [0x8a, 0x53, 0].every((value, c) => data[(3 * 1024 + 3) * 4 + c] === value);
    const plain = await openPlayer(`/sessions/${recordingId}`);
    assert.equal(hasMark(await picture(plain.page)), false);
    await plain.context.close();
    const known = server.sessions.get(recordingId)!;
    const imported = {
      by: 'alice',
      at: '2026-11-20T08:00:00Z',
      source_name: 'office.pcapng',
      source_sha256: '0'.repeat(64),
      capture_sha256: '1'.repeat(64),
      captured_from: null,
      captured_to: null,
      client: null,
      server: null,
      problem: null,
    };
    server.sessions.set(recordingId, completedSession(recording, { name: 'A capture', imported }));
    const { page, problems, context } = await openPlayer(`/sessions/${recordingId}`);
    const shown = await picture(page);
    assert.equal(shown.width, 1024);
    assert.equal(hasMark(shown), true);
    await page.evaluate(() => Reflect.deleteProperty(window, 'showSaveFilePicker'));
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save as video (WebM)' }).click(),
    ]);
    const viewer = await context.newPage();
    const colour = await viewer.evaluate(
      async (base64) => {
        const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
        const video = document.createElement('video');
        video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/webm' }));
        await new Promise((resolve, reject) => {
          video.onloadeddata = () => {
            video.currentTime = video.duration / 2;
          };
          video.onseeked = resolve;
          video.onerror = () => reject(new Error(video.error?.message));
        });
        const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
        const drawing = canvas.getContext('2d')!;
        drawing.drawImage(video, 0, 0);
        return [...drawing.getImageData(3, 3, 1, 1).data.slice(0, 3)];
      },
      (await readFile(await download.path())).toString('base64'),
    );
    // The codec may shift a colour a little.
    for (const [c, value] of [0x8a, 0x53, 0].entries()) assert.ok(Math.abs(colour[c]! - value) < 24, `${colour}`);
    server.sessions.set(recordingId, known);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a target is made with the certificate its host shows, changed without losing what the form has no field for, and connected to', async () => {
    const { page, problems, context } = await open('/targets');
    await page.getByRole('heading', { name: 'Billing database' }).waitFor();
    await page.getByRole('button', { name: 'New target' }).click();
    await page.getByLabel('Name', { exact: true }).fill('Ledger');
    await page.getByLabel('Host', { exact: true }).fill('ledger.example');
    await page.getByRole('button', { name: 'Fetch its certificate' }).click();
    await page.getByText('A7:A7:A7').waitFor();
    assert.equal(await page.getByLabel('Certificate', { exact: true }).inputValue(), '', 'shown before it is pinned');
    await page.evaluate(axe.source);
    assert.deepEqual(await page.evaluate(findAgainstWcag), []);
    await page.getByRole('button', { name: 'This is the certificate: pin it' }).click();
    await page.getByRole('button', { name: 'Make the target' }).click();
    await page.getByRole('heading', { name: 'Ledger' }).waitFor();
    const made = server.targets.get('made') as { rdp_config: { pinned_sha256: string }; connect: unknown };
    assert.deepEqual([made.rdp_config.pinned_sha256, made.connect], ['a7'.repeat(32), null]);
    await page.getByRole('button', { name: 'Change: Billing database' }).click();
    assert.equal(await page.getByLabel('Host', { exact: true }).inputValue(), '2001:db8::17');
    await page.getByLabel('People').fill('ada, zoe');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Billing database: saved.').waitFor();
    const kept = server.targets.get('billing')!;
    const { rdp_config: rdp, recording_config: recording } = kept as Record<string, Record<string, unknown>>;
    assert.deepEqual(
      [rdp?.route_by_name, rdp?.channels, recording?.approval, kept.connect],
      [...[true, { clipboard: 'in', drives: false }, true], { roles: ['session_operator'], users: ['ada', 'zoe'] }],
    );
    await page.getByRole('button', { name: 'Connect by a client: Ledger' }).click();
    await page.waitForURL(/\/sessions\/[^/]+$/);
    assert.ok(server.requests.includes('POST /api/v1/sessions'));
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('a rule is made with the fields of what it looks at, changed and removed, and an alert leads to its moment', async () => {
    server.sessions.get(recordingId)!.session.alerts = { count: 3, highest: 'critical' };
    const { page, problems, context } = await open('/alerts');
    await page.getByRole('heading', { name: 'destroys tables', exact: true }).waitFor();
    await page.getByText('/\\bdrop\\s+table\\b/i in typed').waitFor();
    await page.getByText('it ended the session').waitFor();
    await page.getByRole('button', { name: 'New rule' }).click();
    await page.getByLabel('Name', { exact: true }).fill('late work');
    await page.getByLabel('It says something when').selectOption('hours');
    await page.getByLabel('Time zone').fill('Europe/Berlin');
    await page.getByLabel('Usual to').fill('18:30');
    await page.getByLabel('Saturday').check();
    await page.evaluate(axe.source);
    assert.deepEqual(await page.evaluate(findAgainstWcag), []);
    await page.getByRole('button', { name: 'Make the rule' }).click();
    await page.getByRole('heading', { name: 'late work', exact: true }).waitFor();
    const made = [...server.rules.values()].at(-1)!;
    assert.deepEqual(
      [made.condition, made.end_session, made.enabled],
      [
        { kind: 'hours', time_zone: 'Europe/Berlin', from: '07:00', to: '18:30', days: [1, 2, 3, 4, 5, 6] },
        ...[false, true],
      ],
    );
    await page.getByRole('button', { name: 'Change: destroys tables' }).click();
    assert.equal(await page.getByLabel('Regular expression').inputValue(), '\\bdrop\\s+table\\b');
    await page.getByLabel('copied texts').check();
    await page.getByLabel('It is in force').uncheck();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('not in force').waitFor();
    const kept = [...server.rules.values()][0]! as { condition: { in: string[] }; end_session: boolean };
    assert.deepEqual([kept.condition.in, kept.end_session], [['typed', 'clipboard'], true]);
    await page.getByRole('button', { name: 'Remove: late work' }).click();
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('heading', { name: 'late work', exact: true }).waitFor({ state: 'detached' });
    await page.goto(`${server.url}/sessions`);
    await page.getByText('3 alerts (critical)').waitFor();
    await page.goto(`${server.url}/alerts`);
    await page.getByRole('link', { name: 'destroys tables at 0:02' }).click();
    await page.waitForURL(/\/sessions\/[^/]+#t=2\.5$/);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('the audit log is filtered by who, what, on what, when and outcome, page by page, and exported whole', async () => {
    const about = ['ivan', 'target_checked', 'billing'] as const;
    const entryAt = (at: number, success = true) => ({
      event_id: `paged-${at}`,
      timestamp: new Date(Date.parse('2026-10-01T12:00:00.000Z') - at * 60_000).toISOString(),
      ...{ user_id: about[0], event_type: about[1], resource_id: about[2] },
      ...{ ip_address: '192.0.2.77', user_agent: null, success, error_message: success ? null : 'refused' },
      details: { number: at },
    });
    server.audit.push(...Array.from({ length: 120 }, (_, at) => entryAt(at, at !== 70)));
    // A number of its own for each filter that is added.
    server.audit.push({ ...entryAt(200), event_type: 'target_updated' }, { ...entryAt(201), resource_id: 'ledger' });
    const { page, problems, context } = await open('/audit');
    const rows = page.locator('tbody tr');
    const count = page.getByRole('status');
    await rows.nth(3).waitFor();
    await page.getByLabel('Who').fill('ivan');
    await count.getByText('122 entries', { exact: true }).waitFor();
    await page.getByRole('combobox', { name: 'Event' }).selectOption({ label: 'Target checked' });
    await count.getByText('121 entries', { exact: true }).waitFor();
    await page.getByLabel('On what').fill('billing');
    await page.waitForURL(/\/audit\?user_id=ivan&event_type=target_checked&resource_id=billing$/);
    await page.getByText('1–50 of 120').waitFor();
    // What is added meanwhile shifts no page.
    server.audit.push(entryAt(-5));
    await page.getByRole('button', { name: 'Older' }).click();
    await page.getByText('51–100 of 120').waitFor();
    assert.equal(await rows.first().getByText('number: 50').count(), 1);
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Audit log');
    await page.reload();
    await page.getByText('51–100 of 120').waitFor();
    assert.equal(await page.getByLabel('Who').inputValue(), 'ivan', 'its fields show what it filters by');
    await page.getByRole('button', { name: 'Newest' }).click();
    await page.getByText('1–50 of 121').waitFor();
    await page.getByLabel('Outcome').selectOption('failed');
    await count.getByText('1 failed among 121 entries').waitFor();
    assert.deepEqual(
      [await rows.count(), await rows.getByText('failed', { exact: true }).count(), await rows.locator('a').count()],
      [1, 1, 0],
      'said in a word, and a target is no session to go to',
    );
    await page.evaluate(axe.source);
    assert.deepEqual(await page.evaluate(findAgainstWcag), []);
    await page.getByLabel('From', { exact: true }).fill('2026-11-01');
    await page.getByText('No entry matches these filters.').waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export the log' }).click(),
    ]);
    assert.equal(download.suggestedFilename(), 'audit.jsonl');
    const lines = (await readFile(await download.path(), 'utf8')).trimEnd().split('\n');
    assert.equal(lines.length, server.audit.length, 'whatever is filtered');
    await page.getByText('The whole log, ').waitFor();
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page.waitForURL(/\/audit$/);
    await rows.nth(3).waitFor();
    assert.equal(await page.getByLabel('Who').inputValue(), '');
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('an audit log that can not be read says why and is asked again; a limit is waited for and said', async () => {
    const { page, problems, context } = await open('/audit');
    await page.locator('tbody tr').nth(3).waitFor();
    const lists = /\/api\/v1\/audit\?/;
    const limited = (seconds: number) => ({ status: 429, headers: { 'Retry-After': String(seconds) }, body: '{}' });
    const refusal = { status: 400, body: JSON.stringify({ error: { message: 'no such time' } }) };
    const answers = [limited(1), limited(900)];
    const said = Promise.withResolvers<void>();
    await page.route(lists, async (route) => {
      if (answers.length < 2) await said.promise;
      await route.fulfill(answers.shift() ?? refusal);
    });
    await page.getByLabel('Outcome').selectOption('failed');
    await page.getByText('The API limits how often it is asked: it is asked again in 1 s.').waitFor();
    said.resolve();
    await page.getByRole('alert').getByText('429').waitFor();
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('alert').getByText('No such time.').waitFor();
    await page.unroute(lists);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText(/^\d+ failed among /).waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('the system page draws what it has seen since it was opened, says it in words, and that nothing older is kept', async () => {
    const { page, problems, context } = await open('/system');
    const room = page.getByRole('region', { name: 'Free room' });
    await room.getByText(/^From [\d.]+ GB to [\d.]+ GB in \d+ readings, /).waitFor();
    // Less each time it is asked: from the upper left to the lower right.
    assert.match((await room.locator('polyline').getAttribute('points')) ?? '', /^0\.0,2\.0 (?:.* )?240\.0,46\.0$/);
    await page.getByRole('region', { name: 'Jobs waiting' }).getByText('1 running, 0 failed').waitFor();
    await page.getByText('no history is stored').waitFor();
    await page.getByText('Signing keys').waitFor();
    await page.evaluate(axe.source);
    assert.deepEqual(await page.evaluate(findAgainstWcag), []);
    assert.deepEqual(problems, []);
    await context.close();
  });

  test('every page meets WCAG 2.2 AA as far as axe can tell, at both sizes and in both themes', async () => {
    const found: string[] = [];
    const paths = [
      '/sessions',
      '/new',
      '/live',
      '/search',
      '/requests',
      '/system',
      '/audit',
      '/account',
      '/users',
      '/targets',
      '/alerts',
    ];
    for (const path of [...paths, `/sessions/${recordingId}`, '/sessions/turned-away', '/nowhere', 'signed out'])
      for (const [width, colorScheme] of [
        [1280, 'light'],
        [390, 'dark'],
      ] as const) {
        const signedOut = path === 'signed out';
        const { page, context } = await open(signedOut ? '/' : path, signedOut ? { token: null } : {});
        await page.setViewportSize({ width, height: 844 });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        await page.getByRole('heading', { level: 1 }).waitFor();
        await page.getByText('Looking …').waitFor({ state: 'detached' });
        for (const folded of await page.locator('.account summary, .more-filters summary').all()) await folded.click();
        // Colours change over a moment, and are judged when they have.
        await page.waitForFunction(() => document.getAnimations().every(({ playState }) => playState !== 'running'));
        await page.evaluate(axe.source);
        for (const one of await page.evaluate(findAgainstWcag)) found.push(`${path}, ${width}, ${colorScheme}: ${one}`);
        await context.close();
      }
    assert.deepEqual(found, []);
  });

  test('every control has a name and every page one main heading', async () => {
    const paths = [
      '/sessions',
      '/new',
      '/live',
      '/search',
      '/system',
      '/audit',
      '/account',
      '/users',
      '/targets',
      '/alerts',
    ];
    for (const path of [...paths, `/sessions/${recordingId}`]) {
      const { page, problems, context } = await open(path);
      await page.getByRole('heading', { level: 1 }).waitFor();
      const nameless = await page.evaluate(findNameless);
      assert.deepEqual(nameless, [], path);
      assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1, path);
      assert.equal(await page.getByRole('main').count(), 1, path);
      assert.deepEqual(problems, [], path);
      await context.close();
    }
  });
});

/** Runs in the page. */
async function findAgainstWcag(): Promise<string[]> {
  const { axe: runner } = globalThis as unknown as { axe: { run(options: object): Promise<AxeResults> } };
  const { violations } = await runner.run({
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'],
    resultTypes: ['violations'],
  });
  return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
}

/** Runs in the page: controls and pictures without an accessible name, shadow roots included. */
function findNameless(): string[] {
  const found: string[] = [];
  const visit = (root: Document | ShadowRoot): void => {
    for (const element of root.querySelectorAll('*')) {
      if (element.shadowRoot) visit(element.shadowRoot);
      const control = element.matches(
        'button, a[href], input, select, textarea, [role=slider], [role=img], [role=tab]',
      );
      if (!control) continue;
      const labels = (element as HTMLInputElement).labels;
      const name =
        element.getAttribute('aria-label') ??
        (labels && labels.length > 0 ? labels[0]!.textContent : element.textContent);
      if (!name?.trim()) found.push(element.outerHTML.slice(0, 120));
    }
  };
  visit(document);
  return found;
}
