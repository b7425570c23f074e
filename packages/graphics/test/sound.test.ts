import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AudioFormat,
  AudioFormatTag,
  SoundType,
  soundFormats,
  soundMessage,
  soundVolume,
  soundWave2,
  soundWaveInfo,
} from '@lucid-sessions/rdp';
import {
  decodeImaAdpcm,
  decodeMsAdpcm,
  decodeSound,
  type SoundPiece,
  SoundStreams,
  soundPackets,
} from '@lucid-sessions/rdp/sound';
import { channelPdus, DynamicChannels, readCapture } from '@lucid-sessions/testkit';
import { DecodeError, encode } from '@lucid-sessions/wire';
import fc from 'fast-check';
import { SessionDecoder } from '../src/index.ts';

const hex = (digits: string): Uint8Array => Uint8Array.from(Buffer.from(digits.replace(/\s+/g, ''), 'hex'));
const format = (wFormatTag: number, nChannels = 1, nBlockAlign = 32, wBitsPerSample = 16): AudioFormat => ({
  wFormatTag,
  nChannels,
  nSamplesPerSec: 44_100,
  nAvgBytesPerSec: 0,
  nBlockAlign,
  wBitsPerSample,
  data: new Uint8Array(0),
});
const message = (msgType: number, data: Uint8Array, bodySize = data.length): Uint8Array =>
  encode(soundMessage, { msgType, bPad: 0, bodySize, data });
const formatsMessage = (...formats: AudioFormat[]): Uint8Array => {
  const head = { dwFlags: 3, dwVolume: 0, dwPitch: 0, wDGramPort: 0, cLastBlockConfirmed: 0, wVersion: 8, bPad: 0 };
  return message(SoundType.formats, encode(soundFormats, { ...head, formats }));
};
const block = { wTimeStamp: 0, cBlockNo: 1, bPad: new Uint8Array(3) };
const wave2 = (wFormatNo: number, data: Uint8Array): Uint8Array =>
  message(SoundType.wave2, encode(soundWave2, { ...block, wFormatNo, dwAudioTimeStamp: 0, data }));

test('waves in both forms, with the client’s formats and the server’s volume, and nothing else', () => {
  let streams = new SoundStreams();
  const push = (sender: 'client' | 'server', bytes: Uint8Array): SoundPiece | null => {
    const next = new SoundStreams();
    next.restore(structuredClone(streams.snapshot()));
    streams = next;
    return streams.push('rdpsnd', sender, bytes);
  };
  const pcm = format(AudioFormatTag.pcm);
  assert.equal(push('server', formatsMessage(format(9), pcm)), null);
  assert.equal(push('client', formatsMessage(pcm, format(AudioFormatTag.alaw))), null);
  assert.equal(push('client', message(SoundType.waveConfirm, hex('0000 01 00'))), null);
  const piece = push('server', wave2(1, hex('0102')));
  assert.deepEqual([piece?.format.wFormatTag, piece?.data, piece?.volume], [AudioFormatTag.alaw, hex('0102'), [1, 1]]);
  push('server', message(SoundType.setVolume, encode(soundVolume, { left: 0xffff, right: 0 })));
  const info = encode(soundWaveInfo, { ...block, wFormatNo: 0, data: hex('01020304') });
  assert.equal(push('server', message(SoundType.wave, info, 8 + 6)), null);
  // The client confirms in between; the second half has no header.
  assert.equal(push('client', message(SoundType.waveConfirm, hex('0000 01 00'))), null);
  const whole = push('server', hex('00000000 0506'));
  assert.deepEqual([whole?.data, whole?.volume], [hex('010203040506'), [1, 0]]);
  assert.equal(push('server', wave2(7, hex('01')))?.format.nChannels, 0);
  assert.throws(() => push('server', hex('0d')), DecodeError);
});

test('PCM of 8, 16 and 32 bits, A-law and μ-law', () => {
  const samples = (of: AudioFormat, data: string) => decodeSound(of, hex(data))?.channels.map((one) => [...one]);
  assert.deepEqual(samples(format(1, 2, 4), '0040 00c0 0080 ff7f'), [
    [0.5, -1],
    [-0.5, 32767 / 32768],
  ]);
  assert.deepEqual(samples(format(1, 1, 1, 8), '00 80 c0'), [[-1, 0, 0.5]]);
  assert.deepEqual(samples(format(1, 1, 4, 32), '00000040'), [[0.5]]);
  // ITU-T G.711: the largest values of both, and the smallest.
  assert.deepEqual(samples(format(6), '2a aa d5 55'), [[-32256 / 32768, 32256 / 32768, 8 / 32768, -8 / 32768]]);
  assert.deepEqual(samples(format(7), '00 80 ff'), [[-32124 / 32768, 32124 / 32768, 0]]);
  for (const none of [
    format(1, 0),
    format(1, 9),
    format(1, 1, 2, 24),
    format(0x31),
    format(0xa106),
    { ...format(1), nSamplesPerSec: 0 },
  ])
    assert.equal(decodeSound(none, hex('0000')), null);
});

