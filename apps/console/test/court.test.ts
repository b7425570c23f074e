/** A court file in Chromium, from a disk and without a network: what it shows, what it refuses, and that it asks for nothing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { type CourtFileFacts, courtDocument, toHex } from '@lucid-sessions/evidence';
import type { Browser, Page } from 'playwright-core';
import { buildConsole } from '../build.ts';
import { browserMissing, launchBrowser } from './support/browser.ts';
import { completedSession, makeToken, startContractServer } from './support/contract-server.ts';
import { evidenceTar, type SealedRecording, sealCapture } from './support/recording.ts';

const startedUs = Date.UTC(2026, 10, 30, 9) * 1000;
const screenshots = process.env.SCREENSHOTS_DIR;

interface Look {
  page: Page;
  /** What the page asked a network for, and what its policy refused. */
  asked: string[];
  problems: string[];
}

describe('a court file', { skip: browserMissing() }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'lucid-court-'));
  let browser: Browser;
  let recording: SealedRecording;
  let template: string;
  let policy: string;
  const looks: Look[] = [];

  before(async () => {
    const [opened, sealed, built] = await Promise.all([
      launchBrowser(),
      sealCapture('shadow-bpp32', { sessionId: 'court-1', startedUs }),
      buildConsole(join(directory, 'dist')),
    ]);
    browser = opened;
    recording = sealed;
    template = readFileSync(join(built.outdir, 'court.html'), 'utf8');
    policy = join(directory, 'policy.json');
    writeFileSync(policy, JSON.stringify({ v: 1, identity_keys: [{ key: recording.identityKey }] }));
  });
  after(async () => {
    await browser?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const facts = (change: Partial<CourtFileFacts> = {}): CourtFileFacts => ({
    v: 1,
    session_id: 'court-1',
    made_us: startedUs + 3_600_000_000,
    software: 'lucid-sessions test',
    evidence: null,
    view_key: toHex(recording.keys.view),
    ...change,
  });
  const tarOf = (damage?: (index: number, file: Uint8Array) => Uint8Array): Promise<Uint8Array> =>
    evidenceTar(recording, (index) => {
      const file = recording.chunks[index]!.file;
      return damage === undefined ? file : damage(index, file);
    });

  async function write(name: string, told: CourtFileFacts, tar: Uint8Array | null): Promise<string> {
    const bundle =
      tar === null
        ? null
        : (async function* () {
            yield tar;
          })();
    let text = '';
    for await (const part of courtDocument(template, told, bundle)) text += part;
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  }

  async function open(path: string, size = { width: 1280, height: 900 }): Promise<Look> {
    const context = await browser.newContext({ viewport: size, acceptDownloads: true });
    await context.setOffline(true);
    const page = await context.newPage();
    const look: Look = { page, asked: [], problems: [] };
    looks.push(look);
    await context.route('**/*', async (route) => {
      if (route.request().url() === pathToFileURL(path).href) return route.continue();
      look.asked.push(route.request().url());
      return route.abort();
    });
    page.on('request', (request) => {
      if (!/^(?:blob:|data:)/.test(request.url()) && request.url() !== pathToFileURL(path).href)
        look.asked.push(request.url());
    });
    page.on('console', (message) => {
      if (message.type() === 'error') look.problems.push(message.text());
    });
    page.on('pageerror', (error) => look.problems.push(error.message));
    await page.goto(pathToFileURL(path).href);
    return look;
  }

  const banner = (page: Page, tone: string) => page.locator(`header .banner.${tone}`);
  const verdict = (page: Page, name: string) => page.locator(`[data-verdict="${name}"]`).first();
  const choose = (page: Page, label: string, path: string) =>
    page.getByLabel(label, { exact: true }).setInputFiles(path);
  async function shot(page: Page, name: string): Promise<void> {
    if (screenshots !== undefined) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
  }
  async function played(page: Page): Promise<void> {
    await page.locator('lucid-player canvas').first().waitFor();
    await page.locator('lucid-player .veil').waitFor({ state: 'hidden' });
  }
  /** Colours on the player's canvas: a picture has more than a few. */
  const colours = (page: Page): Promise<number> =>
    page.evaluate(async () => {
      const player = document.querySelector('lucid-player') as HTMLElement & { png(): Promise<Blob> };
      const bitmap = await createImageBitmap(await player.png());
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d')!;
      context.drawImage(bitmap, 0, 0);
      return new Set(new Uint32Array(context.getImageData(0, 0, bitmap.width, bitmap.height).data.buffer)).size;
    });
  const seconds = (page: Page): Promise<number> =>
    page.evaluate(() => (document.querySelector('lucid-player') as HTMLElement & { currentTime: number }).currentTime);

  it('plays from a disk without a network, and says what it can not know without a policy', async () => {
    const path = await write('plain.html', facts(), await tarOf());
    const { page } = await open(path);
    await banner(page, 'warn').getByText('WHO recorded it').waitFor();
    assert.match(await verdict(page, 'integrity').innerText(), /unaltered/);
    assert.match(await verdict(page, 'origin').innerText(), /you have given no policy/);
    assert.match(await verdict(page, 'readability').innerText(), /every chunk decrypts/);
    await played(page);
    await page.evaluate(() =>
      (document.querySelector('lucid-player') as HTMLElement & { seek(s: number): void }).seek(3),
    );
    await page.getByRole('button', { name: 'Play', exact: true }).click();
    await page.waitForFunction(
      () => (document.querySelector('lucid-player') as HTMLElement & { currentTime: number }).currentTime > 3.2,
    );
    assert.ok((await seconds(page)) > 3);
    assert.ok((await colours(page)) > 50);
    await page.locator('lucid-player .events').getByText('connected from 192.0.2.10').waitFor();
    await shot(page, 'court-no-policy');
  });

  it('checks six verdicts on the spot against the policy its reader holds', async () => {
    const { page } = await open(await write('policy.html', facts(), await tarOf()));
    await banner(page, 'warn').waitFor();
    await choose(page, 'Policy', policy);
    await banner(page, 'good').getByText('CLEAN').waitFor();
    assert.match(await verdict(page, 'origin').innerText(), /a recorder you trust/);
    assert.equal(await page.locator('.verdicts [data-verdict]').count(), 6);
    assert.equal(await page.getByText(/^Findings/).count(), 0);
    await shot(page, 'court-clean');
    const stranger = join(directory, 'stranger.json');
    const other = await sealCapture('shadow-bpp32', { sessionId: 'other', startedUs });
    writeFileSync(stranger, JSON.stringify({ v: 1, identity_keys: [{ key: other.identityKey }] }));
    await choose(page, 'Policy', stranger);
    await banner(page, 'bad').getByText('does NOT trust').waitFor();
    await page.getByRole('cell', { name: 'R2', exact: true }).first().waitFor();
    writeFileSync(stranger, '{"v":1}');
    await choose(page, 'Policy', stranger);
    await page.getByText('is no policy').waitFor();
  });

  it('asks for the view key where none was put in, and plays with the one it is given', async () => {
    const { page } = await open(await write('no-key.html', facts({ view_key: null }), await tarOf()));
    await page.getByText('their key is not in this file').waitFor();
    assert.match(await verdict(page, 'readability').innerText(), /not checked/);
    assert.equal(await page.locator('lucid-player').count(), 0);
    await page.getByLabel('View key', { exact: true }).fill('ab'.repeat(32));
    await page.getByRole('button', { name: 'Use' }).click();
    await page.getByText('The key given does not open this recording').waitFor();
    await page.getByLabel('View key', { exact: true }).fill(Buffer.from(recording.keys.view).toString('base64'));
    await page.getByRole('button', { name: 'Use' }).click();
    await played(page);
    assert.ok((await colours(page)) > 5);
  });

  it('refuses a recording of which one byte was changed, and shows it only when told to', async () => {
    const flipped = await tarOf((index, file) => {
      if (index !== 1) return file;
      const copy = file.slice();
      copy[copy.length - 40]! ^= 1;
      return copy;
    });
    const { page } = await open(await write('flipped.html', facts(), flipped));
    await banner(page, 'bad').getByText('ALTERED').waitFor();
    await page.getByRole('alert').getByText('Not shown').waitFor();
    assert.equal(await page.locator('lucid-player').count(), 0);
    await page.getByRole('cell', { name: 'CHUNK_ALTERED' }).waitFor();
    await shot(page, 'court-altered');
    await page.getByRole('button', { name: 'Show it all the same' }).click();
    await page.getByText('did not pass the checks and proves nothing').waitFor();
  });

  it('refuses evidence that is cut, of another session, or no text of its own', async () => {
    const tar = await tarOf();
    const cut = await open(await write('cut.html', facts(), tar.subarray(0, tar.length - 3000)));
    await banner(cut.page, 'bad').waitFor();
    const other = await open(await write('other.html', facts({ session_id: 'another' }), tar));
    await banner(other.page, 'bad').getByText('the evidence is of court-1').waitFor();
    const path = await write('text.html', facts(), tar);
    writeFileSync(path, readFileSync(path, 'utf8').replace('class="court-evidence">', 'class="court-evidence">?'));
    await (await open(path)).page.locator('.banner.bad').getByText('can not be read').waitFor();
  });

  it('takes large evidence from a file beside it', async () => {
    const { page } = await open(await write('beside.html', facts({ evidence: 'court-1.lucid.tar' }), null));
    await banner(page, 'warn').getByText('choose or drop court-1.lucid.tar').waitFor();
    const tar = join(directory, 'court-1.lucid.tar');
    writeFileSync(tar, await tarOf());
    await choose(page, 'Evidence bundle', tar);
    await played(page);
  });

  it('prints a report with the fields of a certification, and tells its own SHA-256 when it is handed over', async () => {
    const path = await write('print.html', facts(), await tarOf());
    const { page } = await open(path);
    await choose(page, 'Policy', policy);
    await banner(page, 'good').waitFor();
    await choose(page, 'This document', path);
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    await page.locator('output.hash').getByText(sha256).waitFor();
    assert.equal(await page.getByLabel('SHA-256 of this document').inputValue(), sha256);
    assert.equal(await page.getByLabel('Merkle root (SHA-256, RFC 9162)').inputValue(), recording.merkleRoot);
    for (const label of ['Name, title, organisation', 'Qualification', 'Statement', 'Signature'])
      assert.equal(await page.getByLabel(label, { exact: true }).inputValue(), '');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Save the evidence bundle' }).click(),
    ]);
    assert.deepEqual(readFileSync(await download.path()).length, (await tarOf()).length);
    await page.emulateMedia({ media: 'print' });
    assert.ok(!(await page.locator('lucid-player').isVisible()));
    assert.ok(!(await page.getByRole('button', { name: 'Print the report' }).isVisible()));
    assert.ok(await page.getByText('Certification by hash').isVisible());
    const pdf = await page.pdf({ format: 'A4' });
    assert.equal(pdf.subarray(0, 5).toString(), '%PDF-');
    if (screenshots !== undefined) writeFileSync(join(screenshots, 'court-report.pdf'), pdf);
  });

  it('is made by the console, with the view key only where that was chosen', async () => {
    const server = await startContractServer(join(directory, 'dist'), [
      completedSession(recording, { name: 'Patch night' }),
    ]);
    const context = await browser.newContext();
    try {
      await context.addCookies([{ name: 'lucid-session', value: makeToken(), url: server.url }]);
      const page = await context.newPage();
      await page.goto(`${server.url}/sessions/court-1`);
      await page.getByRole('button', { name: 'Court file' }).click();
      const made = async (name: string): Promise<string> => {
        const download = page.waitForEvent('download');
        await page.getByRole('button', { name: 'Make the file' }).click();
        const path = join(directory, name);
        await (await download).saveAs(path);
        const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
        await page.getByText(sha256).waitFor();
        return path;
      };
      const without = await made('made.html');
      assert.ok(!readFileSync(without, 'utf8').includes(toHex(recording.keys.view)));
      await page.getByLabel('Put the view key in').check();
      const look = await open(await made('made-key.html'));
      await played(look.page);
      await choose(look.page, 'Policy', policy);
      await banner(look.page, 'good').waitFor();
    } finally {
      await context.close();
      await server.close();
    }
  });

  it('fits on a telephone', async () => {
    const { page } = await open(await write('phone.html', facts(), await tarOf()), { width: 390, height: 844 });
    await played(page);
    await banner(page, 'warn').getByText('WHO recorded it').waitFor();
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 390, `${wide} px`);
    await shot(page, 'court-phone');
  });

  it('has asked for nothing in all of this, and broken no rule of its policy', () => {
    assert.ok(looks.length >= 9);
    assert.deepEqual(
      looks.flatMap(({ asked }) => asked),
      [],
    );
    assert.deepEqual(
      looks.flatMap(({ problems }) => problems),
      [],
    );
  });
});
