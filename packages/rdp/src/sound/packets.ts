import { type AudioFormat, AudioFormatTag } from '../channel/sound.ts';

const aacRates = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];
const AAC_FRAME_SAMPLES = 1024;
const ADTS_HEADER_BYTES = 7;
const OPUS_RATE = 48_000;

/** An encoded frame for a decoder of the platform. */
export interface SoundPacket {
  codec: 'aac' | 'opus';
  /** AAC has an ADTS header, which says all a decoder has to know. */
  data: Uint8Array;
  samplesPerSecond: number;
  channels: number;
  /** At that rate. */
  samples: number;
}

/** The frames of a piece of AAC or Opus; [] for other formats and what is neither. Servers send AAC-LC access units without a header. */
export function soundPackets(format: AudioFormat, data: Uint8Array): SoundPacket[] {
  if (format.wFormatTag === AudioFormatTag.aac) return aacPackets(format, data);
  if (format.wFormatTag === AudioFormatTag.opus) return opusPackets(format, data);
  return [];
}

function aacPackets({ nSamplesPerSec, nChannels }: AudioFormat, data: Uint8Array): SoundPacket[] {
  const rate = aacRates.indexOf(nSamplesPerSec);
  if (rate < 0 || nChannels < 1 || nChannels > 6 || data.length === 0) return [];
  const packet = {
    codec: 'aac',
    samplesPerSecond: nSamplesPerSec,
    channels: nChannels,
    samples: AAC_FRAME_SAMPLES,
  } as const;
  if (!isAdts(data, 0)) {
    const length = ADTS_HEADER_BYTES + data.length;
    if (length > 0x1fff) return [];
    const whole = new Uint8Array(length);
    whole.set(adtsHeader(rate, nChannels, length));
    whole.set(data, ADTS_HEADER_BYTES);
    return [{ ...packet, data: whole }];
  }
  const packets: SoundPacket[] = [];
  for (let at = 0; isAdts(data, at); ) {
    const length = ((data[at + 3]! & 3) << 11) | (data[at + 4]! << 3) | (data[at + 5]! >> 5);
    if (length < ADTS_HEADER_BYTES || at + length > data.length) break;
    packets.push({ ...packet, data: data.slice(at, at + length) });
    at += length;
  }
  return packets;
}

const isAdts = (data: Uint8Array, at: number): boolean =>
  at + ADTS_HEADER_BYTES <= data.length && data[at] === 0xff && (data[at + 1]! & 0xf6) === 0xf0;

/** ISO/IEC 14496-3 1.A.2.2: low complexity, no checksum, one frame. */
function adtsHeader(rate: number, channels: number, length: number): Uint8Array {
  return Uint8Array.of(
    0xff,
    0xf1,
    0x40 | (rate << 2) | (channels >> 2),
    ((channels & 3) << 6) | (length >> 11),
    (length >> 3) & 0xff,
    ((length & 7) << 5) | 0x1f,
    0xfc,
  );
}

/** A piece is one packet (RFC 6716 3.1), which tells its duration. */
function opusPackets({ nChannels }: AudioFormat, data: Uint8Array): SoundPacket[] {
  const toc = data[0];
  if (toc === undefined || nChannels < 1 || nChannels > 2) return [];
  const config = toc >> 3;
  const frame =
    config < 12
      ? [480, 960, 1920, 2880][config & 3]!
      : config < 16
        ? [480, 960][config & 1]!
        : [120, 240, 480, 960][config & 3]!;
  const count = (toc & 3) === 0 ? 1 : (toc & 3) < 3 ? 2 : (data[1] ?? 0) & 63;
  const samples = frame * count;
  if (samples === 0 || samples > 5760) return [];
  return [{ codec: 'opus', data: new Uint8Array(data), samplesPerSecond: OPUS_RATE, channels: nChannels, samples }];
}
