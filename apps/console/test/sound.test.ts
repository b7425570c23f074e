import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SoundType, soundMessage, soundWave2 } from '@lucid-sessions/rdp';
import { captureFrames, channelPdus, readCapture } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import type { Browser, Page } from 'playwright-core';
import { buildConsole } from '../build.ts';
import type { LucidPlayer } from '../src/player/lucid-player.ts';
import { browserMissing, launchBrowser } from './support/browser.ts';
import { type ContractServer, completedSession, makeToken, startContractServer } from './support/contract-server.ts';
import { capturesDirectory, sealFrames, type TimedFrame } from './support/recording.ts';

const sessionId = '5b1f0c1e-8a53-4b7e-9d10-0d7c2b9a6e77';
/** rdpsnd of the capture, whose first format is PCM of 44,100 Hz, 16 bits, stereo. */
const soundChannelId = 1005;
const pieceMs = 50;

/** A real session with a tone from 2.5 to 4.5 seconds. */
function framesWithSound(): TimedFrame[] {
  const frames = captureFrames(readCapture(join(capturesDirectory, 'xorg-clip-drive.rdpcap.gz')));
  const added: TimedFrame[] = [];
  for (let ms = 2500; ms < 4500; ms += pieceMs) {
    const data = new Uint8Array(44.1 * pieceMs * 4);
    const view = new DataView(data.buffer);
    for (let i = 0; i < data.length / 2; i += 1)
      view.setInt16(2 * i, 16_000 * Math.sin(((i >> 1) * 440 * 2 * Math.PI) / 44_100), true);
    const head = { wTimeStamp: 0, wFormatNo: 0, cBlockNo: 0, bPad: new Uint8Array(3), dwAudioTimeStamp: 0 };
    const wave = encode(soundWave2, { ...head, data });
    const message = encode(soundMessage, { msgType: SoundType.wave2, bPad: 0, bodySize: wave.length, data: wave });
    for (const { bytes } of channelPdus(true, soundChannelId, message))
      added.push({ kind: 0, flags: 1, timeUs: ms * 1000, body: bytes });
  }
  return [...frames.filter(({ timeUs }) => timeUs < 7e6), ...added].sort((a, b) => a.timeUs - b.timeUs) as TimedFrame[];
}

interface Heard {
  started: { at: number; now: number; seconds: number; loudest: number; rate: number }[];
  stopped: number;
  gain: number | null;
}

describe('sound in the player', { skip: browserMissing() }, () => {
  let server: ContractServer;
  let browser: Browser;
  let outdir: string;
  let page: Page;

  before(async () => {
    outdir = await mkdtemp(join(tmpdir(), 'lucid-sound-'));
    await buildConsole(outdir);
    const startedUs = Date.parse('2026-11-20T08:01:00Z') * 1000;
    const recording = await sealFrames(framesWithSound(), { sessionId, startedUs });
    server = await startContractServer(outdir, [completedSession(recording, { name: 'With sound' })]);
    browser = await launchBrowser();
    page = await (await browser.newContext({ viewport: { width: 1280, height: 820 } })).newPage();
    await page.addInitScript((token) => sessionStorage.setItem('lucid-token', token), makeToken());
    await page.addInitScript(() => {
      const heard: Heard = { started: [], stopped: 0, gain: null };
      Object.assign(window, { heard });
      const { start, stop } = AudioBufferSourceNode.prototype;
      AudioBufferSourceNode.prototype.start = function (this: AudioBufferSourceNode, at = 0) {
        const samples = this.buffer!.getChannelData(0);
        const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        const seconds = this.buffer!.duration;
        heard.started.push({ at, now: this.context.currentTime, seconds, loudest, rate: this.buffer!.sampleRate });
        start.call(this, at);
      };
      AudioBufferSourceNode.prototype.stop = function (this: AudioBufferSourceNode) {
        heard.stopped += 1;
        stop.call(this);
      };
      const connect = GainNode.prototype.connect;
      GainNode.prototype.connect = function (this: GainNode, ...to: unknown[]) {
        setInterval(() => {
          heard.gain = this.gain.value;
        }, 20);
        return (connect as (...nodes: unknown[]) => AudioNode).apply(this, to);
      } as typeof connect;
    });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    await rm(outdir, { recursive: true, force: true });
  });

  const heard = (): Promise<Heard> => page.evaluate(() => (window as unknown as { heard: Heard }).heard);
  /** Waits for what was heard to be so. */
  const until = async (condition: (now: Heard & { seconds: number }) => boolean): Promise<void> => {
    for (let tries = 0; tries < 600; tries += 1) {
      const seconds = await page.evaluate(() => (document.querySelector('lucid-player') as LucidPlayer).currentTime);
      if (condition({ ...(await heard()), seconds })) return;
      await page.waitForTimeout(100);
    }
    assert.fail(`waited in vain: ${condition}`);
  };
  const player = () => page.locator('lucid-player');
  const seek = (seconds: number): Promise<void> =>
    player().evaluate((element, to) => (element as LucidPlayer).seek(to), seconds);

  test('is heard in step while playing as it was, and silent on the way elsewhere', { timeout: 180_000 }, async () => {
    await page.goto(`${server.url}/sessions/${sessionId}`);
    await page.waitForFunction(
      () => ((document.querySelector('lucid-player') as LucidPlayer | null)?.duration ?? 0) > 4,
    );
    assert.equal((await heard()).started.length, 0);
    await seek(2.2);
    await page.evaluate(() => (document.querySelector('lucid-player') as LucidPlayer).play());
    await until((now) => now.started.length > 15);
    const { started } = await heard();
    for (const { at, now, seconds, loudest, rate } of started) {
      assert.ok(at >= now && at - now <= 1.6, `${at} at ${now}`);
      assert.ok(Math.abs(seconds - pieceMs / 1000) < 0.001);
      assert.ok(loudest > 0.45 && loudest < 0.5);
      assert.equal(rate, 44_100);
    }
    // One behind the other.
    started.slice(1).forEach(({ at }, i) => {
      assert.ok(at >= started[i]!.at + started[i]!.seconds - 0.001);
    });
    const button = page.getByRole('button', { name: 'Sound' });
    await button.click();
    await until(({ gain }) => gain === 0);
    assert.equal(await button.getAttribute('aria-pressed'), 'false');
    await page.keyboard.press('m');
    await until(({ gain }) => gain === 1);
    await page.getByRole('slider', { name: 'Volume' }).fill('0.5');
    await until(({ gain }) => gain === 0.5);
    const stoppedBefore = (await heard()).stopped;
    await page.evaluate(() => (document.querySelector('lucid-player') as LucidPlayer).pause());
    await until(({ stopped }) => stopped > stoppedBefore);
    const count = (await heard()).started.length;
    // Through the tone without stopping there, and through it twice as fast: nothing is heard.
    await seek(5);
    await seek(2.4);
    await page.evaluate(() => {
      const element = document.querySelector('lucid-player') as LucidPlayer;
      element.setRate(2);
      element.play();
    });
    await until(({ seconds }) => seconds > 4.6);
    assert.equal((await heard()).started.length, count);
    if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT });
  });
});
