/** The sound of a video: samples at their places in a file of their own, which ffmpeg then joins with the pictures. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, open, rm } from 'node:fs/promises';
import {
  decodeSound,
  type SoundPacket,
  type SoundPiece,
  type SoundSamples,
  soundPackets,
} from '@lucid-sessions/rdp/sound';
import { oggOpus } from './ogg-opus.ts';

const rate = 48_000;
const channels = 2;
const bytesPerFrame = 2 * channels;
/** AAC and Opus kept until the end, to be decoded in one go. */
const packetBytesMax = 256 << 20;
const complaintCharactersMax = 500;

interface PlacedPacket {
  packet: SoundPacket;
  volume: SoundPiece['volume'];
  atFrame: number;
}

/** Places pieces of sound in the time of the video. What comes by one channel is heard one after the other, as a client plays it. */
export class VideoSound {
  readonly #path: string;
  readonly #muted: readonly { from: number; to: number }[];
  #file: FileHandle | null = null;
  readonly #ends = new Map<string, number>();
  #packets: PlacedPacket[] = [];
  #packetBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #failure: unknown = null;
  /** Pieces nothing here decodes. */
  undecoded = 0;

  /** `path`: of the file of samples; it is made when there is something to hear. `muted`: silence, in the time of the video. */
  constructor(path: string, muted: readonly { fromUs: number; toUs: number }[] = []) {
    this.#path = path;
    this.#muted = muted.map(({ fromUs, toUs }) => ({
      from: Math.floor((fromUs * rate) / 1e6),
      to: Math.ceil((toUs * rate) / 1e6),
    }));
  }

  get path(): string {
    return this.#path;
  }
  get isEmpty(): boolean {
    return this.#file === null && this.#packets.length === 0;
  }

  /** `videoUs`: where in the video it came; before its beginning nothing is heard. */
  hear(piece: SoundPiece, videoUs: number): void {
    if (videoUs < 0) return;
    const samples = decodeSound(piece.format, piece.data);
    if (samples !== null) {
      const frames = resampled(samples, piece.volume);
      this.#write(this.#place(piece.channel, videoUs, frames.length / channels), frames);
      return;
    }
    const packets = soundPackets(piece.format, piece.data);
    if (packets.length === 0) this.undecoded += 1;
    for (const packet of packets) this.#keep(piece, packet, videoUs);
  }

  /** Resolves when everything is in the file; throws what kept it from that. */
  async finish(): Promise<void> {
    for (const codec of ['aac', 'opus'] as const) await this.#decodeKept(codec);
    await this.#writing;
    await this.#file?.close();
    if (this.#failure !== null) throw this.#failure;
  }

  async dispose(): Promise<void> {
    await this.#writing;
    await this.#file?.close().catch(() => {});
    await rm(this.#path, { force: true });
  }

  #place(channel: string, videoUs: number, length: number): number {
    const at = Math.max(this.#ends.get(channel) ?? 0, Math.round((videoUs * rate) / 1e6));
    this.#ends.set(channel, at + length);
    return at;
  }

  #keep({ channel, volume }: SoundPiece, packet: SoundPacket, videoUs: number): void {
    this.#packetBytes += packet.data.length;
    if (this.#packetBytes > packetBytesMax) {
      this.undecoded += 1;
      return;
    }
    const length = Math.round((packet.samples * rate) / packet.samplesPerSecond);
    this.#packets.push({ packet, volume, atFrame: this.#place(channel, videoUs, length) });
  }

  #write(atFrame: number, frames: Int16Array): void {
    // Where they are heard, not when they came: what waits behind other sound is heard later.
    for (const { from, to } of this.#muted)
      frames.fill(0, Math.max(0, from - atFrame) * channels, Math.max(0, to - atFrame) * channels);
    const bytes = Buffer.from(frames.buffer, frames.byteOffset, frames.byteLength);
    this.#writing = this.#writing.then(async () => {
      if (this.#failure !== null) return;
      try {
        // What was heard in the session: for the one who exports it alone.
        this.#file ??= await open(this.#path, 'wx', 0o600);
        await this.#file.write(bytes, 0, bytes.length, atFrame * bytesPerFrame);
      } catch (error) {
        this.#failure = error;
      }
    });
  }

  /** A run of packets of one kind is one stream to ffmpeg; its samples go to the packets' places. */
  async #decodeKept(codec: SoundPacket['codec']): Promise<void> {
    const placed = this.#packets.filter(({ packet }) => packet.codec === codec);
    if (placed.length === 0) return;
    const packets = placed.map(({ packet }) => packet);
    const stream = codec === 'aac' ? Buffer.concat(packets.map(({ data }) => data)) : oggOpus(packets);
    const samples = await ffmpegSamples(codec === 'aac' ? 'aac' : 'ogg', stream);
    let from = 0;
    for (const { packet, volume, atFrame } of placed) {
      const length = Math.round((packet.samples * rate) / packet.samplesPerSecond) * channels;
      const part = samples.slice(from, from + length);
      from += length;
      for (let i = 0; i < part.length; i += 1) part[i] = Math.round(part[i]! * volume[i % 2]!);
      if (part.length > 0) this.#write(atFrame, part);
    }
  }
}

