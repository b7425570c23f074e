import { frameFlags } from '@lucid-sessions/recording';
import type { ChannelIds } from './classify.ts';
import { type Content, ContentWatch } from './content.ts';
import type { FrameTap } from './frame-tap.ts';
import { Masking } from './masking.ts';

/** What of input and clipboard is recorded: all; that and when something crossed, its values zeroed; nothing. */
export type Keeping = 'full' | 'masked' | 'none';

/** The conversation has read this PDU and taken out what is secret: nothing in it was typed. Not a flag of a frame. */
export const READ_BY_RELAY = 0x100;

interface Partial {
  flags: number;
  channelId: number;
  /** null until it is whole. */
  content: Content | null;
  bytes: Uint8Array;
  filled: number;
}

/**
 * Stands between the relay and the recording. It flags the frames that hold what was typed, copied or redirected (channels by
 * their names, see `channelKinds`), takes out of them what the policy does not keep, and counts what people do. Mouse PDUs stay
 * unflagged: players draw the pointer from them. What can't be read where something may be typed counts as typed. PDUs
 * it has to see whole are recorded when they are whole, because their flags stand before them.
 */
export class ContentTap {
  readonly #inner: FrameTap;
  readonly #keep: { input: Keeping; clipboard: Keeping };
  readonly #count: (what: 'inputs' | 'shutdownRequests') => void;
  readonly #masking = new Masking();
  readonly #partial: (Partial | null)[] = [null, null];
  readonly watch: ContentWatch;
  #timeUs = 0;

  constructor(
    inner: FrameTap,
    ids: ChannelIds,
    keep: { input: Keeping; clipboard: Keeping },
    count: (what: 'inputs' | 'shutdownRequests') => void,
  ) {
    this.#inner = inner;
    this.#keep = keep;
    this.#count = count;
    this.watch = new ContentWatch(ids);
  }

  frame(kind: number, flags: number, channelId: number, bytes: Uint8Array, timeUs: number): void {
    this.#timeUs = timeUs;
    if ((flags & READ_BY_RELAY) === 0)
      this.#record(this.#see(flags, channelId, bytes, bytes.length), flags, channelId, bytes);
    else this.#inner.frame(kind, flags & ~READ_BY_RELAY, channelId, bytes, timeUs);
  }

  /** `head` is what is there of the PDU: enough to tell its channel, also inside drdynvc. */
  begin(flags: number, channelId: number, length: number, timeUs: number, head: Uint8Array): void {
    this.#timeUs = timeUs;
    const needsWhole = this.watch.needsWhole(flags, channelId, head);
    const content = needsWhole ? null : this.#see(flags, channelId, head, length);
    const keeping = content && this.#keeping(content);
    if (keeping === 'full')
      this.#inner.begin(content === null ? flags : flagged(flags, content), channelId, length, timeUs);
    else this.#partial[flags & 1] = { flags, channelId, content, bytes: new Uint8Array(length), filled: 0 };
  }

  fill(direction: 0 | 1, bytes: Uint8Array): void {
    const partial = this.#partial[direction];
    if (!partial) {
      this.#inner.fill(direction, bytes);
      return;
    }
    partial.bytes.set(bytes, partial.filled);
    partial.filled += bytes.length;
    if (partial.filled < partial.bytes.length) return;
    this.#partial[direction] = null;
    const { flags, channelId, content, bytes: pdu } = partial;
    // At the time of the last frame: recorded times never go back.
    this.#record(content ?? this.#see(flags, channelId, pdu, pdu.length), flags, channelId, pdu);
  }

  #see(flags: number, channelId: number, bytes: Uint8Array, length: number): Content {
    const content = this.watch.see(flags, channelId, bytes, length);
    if (content.isActive) this.#count('inputs');
    if (content.asksToEnd === true) this.#count('shutdownRequests');
    return content;
  }

  #record(content: Content, flags: number, channelId: number, pdu: Uint8Array): void {
    const keeping = this.#keeping(content);
    if (keeping === 'none') return;
    const kept = flagged(flags, content);
    if (keeping === 'full') {
      this.#inner.frame(0, kept, channelId, pdu, this.#timeUs);
      return;
    }
    const copy = new Uint8Array(pdu);
    const masked = this.#masking.mask(copy, content, (flags & 1) as 0 | 1);
    if (masked !== null) this.#inner.frame(0, masked ? kept | frameFlags.blanked : kept, channelId, copy, this.#timeUs);
  }

  #keeping({ content, isInput }: Content): Keeping {
    if (content === 'clipboard') return this.#keep.clipboard;
    return isInput || content === 'inputs' ? this.#keep.input : 'full';
  }
}

const flagged = (flags: number, { content }: Content): number =>
  content === 'open' ? flags : flags | frameFlags.inputs;
