/** Sound of a session in its video: what comes out of ffmpeg again is what was sent. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import {
  type AudioFormat,
  AudioFormatTag,
  SoundType,
  soundFormats,
  soundMessage,
  soundWave2,
} from '@lucid-sessions/rdp';
import { decodeSound } from '@lucid-sessions/rdp/sound';
import { type CaptureRecord, channelPdus, temporaryDirectory } from '@lucid-sessions/testkit';
import { encode } from '@lucid-sessions/wire';
import { Output } from '../src/cli/output.ts';
import { runVideo } from '../src/commands/recording-output.ts';
import type { VideoResult } from '../src/commands/video.ts';
import { recordsOf, writePlainBundle } from './support/plain-bundle.ts';

const run = promisify(execFile);
/** rdpsnd of the capture. */
const soundChannelId = 1005;

function directoryWithFfmpeg(t: TestContext): string | null {
  try {
    execFileSync('ffmpeg', ['-version'], { stdio: 'ignore' });
  } catch {
    const message = 'needs ffmpeg: apt install ffmpeg';
    if (process.env.REQUIRE_PEERS === '1') throw new Error(`REQUIRE_PEERS=1, but this test ${message}`);
    t.skip(message);
    return null;
  }
  const directory = temporaryDirectory('sound');
  return directory;
}

const ffmpeg = async (...args: string[]): Promise<Buffer> =>
  (await run('ffmpeg', ['-v', 'error', '-y', ...args], { encoding: 'buffer', maxBuffer: 64 << 20 })).stdout;

/** A second of a tone, as a codec of ffmpeg writes it into a WAVE file: its format and data. */
async function tone(
  directory: string,
  codec: string,
  channels: number,
): Promise<{ format: AudioFormat; data: Buffer; samples: Int16Array }> {
  const file = join(directory, `${codec}-${channels}.wav`);
  const source = `sine=frequency=440:sample_rate=22050:duration=1,volume=12dB`;
  await ffmpeg('-f', 'lavfi', '-i', source, '-ac', `${channels}`, '-c:a', codec, file);
  const decoded = await ffmpeg('-i', file, '-f', 's16le', 'pipe:1');
  const { fmt, data } = chunksOf(await ffmpeg('-i', file, '-c', 'copy', '-f', 'wav', 'pipe:1'));
  const format = {
    wFormatTag: fmt.readUInt16LE(0),
    nChannels: fmt.readUInt16LE(2),
    nSamplesPerSec: fmt.readUInt32LE(4),
    nAvgBytesPerSec: fmt.readUInt32LE(8),
    nBlockAlign: fmt.readUInt16LE(12),
    wBitsPerSample: fmt.readUInt16LE(14),
    data: new Uint8Array(fmt.subarray(18)),
  };
  const samples = new Int16Array(decoded.buffer.slice(decoded.byteOffset, decoded.byteOffset + decoded.length));
  return { format, data, samples };
}

function chunksOf(wave: Buffer): { fmt: Buffer; data: Buffer } {
  const found: Record<string, Buffer> = {};
  for (let at = 12; at + 8 <= wave.length; ) {
    const name = wave.toString('latin1', at, at + 4).trim();
    const length = Math.min(wave.readUInt32LE(at + 4), wave.length - at - 8);
    found[name] = wave.subarray(at + 8, at + 8 + length);
    at += 8 + length + (length & 1);
  }
  return { fmt: found.fmt!, data: found.data! };
}

test('ADPCM and companded sound is what ffmpeg makes of it', { timeout: 120_000 }, async (t) => {
  const directory = directoryWithFfmpeg(t);
  if (directory === null) return;
  for (const codec of ['adpcm_ms', 'adpcm_ima_wav', 'pcm_alaw', 'pcm_mulaw', 'pcm_u8', 'pcm_s16le'])
    for (const channels of [1, 2]) {
      const { format, data, samples } = await tone(directory, codec, channels);
      const decoded = decodeSound(format, data)!;
      assert.equal(decoded.channels.length, channels);
      assert.ok(decoded.channels[0]!.length * channels >= samples.length - 4);
      // ffmpeg rounds IMA steps once, the reference each part of them.
      const allowed = codec === 'adpcm_ima_wav' ? 64 : 0;
      const length = Math.min(decoded.channels[0]!.length * channels, samples.length);
      for (let i = 0; i < length; i += 1) {
        const sample = Math.round(decoded.channels[i % channels]![Math.floor(i / channels)]! * 32768);
        assert.ok(
          Math.abs(sample - samples[i]!) <= allowed,
          `${codec} ${channels}: ${sample} for ${samples[i]} at ${i}`,
        );
      }
    }
});

const message = (msgType: number, data: Uint8Array): Uint8Array =>
  encode(soundMessage, { msgType, bPad: 0, bodySize: data.length & 0xffff, data });

