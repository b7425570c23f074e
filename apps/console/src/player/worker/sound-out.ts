import {
  decodeSound,
  type SoundPacket,
  type SoundPiece,
  type SoundSamples,
  soundPackets,
} from '@lucid-sessions/rdp/sound';

const microsPerSecond = 1e6;
/** Frames a decoder may be behind: what is more is too late to be heard. */
const queueMax = 50;

interface Decoding {
  readonly key: string;
  readonly decoder: AudioDecoder;
  timeUs: number;
  /** As it is when a frame comes out: a server changes it on the way. */
  volume: SoundPiece['volume'];
}

/** Turns a session's sound into samples, in the worker. What needs a decoder of the browser goes through WebCodecs, where there is one. */
export class SoundOut {
  readonly #onSamples: (channel: string, samples: SoundSamples) => void;
  readonly #decoders = new Map<string, Decoding>();

  constructor(onSamples: (channel: string, samples: SoundSamples) => void) {
    this.#onSamples = onSamples;
  }

  hear(piece: SoundPiece): void {
    const samples = decodeSound(piece.format, piece.data);
    if (samples !== null) this.#onSamples(piece.channel, louder(samples, piece.volume));
    else for (const packet of soundPackets(piece.format, piece.data)) this.#decode(piece, packet);
  }

  /** What was heard up to here has nothing to do with what follows. */
  reset(): void {
    for (const { decoder } of this.#decoders.values()) if (decoder.state !== 'closed') decoder.close();
    this.#decoders.clear();
  }

  #decode({ channel, volume }: SoundPiece, packet: SoundPacket): void {
    if (typeof AudioDecoder === 'undefined') return;
    const known = this.#decoder(channel, packet, volume);
    if (known === null || known.decoder.decodeQueueSize > queueMax) return;
    known.volume = volume;
    const { timeUs } = known;
    known.timeUs += (packet.samples / packet.samplesPerSecond) * microsPerSecond;
    known.decoder.decode(
      new EncodedAudioChunk({ type: 'key', timestamp: Math.round(timeUs), data: packet.data.slice() }),
    );
  }

  #decoder(
    channel: string,
    { codec, samplesPerSecond, channels }: SoundPacket,
    volume: SoundPiece['volume'],
  ): Decoding | null {
    const key = `${codec} ${samplesPerSecond} ${channels}`;
    const known = this.#decoders.get(channel);
    if (known?.key === key && known.decoder.state === 'configured') return known;
    if (known?.key === key && known.decoder.state === 'closed') return null;
    if (known && known.decoder.state !== 'closed') known.decoder.close();
    const decoder = new AudioDecoder({
      output: (data) => {
        this.#onSamples(channel, louder(samplesOf(data), made.volume));
        data.close();
      },
      // A browser that lacks the codec closes the decoder: nothing more is asked of it.
      error: () => {},
    });
    decoder.configure({
      codec: codec === 'aac' ? 'mp4a.40.2' : 'opus',
      sampleRate: samplesPerSecond,
      numberOfChannels: channels,
    });
    const made: Decoding = { key, decoder, timeUs: 0, volume };
    this.#decoders.set(channel, made);
    return made;
  }
}

function samplesOf(data: AudioData): SoundSamples {
  const channels = Array.from({ length: data.numberOfChannels }, (_, planeIndex) => {
    const plane = new Float32Array(data.numberOfFrames);
    data.copyTo(plane, { planeIndex, format: 'f32-planar' });
    return plane;
  });
  return { samplesPerSecond: data.sampleRate, channels };
}

/** The server's own volume, of left and right. */
function louder(samples: SoundSamples, [left, right]: SoundPiece['volume']): SoundSamples {
  if (left === 1 && right === 1) return samples;
  samples.channels.forEach((channel, i) => {
    const factor = i % 2 === 0 ? left : right;
    for (let at = 0; at < channel.length; at += 1) channel[at]! *= factor;
  });
  return samples;
}
