import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AudioFormatTag, SoundType, soundFormats, soundMessage, soundVolume, soundWave2 } from '@lucid-sessions/rdp';
import { captureFrames, channelPdus, peersMissing, readCapture, skipUnlessPeers } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import type { Browser, Page } from 'playwright-core';
import { buildConsole } from '../build.ts';
import type { LucidPlayer } from '../src/player/page/lucid-player.ts';
import { browserMissing, launchBrowser } from './support/browser.ts';
import { type ContractServer, completedSession, makeToken, startContractServer } from './support/contract-server.ts';
import { capturesDirectory, sealFrames, type TimedFrame } from './support/recording.ts';

const sessionId = '5b1f0c1e-8a53-4b7e-9d10-0d7c2b9a6e77';
const aacId = '5b1f0c1e-8a53-4b7e-9d10-0d7c2b9a6e78';
const opusId = '5b1f0c1e-8a53-4b7e-9d10-0d7c2b9a6e79';
/** rdpsnd of the capture, whose first format is PCM of 44,100 Hz, 16 bits, stereo. */
const soundChannelId = 1005;
const pieceMs = 50;

const withMessage = (added: TimedFrame[], fromServer: boolean, ms: number, msgType: number, data: Uint8Array): void => {
  const message = encode(soundMessage, { msgType, bPad: 0, bodySize: data.length, data });
  for (const { bytes } of channelPdus(fromServer, soundChannelId, message))
    added.push({ kind: 0, flags: fromServer ? 1 : 0, timeUs: ms * 1000, body: bytes });
};
const waveOf = (wFormatNo: number, data: Uint8Array): Uint8Array =>
  encode(soundWave2, { wTimeStamp: 0, wFormatNo, cBlockNo: 0, bPad: new Uint8Array(3), dwAudioTimeStamp: 0, data });

const joined = (frames: readonly TimedFrame[], added: readonly TimedFrame[]): TimedFrame[] =>
  [...frames.filter(({ timeUs }) => timeUs < 7e6), ...added].sort((a, b) => a.timeUs - b.timeUs);

/** Two seconds of a tone, by an encoder of ffmpeg's. */
const encoded = (...how: string[]): Buffer =>
  execFileSync(
    'ffmpeg',
    [
      ...[
        '-v',
        'error',
        '-f',
        'lavfi',
        '-i',
        'sine=frequency=440:sample_rate=48000:duration=2,volume=12dB',
        '-ac',
        '2',
      ],
      ...how,
      'pipe:1',
    ],
    { maxBuffer: 1 << 24 },
  );

/** Access units as Windows sends them: without the header. */
function aacUnits(): Uint8Array[] {
  const adts = encoded('-c:a', 'aac', '-f', 'adts');
  const units: Uint8Array[] = [];
  for (let at = 0; at + 7 <= adts.length; ) {
    const length = ((adts[at + 3]! & 3) << 11) | (adts[at + 4]! << 3) | (adts[at + 5]! >> 5);
    units.push(new Uint8Array(adts.subarray(at + 7, at + length)));
    at += length;
  }
  return units;
}

/** The packets of an Ogg stream that has each in pages of its own, its two heads left out. */
function opusPackets(): Uint8Array[] {
  const ogg = encoded('-c:a', 'libopus', '-page_duration', '1', '-f', 'ogg');
  const packets: Uint8Array[] = [];
  for (let at = 0; at < ogg.length; ) {
    const lengths = [...ogg.subarray(at + 27, at + 27 + ogg[at + 26]!)];
    let from = at + 27 + lengths.length;
    let packet = 0;
    for (const length of lengths) {
      packet += length;
      if (length === 255) continue;
      packets.push(new Uint8Array(ogg.subarray(from, from + packet)));
      from += packet;
      packet = 0;
    }
    at = from;
  }
  return packets.slice(2);
}

/** The same session with the tone as AAC or Opus, at half the volume from its middle on. */
function framesWith(tag: number, pieces: readonly Uint8Array[]): TimedFrame[] {
  const format = { wFormatTag: tag, nChannels: 2, nSamplesPerSec: 48_000, nAvgBytesPerSec: 16_000, nBlockAlign: 4 };
  const formats = [{ ...format, wBitsPerSample: 16, data: new Uint8Array(0) }];
  const head = { dwFlags: 1, dwVolume: 0, dwPitch: 0, wDGramPort: 0, cLastBlockConfirmed: 0, wVersion: 8, bPad: 0 };
  const added: TimedFrame[] = [];
  withMessage(added, false, 2400, SoundType.formats, encode(soundFormats, { ...head, formats }));
  withMessage(added, true, 3500, SoundType.setVolume, encode(soundVolume, { left: 0x7fff, right: 0x7fff }));
  for (const [at, piece] of pieces.entries())
    withMessage(added, true, 2500 + Math.floor((at * 2000) / pieces.length), SoundType.wave2, waveOf(0, piece));
  return joined(
    captureFrames(readCapture(join(capturesDirectory, 'xorg-clip-drive.rdpcap.gz'))) as TimedFrame[],
    added,
  );
}

