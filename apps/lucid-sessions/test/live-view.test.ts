/** A running session in a real browser: what the client draws is on the page's canvas while no chunk of it is stored. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectClient, type Desktop, type RdpClient, startDesktop } from '@lucid-sessions/desktop';
import { eventually, skipUnlessPeers } from '@lucid-sessions/testkit';
import { loadAdminToken } from '../src/server/admin-token.ts';
import { ConsolePage, startBrowser } from './support/console-page.ts';
import { armSession, type Gateway, sessionIn, startGateway } from './support/gateway.ts';

interface Watched {
  desktop: Desktop;
  gateway: Gateway;
  id: string;
  client: RdpClient;
  consolePage: ConsolePage;
}

async function watch(t: TestContext): Promise<Watched> {
  // A clock that stands still: the picture changes when the client does something, and only then.
  const desktop = await startDesktop({ now: () => new Date(0) });
  t.after(() => desktop.stop());
  const gateway = await startGateway(t);
  const { id, routingToken } = await armSession(gateway, desktop.port, { name: 'Watched' });
  const client = await connectClient({ port: gateway.rdpPort, routingToken, screenshots: true });
  t.after(() => client.close());
  await sessionIn(gateway, id, 'recording');
  const address = gateway.lucid.addresses.api ?? '';
  const consolePage = await ConsolePage.open(await startBrowser(t), address);
  await consolePage.signIn((await loadAdminToken(gateway.lucid.directory, {}))?.token ?? '');
  await consolePage.page.getByRole('link', { name: 'Live', exact: true }).click();
  await consolePage.page.getByRole('link', { name: 'Watch Watched' }).click();
  await consolePage.waitForPicture();
  // The client's own pointer is no part of its screenshot.
  await consolePage.page.getByRole('button', { name: 'Show the pointer' }).click();
  return { desktop, gateway, id, client, consolePage };
}

const storedChunks = async ({ gateway, id }: Watched): Promise<number> =>
  (await gateway.api.json<{ chunks: unknown[] }>('GET', `/sessions/${id}/chunks`)).chunks.length;

/** Types, and answers what the client shows then. */
async function draw({ client, desktop }: Watched, text: string): Promise<Buffer> {
  const lines = desktop.typedLines().length;
  await client.type(text);
  if (text.endsWith('\n')) await eventually('the line typed', () => desktop.typedLines().length > lines);
  await client.settled();
  return Buffer.from(client.screenshot().rgba);
}

const shown = async ({ consolePage }: Watched): Promise<Buffer> => (await consolePage.canvas()).data;

const shows = (watched: Watched, picture: Buffer, what: string): Promise<unknown> =>
  eventually(what, async () => picture.equals(await shown(watched)));

/** Draws until it is seen while no chunk was stored since before it was drawn: then it did not come from one. */
const drawsLive = (watched: Watched, text: string): Promise<Buffer> =>
  eventually(
    `"${text}" seen before it was stored`,
    async () => {
      const before = await storedChunks(watched);
      const picture = await draw(watched, text);
      await shows(watched, picture, `"${text}" on the canvas`);
      return (await storedChunks(watched)) === before && picture;
    },
    60_000,
  );

test('a running session is seen while it is recorded: paused, sought back in, resumed, and ended', async (t) => {
  if (skipUnlessPeers(t, 'chromium')) return;
  const watched = await watch(t);
  const { client, consolePage, gateway, id } = watched;
  const { page } = consolePage;
  // The page has a button of the same name that pauses the recording itself.
  const playback = page.getByRole('toolbar', { name: 'Playback' });
  const live = page.getByRole('button', { name: 'Live', exact: true });

  const first = await drawsLive(watched, 'seen before it is stored\n');
  const { currentTime: firstAt } = await consolePage.laterThanNow();
  const second = await drawsLive(watched, 'and more\n');
  assert.equal(second.equals(first), false);
  assert.equal(await live.getAttribute('aria-pressed'), 'true');

  await playback.getByRole('button', { name: 'Pause', exact: true }).click();
  await playback.getByRole('button', { name: 'Play', exact: true }).waitFor();
  const third = await draw(watched, 'typed while nobody looks\n');
  const { duration } = await consolePage.state();
  await page.waitForFunction((before) => {
    const player = document.querySelector('lucid-player') as HTMLElement & { duration: number };
    return player.duration > before + 1;
  }, duration);
  assert.ok((await shown(watched)).equals(second), 'a paused picture stands still');
  assert.equal(await live.getAttribute('aria-pressed'), 'false');

  await page.evaluate(
    (at) => (document.querySelector('lucid-player') as HTMLElement & { seek(seconds: number): void }).seek(at),
    firstAt,
  );
  await consolePage.restingAt(firstAt);
  await shows(watched, first, 'an earlier picture');

  await live.click();
  await shows(watched, third, 'what happens now');
  assert.equal(await live.getAttribute('aria-pressed'), 'true');

  const last = await draw(watched, 'the end\n');
  const asked = consolePage.requests.filter((path) => path.endsWith('/live') && path.includes(id));
  assert.equal(asked.length, 1, 'one stream for all of it');
  await client.close();
  await sessionIn(gateway, id, 'completed');
  await consolePage.ended();
  await live.waitFor({ state: 'hidden' });
  await shows(watched, last, 'the last picture, of a recording now');
  await consolePage.evidence.getByText('Integrity: unaltered', { exact: true }).waitFor();
  await page.getByRole('slider', { name: 'Position' }).press('Home');
  await consolePage.restingAt(0);

  // A browser notes refusals in its console: no records of a running session yet, no stream of one that has just ended.
  assert.deepEqual(
    consolePage.problems.filter((problem) => !/Failed to load resource.* (404|409|503) /.test(problem)),
    [],
  );
});

