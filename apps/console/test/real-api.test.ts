/** The console in front of the real system: a session is recorded through the gateway, then looked at and checked in a browser. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { Browser, Locator, Page } from 'playwright-core';
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

  /** A browser of its own, which knows nothing yet. Chromium takes passkeys under `localhost`, not under an address. */
  async function openAt(path: string, problems: string[]): Promise<Page> {
    const context = await browser.newContext();
    // An end to waiting, not a measure.
    context.setDefaultTimeout(120_000);
    const page = await context.newPage();
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) problems.push(message.text());
    });
    await page.goto(`http://localhost:${address.port}${path}`);
    return page;
  }

  async function adminLink(): Promise<string> {
    const file = join(dataDir, `link-${Date.now()}`);
    const args = ['--data-dir', dataDir, '--api', address.origin, 'users', 'link', 'demo', '--sign-in', '--out', file];
    const command = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
    await once(command, 'exit');
    const { pathname, hash } = new URL((await readFile(file, 'utf8')).trim());
    return pathname + hash;
  }

  const region = (page: Page, name: string): Locator => page.getByRole('region', { name, exact: true });
  const copied = async (place: Locator, label: string): Promise<string> =>
    place
      .locator('.actions', { has: place.page().getByText(label, { exact: true }) })
      .locator('code')
      .innerText();

  async function signIn(page: Page, userId: string, password: string, code?: string): Promise<void> {
    await page.getByLabel('User name').fill(userId);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    if (code === undefined) return;
    await page.getByText('Your password is right.').waitFor();
    await page.getByLabel('Code').fill(code);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  }
  const signOut = async (page: Page): Promise<void> => {
    await page.getByRole('button', { name: 'Sign out', exact: true }).first().click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  };
  /** The page says by itself that its sign-in has ended, at its next request. */
  const findsItselfSignedOut = async (page: Page): Promise<void> => {
    await page.getByRole('link', { name: 'Sessions', exact: true }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  };

  test('an administrator invites somebody, who sets up all that lets them in, and is kept out again', async () => {
    const problems: string[] = [];
    const admin = await openAt(await adminLink(), problems);
    await admin.getByRole('button', { name: 'Continue as demo' }).click();
    await admin.getByRole('link', { name: 'Users' }).click();
    const invite = region(admin, 'Invite somebody');
    await invite.getByLabel('User name').fill('ada');
    await invite.getByLabel('Name', { exact: true }).fill('Ada L.');
    await invite.getByText('read the audit log').waitFor();
    await invite.getByLabel('Auditor').check();
    await invite.getByRole('button', { name: 'Make the account and a link' }).click();
    const link = new URL(await copied(invite, 'Link for ada'));

    const ada = await openAt(link.pathname + link.hash, problems);
    const first = 'correct horse battery staple';
    await ada.getByLabel('Password', { exact: true }).fill(first);
    await ada.getByLabel('Password again').fill(first);
    await ada.getByRole('button', { name: 'Go on' }).click();
    await ada.getByRole('link', { name: 'Account' }).click();
    await region(ada, 'About').getByText('Session viewer, Auditor').waitFor();
    assert.equal(await ada.getByRole('link', { name: 'Users' }).count(), 0, 'not an administrator');

    // The password.
    const password = 'staple battery horse correct';
    const passwords = region(ada, 'Password');
    const change = async (present: string): Promise<void> => {
      await passwords.getByLabel('Present password').fill(present);
      await passwords.getByLabel('New password', { exact: true }).fill(password);
      await passwords.getByLabel('New password again').fill(password);
      await passwords.getByRole('button', { name: 'Change' }).click();
    };
    await change('not the password');
    await passwords.getByText('The present password is wrong').waitFor();
    await change(first);
    await passwords.getByText('The password is changed.').waitFor();

    // The app, and recovery codes.
    const app = region(ada, 'Authenticator app');
    await app.getByRole('button', { name: 'Set up' }).click();
    const secret = await copied(app, 'Secret');
    const uri = new URL(await copied(app, 'Link'));
    assert.deepEqual([uri.protocol, uri.searchParams.get('secret')], ['otpauth:', secret]);
    assert.equal(await app.getByRole('link', { name: 'Open in an app' }).getAttribute('href'), uri.href);
    await app.getByLabel('The code the app shows').fill('000000');
    await app.getByRole('button', { name: 'Confirm' }).click();
    await app.getByText('This code is not the app’s').waitFor();
    await app.getByLabel('The code the app shows').fill(totp(secret, 0));
    await app.getByRole('button', { name: 'Confirm' }).click();
    await app.getByText('10 recovery codes left.').waitFor();
    const codes = await app.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').allInnerTexts();
    assert.equal(new Set(codes).size, 10);

    // A passkey, by an authenticator that keeps it and knows its person.
    const devTools = await ada.context().newCDPSession(ada);
    await devTools.send('WebAuthn.enable');
    await devTools.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    const passkeys = region(ada, 'Passkeys');
    await passkeys.getByLabel('Name of the device').fill('telephone');
    await passkeys.getByRole('button', { name: 'Add a passkey' }).click();
    await passkeys.getByText('“telephone” lets you in from now on.').waitFor();
    await passkeys.getByRole('cell', { name: 'never' }).waitFor();
    await signOut(ada);
    await ada.getByRole('button', { name: 'Use a passkey' }).click();
    await region(ada, 'About').waitFor();
    await passkeys.getByRole('cell', { name: 'telephone', exact: true }).waitFor();
    assert.equal(await passkeys.getByRole('cell', { name: 'never' }).count(), 0, 'it was used');
    await ada.getByRole('cell', { name: 'Passkey', exact: true }).waitFor();

    // Other browsers: by the app's next code, and by a recovery code.
    const second = await openAt('/account', problems);
    await signIn(second, 'ada', password, totp(secret, 1));
    await region(second, 'About').waitFor();
    const third = await openAt('/account', problems);
    await signIn(third, 'ada', password, codes[3]!);
    await region(third, 'Authenticator app').getByText('9 recovery codes left.').waitFor();
    await ada.reload();
    const row = ada.getByRole('row').filter({ hasText: 'Recovery code' });
    await row.getByRole('button', { name: 'Sign out' }).click();
    await row.waitFor({ state: 'detached' });
    await findsItselfSignedOut(third);
    await ada.getByRole('cell', { name: 'Password and code' }).waitFor();

    // A token that may less than its owner.
    const tokens = region(ada, 'API tokens');
    await tokens.getByLabel('What it is for').fill('reports');
    await tokens.getByText('Not everything I may').click();
    await tokens.getByLabel('see sessions').check();
    await tokens.getByRole('button', { name: 'Make a token' }).click();
    const token = await copied(tokens, 'API token');
    const asked = async (path: string): Promise<number> =>
      (await fetch(new URL(path, address), { headers: { authorization: `Bearer ${token}` } })).status;
    assert.deepEqual(
      [await asked('/api/v1/sessions'), await asked('/api/v1/audit'), await asked('/api/v1/account')],
      [200, 403, 403],
    );
    await ada.reload();
    await tokens.getByRole('button', { name: 'Revoke reports' }).click();
    assert.equal((await ada.content()).includes(token), false, 'shown once');
    await ada.getByRole('button', { name: 'Revoke it' }).click();
    await tokens.getByText('No API tokens.').waitFor();
    assert.equal(await asked('/api/v1/sessions'), 401);

    // What an administrator takes away.
    await admin.reload();
    const card = region(admin, 'ada');
    await card.getByText('password, authenticator app, 1 passkey').waitFor();
    await card.getByText('Change', { exact: true }).click();
    await card.getByRole('cell', { name: 'Password and code' }).waitFor();
    await card.getByRole('button', { name: 'Sign out everywhere' }).click();
    await card.getByText('Signed out: 2 browsers.').waitFor();
    await findsItselfSignedOut(second);
    await findsItselfSignedOut(ada);
    for (const [label, left] of [
      ['Reset passkeys', 'password, authenticator app'],
      ['Reset authenticator app', 'password'],
    ] as const) {
      await card.getByRole('button', { name: label }).click();
      await admin.getByRole('dialog').getByRole('button', { name: label }).click();
      await card.locator('dd').getByText(left, { exact: true }).waitFor();
    }
    await signIn(second, 'ada', password);
    await second.getByRole('link', { name: 'Account' }).waitFor();
    await card.getByLabel('Auditor').uncheck();
    await card.getByRole('button', { name: 'Save' }).click();
    await card.locator('dd').getByText('Session viewer', { exact: true }).waitFor();
    await card.getByRole('button', { name: 'Disable' }).click();
    await admin.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
    await card.getByText('disabled', { exact: true }).waitFor();
    await findsItselfSignedOut(second);
    await signIn(second, 'ada', password);
    await second.getByText('User name or password is wrong').waitFor();

    const own = region(admin, 'demo');
    await own.getByText('Change', { exact: true }).click();
    await own.getByRole('button', { name: 'Disable' }).click();
    await admin.getByRole('dialog').getByRole('button', { name: 'Disable' }).click();
    await admin.getByText('This is the last administrator').waitFor();
    assert.deepEqual(problems, []);
    for (const page of [admin, ada, second, third]) await page.context().close();
  });

  test('serves every page under a policy without exceptions, and hashed files for ever', async () => {
    for (const path of ['/', '/sessions', '/live', '/new', '/system', '/audit', '/account', '/users']) {
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

/** RFC 6238 by itself, so that the API's library is not held against itself. `steps`: from the present one. */
function totp(secret: string, steps: number): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g)!.map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac('sha1', key).update(counter).digest();
  const number = digest.readUInt32BE(digest.at(-1)! & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

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
