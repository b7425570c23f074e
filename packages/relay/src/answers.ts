/** What the gateway says by itself to either peer, between what the other one says. */
import { ChannelFlag } from '@lucid-sessions/rdp';
import type { RelaySide } from './events.ts';

/** Answers that wait for the end of a message of the peer in whose place they are given: few are asked for at once. */
const WAITING_MAX = 16;
const none: readonly Answer[] = [];

export interface Answer {
  channelId: number;
  data: Uint8Array;
}

export class Answers {
  readonly #waiting: Record<RelaySide, Answer[]> = { client: [], server: [] };
  /** Channels on which a message to that peer has begun and not ended: nothing may stand between its chunks. */
  readonly #inside: Record<RelaySide, Set<number>> = { client: new Set(), server: new Set() };

  add(to: RelaySide, channelId: number, data: Uint8Array, waitingMax = WAITING_MAX): void {
    if (this.#waiting[to].length < waitingMax) this.#waiting[to].push({ channelId, data });
  }

  /** The last chunk of a channel that a peer was given. */
  delivered(to: RelaySide, channelId: number, chunk: Uint8Array | undefined): void {
    if (chunk === undefined) return;
    const isLast = ((chunk[4] ?? ChannelFlag.last) & ChannelFlag.last) !== 0;
    if (isLast) this.#inside[to].delete(channelId);
    else this.#inside[to].add(channelId);
  }

  take(to: RelaySide): readonly Answer[] {
    const waiting = this.#waiting[to];
    if (waiting.length === 0) return none;
    const waits = ({ channelId }: Answer): boolean => this.#inside[to].has(channelId);
    this.#waiting[to] = waiting.filter(waits);
    return waiting.filter((answer) => !waits(answer));
  }
}
