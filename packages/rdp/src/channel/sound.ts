import { rest, struct, u8, u16le, type Value } from '../pdu/struct.ts';

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