/** A real session with a tone from 2.5 to 4.5 seconds. */
function framesWithSound(): TimedFrame[] {
  const frames = captureFrames(readCapture(join(capturesDirectory, 'xorg-clip-drive.rdpcap.gz'))) as TimedFrame[];
  const added: TimedFrame[] = [];
  for (let ms = 2500; ms < 4500; ms += pieceMs) {
    const data = new Uint8Array(44.1 * pieceMs * 4);
    const view = new DataView(data.buffer);
    for (let i = 0; i < data.length / 2; i += 1)
      view.setInt16(2 * i, 16_000 * Math.sin(((i >> 1) * 440 * 2 * Math.PI) / 44_100), true);
    withMessage(added, true, ms, SoundType.wave2, waveOf(0, data));
  }
  return joined(frames, added);
}

interface Heard {
  started: { at: number; now: number; seconds: number; loudest: number; rate: number; crossings: number }[];
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
    const sessions = [completedSession(recording, { name: 'With sound' })];
    if (peersMissing('ffmpeg').length === 0)
      for (const [id, tag, pieces] of [
        [aacId, AudioFormatTag.aac, aacUnits()],
        [opusId, AudioFormatTag.opus, opusPackets()],
      ] as const) {
        const made = await sealFrames(framesWith(tag, pieces), { sessionId: id, startedUs });
        sessions.push(completedSession(made, { name: id, session_id: id }));
      }
    server = await startContractServer(outdir, sessions);
    browser = await launchBrowser();
    page = await (await browser.newContext({ viewport: { width: 1280, height: 820 } })).newPage();
    await page.context().addCookies([{ name: 'lucid-session', value: makeToken(), url: server.url }]);
    await page.addInitScript(() => {
      const heard: Heard = { started: [], stopped: 0, gain: null };
      Object.assign(window, { heard });
      const { start, stop } = AudioBufferSourceNode.prototype;
      AudioBufferSourceNode.prototype.start = function (this: AudioBufferSourceNode, at = 0) {
        const samples = this.buffer!.getChannelData(0);
        const loudest = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        const seconds = this.buffer!.duration;
        let crossings = 0;
        for (let i = 1; i < samples.length; i += 1) if (samples[i - 1]! < 0 !== samples[i]! < 0) crossings += 1;
        const rate = this.buffer!.sampleRate;
        heard.started.push({ at, now: this.context.currentTime, seconds, loudest, rate, crossings });
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
    // On a busy machine the tone may be over by now: what is stopped must sound.
    const startedBefore = (await heard()).started.length;
    await seek(2.2);
    await until((now) => now.started.length > startedBefore + 3);
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

  for (const [name, id] of [
    ['AAC as Windows sends it', aacId],
    ['Opus', opusId],
  ] as const)
    test(`${name} is heard, at the volume the server sets on the way`, { timeout: 180_000 }, async (t) => {
      if (skipUnlessPeers(t, 'ffmpeg')) return;
      await page.goto(`${server.url}/sessions/${id}`);
      await page.waitForFunction(
        () => ((document.querySelector('lucid-player') as LucidPlayer | null)?.duration ?? 0) > 4,
      );
      await seek(2.2);
      await page.evaluate(() => (document.querySelector('lucid-player') as LucidPlayer).play());
      await until(({ seconds }) => seconds > 5);
      const { started } = await heard();
      const length = started.reduce((sum, { seconds }) => sum + seconds, 0);
      // A decoder begins with a frame of silence, and some come too late to be heard on a busy machine.
      assert.ok(length > 1 && length < 2.2, `${length} s`);
      const tone = started.filter(({ loudest }) => loudest > 0.1);
      const perSecond =
        tone.reduce((sum, one) => sum + one.crossings, 0) / tone.reduce((sum, one) => sum + one.seconds, 0);
      assert.ok(Math.abs(perSecond - 880) < 25, `${perSecond} crossings a second`);
      assert.ok(started.every(({ rate }) => rate === 48_000));
      const loudest = Math.max(...started.map((one) => one.loudest));
      const last = started.slice(-8, -2).map((one) => one.loudest);
      assert.ok(Math.abs(Math.max(...last) / loudest - 0.5) < 0.1, `${last} after ${loudest}`);
    });
});
