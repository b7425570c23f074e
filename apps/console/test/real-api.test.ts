/** The console in front of the real system: a session is recorded through the gateway, then looked at and checked in a browser. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { Browser } from 'playwright-core';
import { browserMissing, launchBrowser } from './support/browser.ts';

const cli = join(import.meta.dirname, '../../lucid-sessions/src/main.ts');

describe('the console over the real Session API', { skip: browserMissing() }, () => {
  let dataDir: string;
  let demo: ChildProcess;
  let address: URL;
  let browser: Browser;

  before(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'lucid-console-api-'));
    demo = spawn(process.execPath, [cli, 'demo', '--keep'], {
      env: { ...process.env, LUCID_DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    address = await lookAddress(demo);
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    if (demo?.exitCode === null) {
      demo.kill('SIGTERM');
      await once(demo, 'exit');
    }
    await rm(dataDir, { recursive: true, force: true });
  });

  test('signs in, plays what was recorded and checks it', async () => {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      // That nobody is signed in is no problem of the page.
      if (message.type() === 'error' && !/status of 401/.test(message.text())) problems.push(message.text());
    });
    await page.goto(address.href);
    await page.getByRole('button', { name: 'Continue as demo' }).click();
    await page.getByRole('link', { name: 'demo desktop', exact: true }).click();

    const evidence = page.getByRole('region', { name: 'Evidence' });
    for (const verdict of [
      'Integrity: unaltered',
      'Completeness: whole',
      'Origin: trusted recorder',
      'Time: logged',
      'Readability: readable',
    ])
      await evidence.getByText(verdict, { exact: true }).waitFor();
    await page.getByRole('region', { name: 'Events' }).getByText('hello from lucid sessions').waitFor();
    // Whoever looks has the recording walked through: the page says what that came to without being loaded again.
    await evidence.getByText('Replay: everything can be seen', { exact: true }).waitFor();
    await page.locator('.standing').getByText('not examined').waitFor({ state: 'detached' });
    await page.getByText(/^everything \(\d+ pictures, nothing left out/).waitFor();
    for (const [tab, text] of [
      ['Manifest', 'view by demo'],
      ['Anchors', 'entry'],
      ['Pipeline', 'Compression'],
      ['Audit trail', 'Playback started'],
    ] as const) {
      await page.getByRole('tab', { name: tab }).click();
      await page.getByRole('tabpanel').getByText(text).first().waitFor();
    }
    assert.deepEqual(problems, []);
    await page.close();
  });

  test('serves every page under a policy without exceptions, and hashed files for ever', async () => {
    for (const path of ['/', '/sessions', '/live', '/new', '/system', '/audit']) {
      const page = await fetch(new URL(path, address));
      assert.equal(page.status, 200, path);
      const policy = page.headers.get('content-security-policy') ?? '';
      assert.match(policy, /default-src 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|https?:/);
      const html = await page.text();
      assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\son\w+=|javascript:/);
      for (const [, asset = ''] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
        const file = await fetch(new URL(asset, address));
        assert.equal(file.status, 200, asset);
        assert.match(file.headers.get('cache-control') ?? '', /immutable/);
      }
    }
  });
});

/** Waits for the line that says where the recorded session can be seen. */
async function lookAddress(demo: ChildProcess): Promise<URL> {
  for await (const line of createInterface({ input: demo.stdout! })) {
    const [, address] = /^look\s+(\S+)/.exec(line) ?? [];
    if (address) {
      demo.stdout!.resume();
      return new URL(address);
    }
  }
  throw new Error('the demo ended before it served the console');
}
