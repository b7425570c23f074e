import type { SoundSamples } from '@lucid-sessions/rdp/sound';

/** Pieces come as they were recorded, which is never even: so much is kept ahead. */
const leadSeconds = 0.12;
/** More than this behind the picture is left out: a server may send faster than it is heard. */
const behindSecondsMax = 1.5;

/** Lets the samples of a recording be heard, one piece behind the other. */
export class SoundPlayer {
  #context: AudioContext | null = null;
  #gain: GainNode | null = null;
  readonly #ends = new Map<string, number>();
  readonly #sources = new Set<AudioBufferSourceNode>();
  #muted = false;
  #volume = 1;

  get muted(): boolean {
    return this.#muted;
  }

  setMuted(on: boolean): void {
    this.#muted = on;
    this.#applyVolume();
  }

  /** 0–1. */
  setVolume(volume: number): void {
    this.#volume = Math.min(1, Math.max(0, volume));
    this.#applyVolume();
  }

  hear(channel: string, { samplesPerSecond, channels }: SoundSamples): void {
    const length = channels[0]?.length ?? 0;
    if (length === 0) return;
    const { context, gain } = this.#open();
    const now = context.currentTime;
    const at = Math.max(this.#ends.get(channel) ?? 0, now + leadSeconds);
    if (at - now > behindSecondsMax) return;
    const buffer = context.createBuffer(channels.length, length, samplesPerSecond);
    channels.forEach((samples, i) => {
      buffer.copyToChannel(samples, i);
    });
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(gain);
    source.addEventListener('ended', () => this.#sources.delete(source));
    source.start(at);
    this.#sources.add(source);
    this.#ends.set(channel, at + buffer.duration);
  }

  /** Silence at once: what was to be heard belongs to another moment. */
  stop(): void {
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
    this.#ends.clear();
  }

  close(): void {
    this.stop();
    void this.#context?.close();
    this.#context = null;
    this.#gain = null;
  }

  /** Only when something is heard: a context takes hold of the machine's sound. */
  #open(): { context: AudioContext; gain: GainNode } {
    this.#context ??= new AudioContext();
    this.#gain ??= new GainNode(this.#context);
    this.#gain.connect(this.#context.destination);
    this.#applyVolume();
    // Where nobody has touched the page yet, browsers keep it silent.
    if (this.#context.state === 'suspended') void this.#context.resume().catch(() => {});
    return { context: this.#context, gain: this.#gain };
  }

  #applyVolume(): void {
    if (this.#gain) this.#gain.gain.value = this.#muted ? 0 : this.#volume;
  }
}