test('ADPCM: a block by hand, and any bytes in any block size', () => {
  // IMA: predictor 100, index 0 (step 7): +7 → 100 + 0 + 7 + 3 + 1 = 111, then index 8 (step 16), −0 → 111 − 2.
  assert.deepEqual([...decodeImaAdpcm(hex('6400 00 00 87 00 00 00'), 1, 8)].slice(0, 3), [100, 111, 109]);
  // Microsoft: predictor 0 (256, 0), delta 16, samples 50 and 20: 50 + 1·16, then 66 − 1·(230·16 >> 8 → 16).
  assert.deepEqual([...decodeMsAdpcm(hex('00 1000 3200 1400 1f'), 1, 8)], [20, 50, 66, 50]);
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(1, 2),
      fc.integer({ min: 16, max: 64 }),
      (data, channels, size) => {
        for (const tag of [AudioFormatTag.adpcm, AudioFormatTag.imaAdpcm]) {
          const decoded = decodeSound(format(tag, channels, size), data)!;
          assert.ok(decoded.channels.every((one) => one.every((sample) => sample >= -1 && sample <= 1)));
          assert.ok(decoded.channels[0]!.length <= 2 * data.length + 2);
        }
      },
    ),
  );
});

test('AAC gets the header its frames lack, Opus its duration', () => {
  const aac = { ...format(AudioFormatTag.aac, 2), nSamplesPerSec: 44_100 };
  const [packet] = soundPackets(aac, hex('2110'));
  assert.deepEqual([packet?.samples, packet?.samplesPerSecond], [1024, 44_100]);
  assert.equal(Buffer.from(packet!.data).toString('hex'), 'fff15080013ffc2110');
  const twice = new Uint8Array([...packet!.data, ...packet!.data, 1]);
  assert.deepEqual(
    soundPackets(aac, twice).map(({ data }) => data),
    [packet!.data, packet!.data],
  );
  assert.deepEqual(soundPackets({ ...aac, nSamplesPerSec: 44_000 }, hex('2110')), []);
  const opus = format(AudioFormatTag.opus, 2);
  for (const [toc, samples] of [
    ['00', 480],
    ['1b03', 8640],
    ['60', 480],
    ['f8', 960],
    ['fc00', 960],
    ['fd', 1920],
    ['fb03', 2880],
  ] as const) {
    const expected = samples > 5760 ? [] : [samples];
    assert.deepEqual(
      soundPackets(opus, hex(toc)).map((one) => one.samples),
      expected,
      toc,
    );
  }
  assert.deepEqual(soundPackets(opus, new Uint8Array(0)), []);
  assert.deepEqual(soundPackets(format(1), hex('00')), []);
});

test('a session’s decoder hears both kinds of channels, and goes on from a state', () => {
  const pieces: SoundPiece[] = [];
  const make = () => new SessionDecoder({ onSound: (piece) => void pieces.push(piece) });
  let decoder = make();
  const capture = new URL('../../../testkit/captures/xorg-clip-drive.rdpcap.gz', import.meta.url).pathname;
  // xrdp's own handshake: PCM of 44,100 Hz comes first.
  for (const record of readCapture(capture).records.filter(({ timeMs }) => timeMs < 2000)) decoder.push(record);
  const state = decoder.snapshot();
  assert.ok(state);
  decoder = make();
  decoder.restore(structuredClone(state));
  for (const pdu of channelPdus(true, 1005, wave2(0, hex('00400040')))) decoder.push(pdu);
  const channels = new DynamicChannels(1007);
  for (const pdu of [
    ...channels.open(3, 'AUDIO_PLAYBACK_DVC'),
    ...channels.send(false, 3, formatsMessage(format(AudioFormatTag.alaw))),
    ...channels.send(true, 3, wave2(0, hex('aa'))),
    ...channels.open(4, 'ANOTHER'),
    ...channels.send(true, 4, wave2(0, hex('aa'))),
    ...channels.send(true, 3, hex('0d')),
  ])
    decoder.push(pdu);
  assert.deepEqual(
    pieces.map(({ channel, format: one }) => [channel, one.wFormatTag, one.nSamplesPerSec]),
    [
      ['rdpsnd', 1, 44_100],
      ['AUDIO_PLAYBACK_DVC', 6, 44_100],
    ],
  );
  assert.deepEqual([...decoder.screen.unsupported], [['sound.truncated', 1]]);
});
