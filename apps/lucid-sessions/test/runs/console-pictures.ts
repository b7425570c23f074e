/**
 * `npm run console-pictures`: the pictures of docs/console, taken of an installation with sessions of real clients (FreeRDP's,
 * on FreeRDP's server). Needs what `.ci/install-peers` installs. Look at them before you commit them.
 */
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, type PeerServer, signInLink, startShadow, startXfreerdp } from '@lucid-sessions/testkit';
import { chromium, type Page } from 'playwright-core';
import { loadAdminToken } from '../../src/server/admin-token.ts';
import { armSession, type Gateway, sessionIn, startGateway, verifySession } from '../support/gateway.ts';

const directory = join(import.meta.dirname, '../../../../docs/console');
const cleanups: (() => unknown)[] = [];
const context = { after: (cleanup: () => unknown) => void cleanups.push(cleanup) } as unknown as TestContext;

async function connect(gateway: Gateway, server: PeerServer, name: string, typed: string, ...flags: string[]) {
  const { id, routingToken } = await armSession(gateway, server.port, { name });
  const address = `127.0.0.1:${gateway.rdpPort}`;
  const client = await startXfreerdp(
    address,
    '/u:test',
    '/p:test',
    '-decorations',
    ...flags,
    `/load-balance-info:Cookie: msts=${routingToken}`,
  );
  cleanups.push(() => client.stop());
  await sessionIn(gateway, id, 'recording');
  await eventually(
    `"${typed}" on the desktop`,
    async () => {
      await client.click(200, 200);
      await client.type(typed);
      await sleep(500);
      return server.typedLines().some((line) => line.includes(typed));
    },
    40_000,
  );
  await sleep(1000);
  return { id, client };
}

async function record(gateway: Gateway, server: PeerServer, name: string, typed: string, ...flags: string[]) {
  const { id, client } = await connect(gateway, server, name, typed, ...flags);
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');
  return id;
}

async function picture(page: Page, name: string): Promise<void> {
  await sleep(800);
  // Of a form all that can be set.
  await page.screenshot({ path: join(directory, `${name}.png`), fullPage: name === 'new' });
  console.log(`docs/console/${name}.png`);
}

async function take(gateway: Gateway, ids: { done: string; unexamined: string; live: string }): Promise<void> {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  cleanups.push(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1280, height: 820 }, colorScheme: 'light' });
  const url = gateway.lucid.addresses.api ?? '';
  const admin = await loadAdminToken(gateway.lucid.directory, {});
  await page.goto(url);
  await picture(page, 'sign-in');
  const { link, button } = await signInLink({ url, token: admin?.token ?? '' });
  await page.goto(link);
  await page.getByRole('button', { name: button }).click();
  await page.locator('tbody tr').nth(2).waitFor();
  for (const scheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(`${url}/sessions`);
    await page.locator('tbody tr').nth(2).waitFor();
    await picture(page, `sessions-${scheme}`);
    await page.goto(`${url}/sessions/${ids.done}#t=4`);
    await page.getByText('Integrity').first().waitFor();
    await sleep(3000);
    await picture(page, `session-${scheme}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  for (const name of ['new', 'audit', 'system'] as const) {
    await page.goto(`${url}/${name}`);
    await picture(page, name);
  }
  // Whoever opens a session has it walked through: here that is held up, for as long as the picture takes.
  await page.route('**/keyframes?*', (route) => route.fulfill({ status: 503, json: {} }));
  await page.goto(`${url}/sessions/${ids.unexamined}#t=4`);
  await page.getByRole('button', { name: 'Examine' }).waitFor();
  await sleep(2000);
  await picture(page, 'session-examine');
  await page.unroute('**/keyframes?*');
  await page.goto(`${url}/live`);
  await page.getByRole('link', { name: /Month end/ }).waitFor();
  await picture(page, 'live');
  await page.goto(`${url}/sessions/${ids.live}`);
  await sleep(5000);
  await picture(page, 'live-session');
}

try {
  // A client that is ended says no goodbye: its session would wait for it.
  const gateway = await startGateway(context, { LUCID_RECONNECT_SECONDS: '0' });
  const server = await startShadow();
  cleanups.push(() => server.stop());
  const done = await record(
    gateway,
    server,
    'Payroll server, quarterly update',
    'systemctl restart payroll',
    '/bpp:32',
  );
  const unexamined = await record(gateway, server, 'Jump host', 'less /var/log/auth.log', '/rfx');
  await verifySession(gateway, done);
  const { id: live } = await connect(gateway, server, 'Month end closing', 'tail -f closing.log', '/rfx');
  await take(gateway, { done, unexamined, live });
} finally {
  for (const cleanup of cleanups.toReversed()) await cleanup();
}
