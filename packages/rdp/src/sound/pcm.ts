import { type AudioFormat, AudioFormatTag } from '../channel/sound.ts';
import { decodeImaAdpcm, decodeMsAdpcm } from './adpcm.ts';

/** Sound as it is heard: samples of −1 to 1, a channel each. */
export interface SoundSamples {
  samplesPerSecond: number;
  channels: Float32Array<ArrayBuffer>[];
}

const CHANNELS_MAX = 8;
const SAMPLES_PER_SECOND_MAX = 384_000;
const BLOCK_BYTES_MIN = 8;

/** The samples of a piece whose format needs no other decoder; null for the rest, such as AAC and Opus. */
export function decodeSound(format: AudioFormat, data: Uint8Array): SoundSamples | null {
  const { nChannels: channels, nSamplesPerSec: samplesPerSecond } = format;
  if (!(channels >= 1 && channels <= CHANNELS_MAX)) return null;
  if (!(samplesPerSecond >= 1000 && samplesPerSecond <= SAMPLES_PER_SECOND_MAX)) return null;
  const samples = interleaved(format, data);
  if (samples === null) return null;
  return { samplesPerSecond, channels: apart(samples, channels) };
}

function interleaved(format: AudioFormat, data: Uint8Array): { at(i: number): number; length: number } | null {
  const { wFormatTag, nChannels, nBlockAlign, wBitsPerSample } = format;
  const of = (samples: Int16Array) => ({ at: (i: number) => samples[i]! / 32768, length: samples.length });
  switch (wFormatTag) {
    case AudioFormatTag.pcm:
      return pcm(data, wBitsPerSample);
    case AudioFormatTag.alaw:
      return of(Int16Array.from(data, (byte) => alaw[byte]!));
    case AudioFormatTag.mulaw:
      return of(Int16Array.from(data, (byte) => mulaw[byte]!));
    case AudioFormatTag.adpcm:
      return nChannels > 2 || nBlockAlign < BLOCK_BYTES_MIN * nChannels
        ? null
        : of(decodeMsAdpcm(data, nChannels, nBlockAlign));
    case AudioFormatTag.imaAdpcm:
      return nBlockAlign < BLOCK_BYTES_MIN * nChannels ? null : of(decodeImaAdpcm(data, nChannels, nBlockAlign));
    default:
      return null;
  }
}

function pcm(data: Uint8Array, bits: number): { at(i: number): number; length: number } | null {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (bits === 8) return { at: (i) => (view.getUint8(i) - 128) / 128, length: data.length };
  if (bits === 16) return { at: (i) => view.getInt16(2 * i, true) / 32768, length: data.length >> 1 };
  if (bits === 32) return { at: (i) => view.getInt32(4 * i, true) / 2147483648, length: data.length >> 2 };
  return null;
}

function apart(samples: { at(i: number): number; length: number }, channels: number): Float32Array<ArrayBuffer>[] {
  const length = Math.floor(samples.length / channels);
  return Array.from({ length: channels }, (_, channel) => {
    const one = new Float32Array(length);
    for (let i = 0; i < length; i += 1) one[i] = samples.at(i * channels + channel);
    return one;
  });
}

/** ITU-T G.711. */
const alaw = Int16Array.from({ length: 256 }, (_, byte) => {
  const code = byte ^ 0x55;
  const exponent = (code >> 4) & 7;
  const mantissa = ((code & 15) << 4) + 8;
  const magnitude = exponent === 0 ? mantissa : (mantissa + 0x100) << (exponent - 1);
  return (code & 0x80) !== 0 ? magnitude : -magnitude;
});
const mulaw = Int16Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 0xff;
  const magnitude = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
  return (code & 0x80) !== 0 ? -magnitude : magnitude;
});
