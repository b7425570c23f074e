export { decodeImaAdpcm, decodeMsAdpcm } from './adpcm.ts';
export { type SoundPacket, soundPackets } from './packets.ts';
export { decodeSound, type SoundSamples } from './pcm.ts';
export { type SoundPiece, type SoundSnapshot, SoundStreams } from './sound-stream.ts';
