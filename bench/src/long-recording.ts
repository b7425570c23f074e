/**
 * `node bench/src/main.ts long-recording [--capture NAME,…] [--hours 8] [--seeks 200] [--dir PATH]`
 *
 * A recording of hours, made of a capture that is looped, goes through the chunk line of a running installation; then Debian's
 * chromium opens it in the console and seeks anywhere in it. Printed: how long opening and seeking take, the tab's memory on the
 * way, and what index and keyframes cost of what is stored.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rpcClient } from '@lucid-sessions/contract';
import { eventually, signInLink, writeLongRecording } from '@lucid-sessions/testkit';
import { type Browser, chromium, type Page } from 'playwright-core';

const root = join(import.meta.dirname, '../..');
const serviceSecret = 'a secret of this benchmark alone';
const walkMsMax = 30 * 60_000;
const memoryEvery = 25;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      capture: { type: 'string', default: 'xorg-bpp32-nocomp,gnome-type-gfx-default' },
      hours: { type: 'string', default: '8' },
      seeks: { type: 'string', default: '200' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const seeks = Number(values.seeks);
  const dataDir = await mkdtemp(join(values.dir, 'lucid-long-recording-'));
  const installation = await start(dataDir);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  try {
    for (const capture of values.capture.split(','))
      await measure(installation, browser, { capture, seconds: Number(values.hours) * 3600, seeks });
  } finally {
    await browser.close();
    installation.process.kill('SIGTERM');
    await once(installation.process, 'exit');
    await rm(dataDir, { recursive: true, force: true });
  }
}

interface Installation {
  process: ChildProcess;
  dataDir: string;
  urls: Record<'storage' | 'processor' | 'api', string>;
  token: string;
}

async function start(dataDir: string): Promise<Installation> {
  const ports = await freePorts(6);
  const [storage, processor, api, pipeline, recorder, rdp] = ports.map(String);
  const child = spawn(process.execPath, [join(root, 'apps/lucid-sessions/src/main.ts'), 'up'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      LUCID_DATA_DIR: dataDir,
      LUCID_SERVICE_SECRET: serviceSecret,
      SESSION_STORAGE_PORT: storage,
      CHUNK_PROCESSOR_PORT: processor,
      SESSION_API_PORT: api,
      SESSION_PIPELINE_PORT: pipeline,
      SESSION_RECORDER_PORT: recorder,
      RDP_LISTEN_PORT: rdp,
      LUCID_RATE_LIMIT_CHUNKS: '1000000',
      LUCID_RATE_LIMIT_READ: '1000000',
    },
  });
  const address = (port: string | undefined): string => `http://127.0.0.1:${port}`;
  const urls = { storage: address(storage), processor: address(processor), api: address(api) };
  await eventually(
    'the installation',
    async () => (await fetch(`${urls.api}/api/v1/health`).catch(() => null))?.ok,
    60_000,
  );
  const token = (await readFile(join(dataDir, 'secrets', 'admin-token'), 'utf8')).trim();
  return { process: child, dataDir, urls, token };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

interface Wanted {
  capture: string;
  seconds: number;
  seeks: number;
}

async function measure(installation: Installation, browser: Browser, wanted: Wanted): Promise<void> {
  const { capture, seconds, seeks } = wanted;
  const sessionId = `long-${capture.replaceAll('/', '-')}`;
  const token = { token: serviceSecret };
  const storage = rpcClient('storage', installation.urls.storage, token);
  const processor = rpcClient('processor', installation.urls.processor, token);
  const startedMs = performance.now();
  await writeLongRecording(
    { storage, processor },
    {
      sessionId,
      capturePath: join(root, `testkit/captures/${capture}.rdpcap.gz`),
      seconds,
      startedUs: Date.UTC(2026, 0, 1) * 1000,
    },
  );
  const writtenMs = performance.now();
  const chunks = await indexed(installation, sessionId);
  const indexedMs = performance.now();
  const sizes = sizesOf(installation.dataDir, sessionId);
  console.log(
    `\n${capture}, looped to ${(seconds / 3600).toFixed(2)} h: ${chunks} chunks, ${mb(sizes.chunks)} MB stored`,
  );
  console.log(
    `  written in ${((writtenMs - startedMs) / 1000).toFixed(0)} s, index and keyframes complete ${((indexedMs - writtenMs) / 1000).toFixed(0)} s later`,
  );
  const share = (bytes: number): string => `${((100 * bytes) / sizes.chunks).toFixed(2)} %`;
  console.log(
    `  index ${mb(sizes.index)} MB (${share(sizes.index)}), ${sizes.keyframesCount} keyframes ${mb(sizes.keyframes)} MB (${share(sizes.keyframes)}), together ${share(sizes.index + sizes.keyframes)}`,
  );
  await look(installation, browser, sessionId, seeks);
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);

/** Waits for index and keyframes; answers how many chunks there are. */
async function indexed({ urls, token }: Installation, sessionId: string): Promise<number> {
  const get = async <T>(path: string): Promise<T> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await (await fetch(`${urls.api}/api/v1/sessions/${sessionId}/${path}`, { headers })).json()) as T;
  };
  const { chunks } = await get<{ chunks: number }>('index?limit=1');
  await eventually(
    'keyframes of every chunk',
    async () => {
      const list = await get<{ covered_chunks: number; ended: string | null }>('keyframes?limit=1');
      await new Promise((resolve) => setTimeout(resolve, 500));
      return list.covered_chunks === chunks || list.ended !== null;
    },
    walkMsMax,
  );
  return chunks;
}