/** To the rate and channels of the video's sound, between samples by straight lines. */
function resampled({ samplesPerSecond, channels: all }: SoundSamples, volume: SoundPiece['volume']): Int16Array {
  const length = all[0]?.length ?? 0;
  const frames = Math.floor((length * rate) / samplesPerSecond);
  const out = new Int16Array(frames * channels);
  for (let channel = 0; channel < channels; channel += 1) {
    const samples = all[Math.min(channel, all.length - 1)]!;
    for (let i = 0; i < frames; i += 1) {
      const at = (i * samplesPerSecond) / rate;
      const first = Math.floor(at);
      const here = samples[first]!;
      const next = samples[Math.min(first + 1, length - 1)]!;
      const value = (here + (next - here) * (at - first)) * volume[channel]!;
      out[i * channels + channel] = Math.max(-32768, Math.min(32767, Math.round(value * 32767)));
    }
  }
  return out;
}

async function ffmpegSamples(format: string, stream: Buffer): Promise<Int16Array> {
  const output = ['-f', 's16le', '-ar', `${rate}`, '-ac', `${channels}`, 'pipe:1'];
  const child = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', '-f', format, '-i', 'pipe:0', ...output], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => void parts.push(part));
  child.stdin.on('error', () => {});
  child.stdin.end(stream);
  await once(child, 'close');
  const bytes = Buffer.concat(parts);
  return new Int16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + (bytes.length & ~1)));
}

/** Pictures and sound in one file. */
export async function joinSound(video: string, sound: string, format: 'mp4' | 'webm', out: string): Promise<void> {
  const input = ['-f', 's16le', '-ar', `${rate}`, '-ac', `${channels}`, '-i', `file:${sound}`];
  const codec =
    format === 'mp4' ? ['-c:a', 'aac', '-b:a', '160k', '-movflags', '+faststart'] : ['-c:a', 'libopus', '-b:a', '128k'];
  const child = spawn(
    'ffmpeg',
    [
      ...['-hide_banner', '-loglevel', 'error', '-y', '-i', `file:${video}`, ...input],
      ...['-map', '0:v', '-map', '1:a', '-c:v', 'copy', ...codec, '-f', format, `file:${out}`],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const complaint = readComplaint(child);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`ffmpeg could not join pictures and sound: ${complaint()}`);
}

function readComplaint(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.on('data', (part: Buffer) => {
    text = `${text}${part.toString('latin1').replaceAll(/[^\x20-\x7e]+/g, ' ')}`.slice(0, complaintCharactersMax);
  });
  return () => text.trim();
}