/** A capture with a second of sound from its third second on, in pieces of so many bytes. */
function withSound(format: AudioFormat, pieces: readonly Uint8Array[], everyMs: number): CaptureRecord[] {
  const records = recordsOf('xorg-clip-drive').filter(({ timeMs }) => timeMs < 5000);
  const head = { dwFlags: 3, dwVolume: 0, dwPitch: 0, wDGramPort: 0, cLastBlockConfirmed: 0, wVersion: 8, bPad: 0 };
  const sent = [
    {
      fromServer: false,
      timeMs: 2900,
      data: message(SoundType.formats, encode(soundFormats, { ...head, formats: [format] })),
    },
  ];
  pieces.forEach((data, i) => {
    const wave = { wTimeStamp: 0, wFormatNo: 0, cBlockNo: i & 255, bPad: new Uint8Array(3), dwAudioTimeStamp: 0, data };
    sent.push({
      fromServer: true,
      timeMs: 3000 + i * everyMs,
      data: message(SoundType.wave2, encode(soundWave2, wave)),
    });
  });
  const added = sent.flatMap(({ fromServer, timeMs, data }) =>
    channelPdus(fromServer, soundChannelId, data).map(({ bytes }) => ({ fromServer, timeMs, bytes, beforeTls: false })),
  );
  return [...records, ...added].sort((a, b) => a.timeMs - b.timeMs);
}

async function film(
  directory: string,
  name: string,
  records: CaptureRecord[],
  speed = 1,
): Promise<{ result: VideoResult; out: string }> {
  const bundle = await writePlainBundle(join(directory, `${name}.bundle`), records);
  const out = join(directory, name);
  let printed = '';
  const collect = (text: string): void => {
    printed += text;
  };
  const output = new Output({ stdout: { write: collect }, stderr: { write: () => {} } }, true);
  const api = (): never => assert.fail('a bundle needs no API');
  await runVideo(bundle, { api, pointer: false, from: 0, speed, fps: 10, out }, output);
  return { result: JSON.parse(printed) as VideoResult, out };
}

/** Loudness of tenths of a second, 0–1. */
async function loudness(file: string): Promise<number[]> {
  const bytes = await ffmpeg('-i', file, '-f', 's16le', '-ar', '8000', '-ac', '1', 'pipe:1');
  return Array.from({ length: Math.floor(bytes.length / 1600) }, (_, tenth) => {
    let sum = 0;
    for (let i = 0; i < 800; i += 1) sum += bytes.readInt16LE(1600 * tenth + 2 * i) ** 2;
    return Math.sqrt(sum / 800) / 32768;
  });
}

const piecesOf = (data: Buffer, size: number): Uint8Array[] =>
  Array.from(
    { length: Math.floor(data.length / size) },
    (_, i) => new Uint8Array(data.subarray(i * size, (i + 1) * size)),
  );

test('a video has the session’s sound where it was heard, in both formats', { timeout: 300_000 }, async (t) => {
  const directory = directoryWithFfmpeg(t);
  if (directory === null) return;
  const ima = await tone(directory, 'adpcm_ima_wav', 2);
  const pcm = await tone(directory, 'pcm_s16le', 2);
  for (const [name, { format, data }, size] of [
    ['ima.mp4', ima, ima.format.nBlockAlign],
    ['pcm.webm', pcm, 8820],
  ] as const) {
    const pieces = piecesOf(data, size);
    const { result, out } = await film(directory, name, withSound(format, pieces, Math.floor(1000 / pieces.length)));
    assert.equal(result.sound, true);
    const tenths = await loudness(out);
    const at = (from: number, to: number): number[] => tenths.slice(from, to);
    assert.ok(Math.max(...at(0, 28)) < 0.01, `${name}: silent before`);
    assert.ok(Math.min(...at(32, 38)) > 0.1, `${name}: heard: ${at(28, 45)}`);
    assert.ok(Math.max(...tenths.slice(43)) < 0.01, `${name}: silent behind`);
    assert.deepEqual(
      readdirSync(directory).filter((file) => file.includes('sound') || file.includes('joined')),
      [],
    );
  }
  const quiet = await film(directory, 'fast.mp4', withSound(pcm.format, piecesOf(pcm.data, 8820), 100), 2);
  assert.equal(quiet.result.sound, false);
  assert.ok(existsSync(quiet.out));
});

test('AAC and Opus are heard too, through ffmpeg', { timeout: 300_000 }, async (t) => {
  const directory = directoryWithFfmpeg(t);
  if (directory === null) return;
  const source = ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000:duration=1,volume=12dB', '-ac', '2'];
  const base = {
    nChannels: 2,
    nSamplesPerSec: 48_000,
    nAvgBytesPerSec: 16_000,
    nBlockAlign: 4,
    wBitsPerSample: 16,
    data: new Uint8Array(0),
  };
  const adts = await ffmpeg(...source, '-c:a', 'aac', '-f', 'adts', 'pipe:1');
  const units: Uint8Array[] = [];
  for (let at = 0; at + 7 <= adts.length; ) {
    const length = ((adts[at + 3]! & 3) << 11) | (adts[at + 4]! << 3) | (adts[at + 5]! >> 5);
    // As Windows sends them: without a header.
    units.push(new Uint8Array(adts.subarray(at + 7, at + length)));
    at += length;
  }
  const ogg = await ffmpeg(...source, '-c:a', 'libopus', '-page_duration', '1', '-f', 'ogg', 'pipe:1');
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
  for (const [name, format, pieces] of [
    ['aac.mp4', { ...base, wFormatTag: AudioFormatTag.aac }, units],
    ['opus.webm', { ...base, wFormatTag: AudioFormatTag.opus }, packets.slice(2)],
  ] as const) {
    const { result, out } = await film(directory, name, withSound(format, pieces, Math.floor(1000 / pieces.length)));
    assert.equal(result.sound, true, name);
    const tenths = await loudness(out);
    assert.ok(Math.max(...tenths.slice(0, 28)) < 0.01, `${name}: silent before`);
    assert.ok(Math.min(...tenths.slice(32, 38)) > 0.1, `${name}: heard: ${tenths.slice(28, 45)}`);
  }
});
