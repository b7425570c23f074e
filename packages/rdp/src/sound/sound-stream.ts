import { decode } from '@lucid-sessions/wire';
import {
  type AudioFormat,
  SoundType,
  soundFormats,
  soundMessage,
  soundVolume,
  soundWave2,
  soundWaveInfo,
} from '../channel/sound.ts';

/** Formats one list may name. */
const FORMATS_MAX = 256;
const LOUDEST = 0xffff;

/** A piece of sound as the server sent it. */
export interface SoundPiece {
  /** The channel it came by: what comes by one channel is heard one after the other. */
  readonly channel: string;
  readonly format: AudioFormat;
  readonly data: Uint8Array;
  /** Of left and right, 0–1. */
  readonly volume: readonly [number, number];
}

interface StreamState {
  /** The list of the client: waves name their format by its place there. */
  formats: AudioFormat[];
  volume: [number, number];
  /** A wave whose first four bytes came. */
  pending: { format: AudioFormat; head: Uint8Array } | null;
}

export type SoundSnapshot = readonly (readonly [string, StreamState])[];

/** Follows the sound of a session ([MS-RDPEA]) on all its channels and gives the pieces to be heard. */
export class SoundStreams {
  readonly #streams = new Map<string, StreamState>();

  snapshot(): SoundSnapshot {
    return [...this.#streams].map(([channel, state]) => [channel, { ...state, formats: [...state.formats] }] as const);
  }

  restore(snapshot: SoundSnapshot): void {
    this.#streams.clear();
    for (const [channel, state] of snapshot) this.#streams.set(channel, { ...state, formats: [...state.formats] });
  }

  /** A whole message of a channel; the piece of sound it completes. Throws `DecodeError`. */
  push(channel: string, sender: 'client' | 'server', message: Uint8Array): SoundPiece | null {
    const stream = this.#stream(channel);
    const pending = stream.pending;
    if (sender === 'server' && pending !== null) {
      // SNDWAV, 2.2.3.4: no header, four bytes in the place of those that came before.
      stream.pending = null;
      const data = new Uint8Array(message);
      data.set(pending.head.subarray(0, Math.min(4, data.length)));
      return { channel, format: pending.format, data, volume: stream.volume };
    }
    const { msgType, data } = decode(soundMessage, message);
    if (msgType === SoundType.formats && sender === 'client')
      stream.formats = decode(soundFormats, data).formats.slice(0, FORMATS_MAX).map(own);
    return sender === 'server' ? this.#fromServer(channel, stream, msgType, data) : null;
  }

  #fromServer(channel: string, stream: StreamState, msgType: number, body: Uint8Array): SoundPiece | null {
    if (msgType === SoundType.setVolume) {
      const { left, right } = decode(soundVolume, body);
      stream.volume = [left / LOUDEST, right / LOUDEST];
    }
    if (msgType === SoundType.wave) {
      const { wFormatNo, data } = decode(soundWaveInfo, body);
      const format = stream.formats[wFormatNo] ?? unknownFormat;
      stream.pending = { format, head: new Uint8Array(data) };
    }
    if (msgType !== SoundType.wave2) return null;
    const { wFormatNo, data } = decode(soundWave2, body);
    return { channel, format: stream.formats[wFormatNo] ?? unknownFormat, data, volume: stream.volume };
  }

  #stream(channel: string): StreamState {
    const known = this.#streams.get(channel);
    if (known) return known;
    const stream: StreamState = { formats: [], volume: [1, 1], pending: null };
    this.#streams.set(channel, stream);
    return stream;
  }
}

/** Memory of its own: the message's belongs to the stream. */
const own = (format: AudioFormat): AudioFormat => ({ ...format, data: new Uint8Array(format.data) });

/** Of a wave that names none of the client's: nothing decodes it. */
const unknownFormat: AudioFormat = {
  wFormatTag: 0,
  nChannels: 0,
  nSamplesPerSec: 0,
  nAvgBytesPerSec: 0,
  nBlockAlign: 0,
  wBitsPerSample: 0,
  data: new Uint8Array(0),
};