function sizesOf(dataDir: string, sessionId: string) {
  const sizes = { chunks: 0, index: 0, keyframes: 0, keyframesCount: 0 };
  const walk = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (path.includes(sessionId)) {
        const { size } = statSync(path);
        if (entry.name.startsWith('index-')) sizes.index += size;
        else if (entry.name.startsWith('keyframe-')) {
          sizes.keyframes += size;
          if (entry.name !== 'keyframe-list') sizes.keyframesCount += 1;
        } else if (entry.name.endsWith('.chunk')) sizes.chunks += size;
      }
    }
  };
  walk(join(dataDir, 'chunks'));
  return sizes;
}

interface PlayerElement extends HTMLElement {
  duration: number;
  seek(seconds: number): void;
}

async function look(installation: Installation, browser: Browser, sessionId: string, seeks: number): Promise<void> {
  const { urls, token } = installation;
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 } });
  const page = await context.newPage();
  const { link, button } = await signInLink({ url: urls.api, token });
  await page.goto(link);
  await page.getByRole('button', { name: button }).click();
  await page.getByRole('heading', { name: 'Sessions', level: 1 }).waitFor();
  await page.addInitScript(() => {
    const noted = window as unknown as { openedMs: number };
    document.addEventListener(
      'lucid-opened',
      () => {
        noted.openedMs = performance.now();
      },
      true,
    );
  });
  const opens: number[] = [];
  for (let turn = 0; turn < 5; turn += 1) {
    await page.goto(`${urls.api}/sessions/${sessionId}`);
    await page.waitForFunction(() => (window as unknown as { openedMs?: number }).openedMs !== undefined);
    opens.push(await page.evaluate(() => (window as unknown as { openedMs: number }).openedMs));
  }
  console.log(`  page asked for → first picture, ms: ${opens.map((ms) => ms.toFixed(0)).join(', ')}`);
  const times: number[] = [];
  const memory: string[] = [await memoryOf(browser, page)];
  let random = 42;
  for (let seek = 0; seek < seeks; seek += 1) {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    times.push(await seekTo(page, random / 2 ** 32));
    if ((seek + 1) % memoryEvery === 0) memory.push(await memoryOf(browser, page));
  }
  times.sort((a, b) => a - b);
  const at = (part: number): string => times[Math.min(times.length - 1, Math.floor(times.length * part))]!.toFixed(0);
  console.log(
    `  ${seeks} seeks anywhere → picture, ms: p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, max ${times.at(-1)!.toFixed(0)}`,
  );
  console.log(`  memory after every ${memoryEvery} seeks, MB (page heap / renderer resident): ${memory.join(', ')}`);
  await context.close();
}

/** Seeks to a part of the duration; answers the ms until its picture is painted. */
function seekTo(page: Page, part: number): Promise<number> {
  return page.evaluate(
    (where) =>
      new Promise<number>((resolve) => {
        const player = document.querySelector('lucid-player') as PlayerElement;
        const seconds = Math.round(player.duration * where * 1000) / 1000;
        const startedMs = performance.now();
        const settled = ({ detail }: CustomEventInit<{ seconds: number; state: string }>): void => {
          if (Math.abs(detail!.seconds - seconds) > 0.001 || detail!.state !== 'paused') return;
          player.removeEventListener('lucid-position', settled);
          resolve(performance.now() - startedMs);
        };
        player.addEventListener('lucid-position', settled);
        player.seek(seconds);
      }),
    part,
  );
}

async function memoryOf(browser: Browser, page: Page): Promise<string> {
  const heap = await page.evaluate(
    () => (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize,
  );
  const cdp = await browser.newBrowserCDPSession();
  const { processInfo } = (await cdp.send('SystemInfo.getProcessInfo')) as {
    processInfo: { type: string; id: number }[];
  };
  await cdp.detach();
  // The tab's own renderer is the largest: others are spares.
  const resident = processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => residentBytes(id));
  return `${(heap / 1e6).toFixed(0)}/${(Math.max(...resident) / 1e6).toFixed(0)}`;
}

function residentBytes(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}