test('who comes late begins behind the stored chunks, and goes back into them', async (t) => {
  if (skipUnlessPeers(t, 'chromium')) return;
  const watched = await watch(t);
  const { client, consolePage, gateway, id } = watched;
  const { page } = consolePage;
  const first = await draw(watched, 'stored by now\n');
  // A pause closes the chunk.
  await gateway.api.json('POST', `/sessions/${id}/pause`, {});
  await gateway.api.json('POST', `/sessions/${id}/resume`, {});
  const chunk = await eventually('a stored chunk', async () => {
    type List = { chunks: { duration_seconds: number }[] };
    return (await gateway.api.json<List>('GET', `/sessions/${id}/chunks`)).chunks[0];
  });
  await page.reload();
  await consolePage.waitForPicture();
  await page.getByRole('button', { name: 'Show the pointer' }).click();
  const second = await drawsLive(watched, 'seen live\n');
  assert.equal(second.equals(first), false);

  await consolePage.focusPicture();
  await page.keyboard.press('k');
  await page.evaluate(
    (at) => (document.querySelector('lucid-player') as HTMLElement & { seek(seconds: number): void }).seek(at),
    chunk.duration_seconds,
  );
  await consolePage.restingAt(chunk.duration_seconds);
  await shows(watched, first, 'the picture at the end of the stored chunk');
  await page.keyboard.press('l');
  await shows(watched, second, 'what happens now');
  await client.close();
  await sessionIn(gateway, id, 'completed');
  await consolePage.ended();
});

const updates = 50;
/** Between updates, so that each is seen by itself. */
const quietMs = 150;

/** Notes in the page, at every displayed frame, when the canvas changed. */
async function noteChanges({ consolePage }: Watched): Promise<() => Promise<number[]>> {
  await consolePage.page.evaluate(() => {
    const changes: number[] = [];
    Object.assign(window, { changes });
    const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
    let before = -1;
    const look = (): void => {
      const canvas = document
        .querySelector('lucid-player')!
        .shadowRoot!.querySelector<HTMLCanvasElement>('.stage canvas')!;
      const { width, height } = canvas;
      if (copy.canvas.width !== width || copy.canvas.height !== height) Object.assign(copy.canvas, { width, height });
      copy.drawImage(canvas, 0, 0);
      const words = new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer);
      const sum = words.reduce((hash, word) => (Math.imul(hash, 31) + word) | 0, 0);
      if (sum !== before) changes.push(Date.now());
      before = sum;
      requestAnimationFrame(look);
    };
    look();
  });
  return () => consolePage.page.evaluate(() => (window as unknown as { changes: number[] }).changes);
}

test('every update is seen: how far behind the client the picture is', async (t) => {
  if (skipUnlessPeers(t, 'chromium')) return;
  const watched = await watch(t);
  const { client } = watched;
  const changes = await noteChanges(watched);
  await draw(watched, 'ready');
  const delaysMs: number[] = [];
  for (let i = 0; i < updates; i += 1) {
    await sleep(quietMs);
    const { updatesCount } = client.statistics;
    const seen = (await changes()).length;
    await client.type(String(i % 10));
    while (client.statistics.updatesCount === updatesCount) await new Promise((resolve) => setImmediate(resolve));
    const arrivedMs = Date.now();
    const shownMs = await eventually(`update ${i} on the canvas`, async () => (await changes())[seen]);
    delaysMs.push(shownMs - arrivedMs);
  }
  delaysMs.sort((a, b) => a - b);
  const [median, late, last] = [0.5, 0.95, 1].map((part) => delaysMs[Math.ceil(updates * part) - 1]);
  t.diagnostic(`client to viewer's canvas, ${updates} updates: p50 ${median} ms, p95 ${late} ms, longest ${last} ms`);
  await client.close();
});
