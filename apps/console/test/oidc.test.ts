/** Sign-in by OpenID Connect in Chromium: the whole server, its settings from a file, and a real provider. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { freePorts } from '@lucid-sessions/testkit';
import { clientSecret, OidcPeer } from '@lucid-sessions/testkit/oidc-peer';
import type { Browser } from 'playwright-core';
import { browserMissing, launchBrowser } from './support/browser.ts';

const cli = join(import.meta.dirname, '../../lucid-sessions/src/main.ts');
const waitMs = 120_000;

describe('sign-in by a provider', { skip: browserMissing() }, () => {
  let directory: string;
  let peer: OidcPeer;
  let server: ChildProcess;
  let browser: Browser;
  let publicUrl: string;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lucid-console-oidc-'));
    peer = await OidcPeer.open();
    const [api, rdp] = await freePorts(2);
    publicUrl = `http://127.0.0.1:${api}`;
    peer.configure([
      {
        client_id: 'lucid',
        client_secret: clientSecret,
        redirect_uris: [`${publicUrl}/sign-in/corp`],
        post_logout_redirect_uris: [`${publicUrl}/`],
      },
    ]);
    peer.people.set('1001', { groups: ['ops'], preferred_username: 'ann', name: 'Ann B' });
    peer.people.set('1002', { preferred_username: 'bob' });
    await writeFile(join(directory, 'secret'), clientSecret, { mode: 0o600 });
    const provider = {
      ...{ id: 'corp', name: 'Corp', issuer: peer.issuer, client_id: 'lucid', client_secret_file: 'secret' },
      ...{ scopes: ['profile', 'groups'], roles: { ops: 'session_viewer' } },
    };
    const path = join(directory, 'oidc.json');
    await writeFile(path, JSON.stringify({ providers: [provider] }));
    const env = {
      ...process.env,
      ...{ LUCID_DATA_DIR: join(directory, 'data'), LUCID_OIDC_FILE: path, LUCID_PUBLIC_URL: publicUrl },
      ...{ SESSION_API_PORT: String(api), RDP_LISTEN_PORT: String(rdp) },
    };
    server = spawn(process.execPath, [cli, 'up'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const untilMs = performance.now() + waitMs;
    while (
      !(await fetch(`${publicUrl}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      ))
    ) {
      assert.ok(server.exitCode === null && performance.now() < untilMs, 'the server does not come up');
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    if (server?.exitCode === null) {
      server.kill('SIGTERM');
      await once(server, 'exit');
    }
    await peer.close();
    await rm(directory, { recursive: true, force: true });
  });

  test('goes to the provider and back to the page that was asked for, and out again', async () => {
    const context = await browser.newContext();
    context.setDefaultTimeout(waitMs);
    const page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(`${publicUrl}/account`);
    const go = page.getByRole('button', { name: 'Sign in with Corp' });
    await go.waitFor();
    await go.click();
    await page.getByLabel('Who are you?').fill('1001');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Your account' }).waitFor();
    await page.getByText('You sign in by Corp').waitFor();
    assert.equal(page.url(), `${publicUrl}/account`, 'nothing of the answer stays in the address');
    await page.getByRole('button', { name: 'Sign out', exact: true }).first().click();
    await page.getByRole('button', { name: 'Yes, sign me out' }).click();
    await go.waitFor();
    await go.click();
    await page.getByLabel('Who are you?').fill('1002');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('none of your groups there has a role here').waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });
});
