import type { Codec } from '@lucid-sessions/wire';
import {
  bytes,
  counted,
  rest,
  struct,
  structWithTail,
  u8,
  u16le,
  u32le,
  type Value,
} from '@lucid-sessions/wire/struct';

/** Sound output: a static channel, and dynamic channels of the same messages ([MS-RDPEA] 2.1). */
export const SOUND_CHANNEL = 'rdpsnd';
export const SOUND_DYNAMIC_CHANNELS: ReadonlySet<string> = new Set(['AUDIO_PLAYBACK_DVC', 'AUDIO_PLAYBACK_LOSSY_DVC']);

/** RDPSND PDU header, [MS-RDPEA] 2.2.1 */
export const soundMessage = struct('RDPSND message', { msgType: u8, bPad: u8, bodySize: u16le, data: rest });
export type SoundMessage = Value<typeof soundMessage>;

/** msgType of sound messages. */
export const SoundType = {
  close: 1,
  wave: 2,
  setVolume: 3,
  setPitch: 4,
  waveConfirm: 5,
  training: 6,
  formats: 7,
  cryptKey: 8,
  waveEncrypt: 9,
  udpWave: 10,
  udpWaveLast: 11,
  qualityMode: 12,
  wave2: 13,
} as const;

/** AUDIO_FORMAT, [MS-RDPEA] 2.2.2.1.1. */
export const audioFormat = struct('AUDIO_FORMAT', {
  wFormatTag: u16le,
  nChannels: u16le,
  nSamplesPerSec: u32le,
  nAvgBytesPerSec: u32le,
  nBlockAlign: u16le,
  wBitsPerSample: u16le,
  /** Behind its own length (cbSize). */
  data: counted(u16le),
});
export type AudioFormat = Value<typeof audioFormat>;

const FORMAT_BYTES_MIN = 18;
const formatsHead = struct('sound formats', { dwFlags: u32le, dwVolume: u32le, dwPitch: u32le, wDGramPort: u16le });
const formatsVersion = struct('sound version', { cLastBlockConfirmed: u8, wVersion: u16le, bPad: u8 });
export interface SoundFormats extends Value<typeof formatsHead>, Value<typeof formatsVersion> {
  formats: AudioFormat[];
  trailing?: Uint8Array;
}

/** wFormatTag of formats that are decoded: those of RFC 2361, and the two that came later. */
export const AudioFormatTag = {
  pcm: 0x0001,
  adpcm: 0x0002,
  alaw: 0x0006,
  mulaw: 0x0007,
  imaAdpcm: 0x0011,
  opus: 0x704f,
  aac: 0xa106,
} as const;

/** Server and Client Audio Formats and Version PDU after the header, [MS-RDPEA] 2.2.2.1 and 2.2.2.2. */
export const soundFormats: Codec<SoundFormats> = {
  name: 'audio formats and version',
  decode(reader) {
    const head = formatsHead.decode(reader);
    const count = reader.u16le();
    const version = formatsVersion.decode(reader);
    reader.need(count * FORMAT_BYTES_MIN, 'audio formats');
    const formats = Array.from({ length: count }, () => audioFormat.decode(reader));
    const value = { ...head, ...version, formats };
    return reader.remaining === 0 ? value : { ...value, trailing: reader.rest() };
  },
  encode(value, writer) {
    formatsHead.encode(value, writer);
    writer.u16le(value.formats.length);
    formatsVersion.encode(value, writer);
    for (const format of value.formats) audioFormat.encode(format, writer);
    if (value.trailing !== undefined) writer.slice(value.trailing);
  },
};

/** SNDWAVINFO after the header, [MS-RDPEA] 2.2.3.3: the first four bytes of the sound; the others follow in a message of their own. */
export const soundWaveInfo = structWithTail(
  'SNDWAVINFO',
  { wTimeStamp: u16le, wFormatNo: u16le, cBlockNo: u8, bPad: bytes(3), data: bytes(4) },
  {},
);
export type SoundWaveInfo = Value<typeof soundWaveInfo>;

/** SNDWAVE2 after the header, [MS-RDPEA] 2.2.3.10. */
export const soundWave2 = struct('SNDWAVE2', {
  wTimeStamp: u16le,
  wFormatNo: u16le,
  cBlockNo: u8,
  bPad: bytes(3),
  dwAudioTimeStamp: u32le,
  data: rest,
});
export type SoundWave2 = Value<typeof soundWave2>;

/** SNDVOL after the header, [MS-RDPEA] 2.2.4.1: of left and right, 0xFFFF is loudest. */
export const soundVolume = structWithTail('SNDVOL', { left: u16le, right: u16le }, {});
export type SoundVolume = Value<typeof soundVolume>;
