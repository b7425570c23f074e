/** A running session is taken over from the console in a real browser, with its user's consent; the recording says so, and verifies. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  eventually,
  type PeerClient,
  type PeerServer,
  skipUnlessPeers,
  startShadow,
  startXfreerdp,
} from '@lucid-sessions/testkit';
import { loadAdminToken } from '../src/server/admin-token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { armSession, type Gateway, sessionIn, startGateway, verifySession } from './support/gateway.ts';

/** Where to leave pictures of the page and of the client, for whoever wants to look at them. */
const screenshotsDirectory = process.env.SCREENSHOTS_DIR;

interface Scene {
  gateway: Gateway;
  id: string;
  server: PeerServer;
  client: PeerClient;
  joiner: ConsolePage;
}

/** xfreerdp works in a session to FreeRDP's shadow server, and somebody watches it in the console. */
async function scene(t: TestContext): Promise<Scene> {
  const server = await startShadow();
  t.after(() => server.stop());
  const gateway = await startGateway(t);
  const { id, routingToken } = await armSession(gateway, server.port, {
    name: 'Helped',
    recording_config: { reconnect_seconds: 0 },
  });
  const client = await startXfreerdp(
    `127.0.0.1:${gateway.rdpPort}`,
    `/load-balance-info:Cookie: msts=${routingToken}`,
    '/u:test',
    '/p:test',
    '/size:1024x768',
    '/kbd:0x409',
    '/bpp:16',
  );
  t.after(() => client.stop());
  await sessionIn(gateway, id, 'recording');
  const address = gateway.lucid.addresses.api ?? '';
  const joiner = await ConsolePage.open(await startBrowser(t), address);
  await joiner.signIn((await loadAdminToken(gateway.lucid.directory, {}))?.token ?? '');
  await joiner.page.getByRole('link', { name: 'Live', exact: true }).click();
  await joiner.page.getByRole('link', { name: 'Watch Helped' }).click();
  await joiner.waitForPicture();
  return { gateway, id, server, client, joiner };
}

async function look({ joiner, client }: Scene, name: string): Promise<void> {
  if (screenshotsDirectory === undefined) return;
  mkdirSync(screenshotsDirectory, { recursive: true });
  await joiner.page.screenshot({ path: join(screenshotsDirectory, `steering-${name}-console.png`) });
  await client.screenshot(join(screenshotsDirectory, `steering-${name}-client.png`));
}

/** The user's strip is there: its colour in 16 bits, which this desktop has nowhere else. */
const isAsked = ({ client }: Scene): Promise<unknown> => eventually('the strip', () => client.shows(0xfffbc6));

async function end({ gateway, client, id }: Scene) {
  await client.closeClient();
  await sessionIn(gateway, id, 'completed');
  const { verdicts, facts } = await verifySession(gateway, id);
  assert.deepEqual([verdicts.integrity, verdicts.completeness], ['intact', 'whole']);
  return facts.steering.map(({ by, consent, end: how }) => [by, consent, how]);
}

test('taken over in Chromium: what is typed in the console arrives, and the user takes it back', {
  timeout: 240_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'chromium', 'shadow', 'xfreerdp')) return;
  const all = await scene(t);
  const { gateway, id, server, client, joiner } = all;
  const { page } = joiner;
  await page.getByRole('button', { name: 'Take over' }).click();
  await page.getByText('Asking the user.').waitFor();
  await isAsked(all);
  await look(all, 'asking');
  await client.key('ctrl+shift+F9');
  await page.getByText('You steer. Click into').waitFor();
  const pad = page.getByRole('application', { name: 'The desktop, steered from here' });
  await pad.waitFor();
  const box = (await pad.boundingBox())!;
  await eventually(
    'what was typed in the console',
    async () => {
      // The terminal of this desktop, wherever the picture is fitted.
      await page.mouse.click(box.x + box.width * 0.25, box.y + box.height * 0.35);
      await page.keyboard.type('echo from-the-console', { delay: 20 });
      await page.keyboard.press('Enter');
      await page.waitForTimeout(700);
      return server.typedLines().some((line) => line.includes('from-the-console'));
    },
    60_000,
  );
  await look(all, 'steering');
  await client.key('ctrl+shift+F10');
  await page.getByText('You steer no more: its user took it back.').waitFor();
  assert.equal(await pad.count(), 0);
  const takeOver = page.getByRole('button', { name: 'Take over' });
  assert.equal(await takeOver.isVisible(), true);
  const steering = await end(all);
  await takeOver.waitFor({ state: 'hidden' });
  assert.deepEqual(joiner.problems, []);
  assert.deepEqual(steering, [['console', 'user', 'its user took it back']]);
  const events = JSON.stringify(await gateway.api.json('GET', `/sessions/${id}/events`));
  assert.match(events, /"state":"began"/);
});

test('refused by its user; and a browser that is gone steers no more', { timeout: 240_000 }, async (t) => {
  if (skipUnlessPeers(t, 'chromium', 'shadow', 'xfreerdp')) return;
  const all = await scene(t);
  const { client, joiner } = all;
  const { page } = joiner;
  await page.getByRole('button', { name: 'Take over' }).click();
  await isAsked(all);
  await client.key('ctrl+shift+F10');
  await page.getByText('Not taken over: its user refused.').waitFor();
  await page.getByRole('button', { name: 'Take over' }).click();
  await isAsked(all);
  await client.key('ctrl+shift+F9');
  await page.getByText('You steer. Click into').waitFor();
  await page.context().close();
  await eventually('the strip is gone', async () => !(await client.shows(0xfffbc6)));
  assert.deepEqual(await end(all), [
    ['console', 'none', 'its user refused'],
    ['console', 'user', 'who steered left, or their connection was lost'],
  ]);
});
