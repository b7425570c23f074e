/**
 * Recorders that may keep the copy of a spool, in the order they are named: one of them keeps it at a time, the next one when that one does
 * not answer. Copies that are left behind are removed as soon as who has them answers again.
 */
import { isLucidError, type RecorderPort } from '@lucid-sessions/contract';
import { Replicator, type ReplicatorOptions } from './replicator.ts';

type ReplicaPort = Pick<RecorderPort, 'replicaState' | 'replicate'>;

interface Keeper {
  url: string;
  replica: ReplicaPort;
  replicator: Replicator;
  /** It may have a copy that is not followed any more. */
  isLeft: boolean;
}

export interface ReplicasOptions extends Omit<ReplicatorOptions, 'replica'> {
  /** At least one. */
  replicas: readonly { url: string; replica: ReplicaPort }[];
}

/** One that is slow once is not given up: the next one needs a whole copy. */
const failuresMax = 2;
const cleanEveryMs = 5000;
const removalsMax = 1000;

export class Replicas {
  readonly #options: ReplicasOptions;
  readonly #keepers: readonly Keeper[];
  #at = 0;
  #failures = 0;
  #cleanedMs = Number.NEGATIVE_INFINITY;

  constructor({ replicas, ...options }: ReplicasOptions) {
    this.#options = { replicas, ...options };
    this.#keepers = replicas.map(({ url, replica }) => ({
      url,
      replica,
      replicator: new Replicator({ ...options, replica }),
      isLeft: false,
    }));
  }

  get #keeper(): Keeper {
    return this.#keepers[this.#at]!;
  }

  get url(): string {
    return this.#keeper.url;
  }

  /** The recorder that has a whole copy; null: none has, or it does not say who it is. */
  get keptBy(): string | null {
    return this.#keeper.replicator.keptBy;
  }

  /** When everything there was then was durable at one of them. */
  get coveredMs(): number {
    return Math.max(...this.#keepers.map(({ replicator }) => replicator.coveredMs));
  }

  /** As a replicator's. What it throws is why this one has no copy now; the next call may ask another. */
  async round(): Promise<boolean> {
    const { replicator } = this.#keeper;
    try {
      const more = await replicator.round();
      this.#failures = 0;
      if (!more) await this.#clean();
      return more;
    } catch (thrown) {
      this.#failed(thrown);
      throw thrown;
    }
  }

  /** What was taken over is over wherever it is copied to: that is said, and no other one asked. */
  #failed(thrown: unknown): void {
    this.#failures += 1;
    if (this.#keepers.length === 1 || this.#failures < failuresMax || isLucidError(thrown, 'notInThisState')) return;
    this.#keeper.isLeft = true;
    this.#failures = 0;
    this.#at = (this.#at + 1) % this.#keepers.length;
    this.#keeper.isLeft = false;
  }

  /** Of one that is left, whenever it answers: it would believe that its copy is all there is. */
  async #clean(): Promise<void> {
    const { nowMs, recorderId } = this.#options;
    if (nowMs() - this.#cleanedMs < cleanEveryMs) return;
    this.#cleanedMs = nowMs();
    const left = this.#keepers.find(({ isLeft }) => isLeft);
    if (left === undefined) return;
    try {
      const { segments } = await left.replica.replicaState({ recorderId, begins: false });
      const removals = segments.slice(0, removalsMax).map(({ sessionId, index }) => ({ sessionId, index }));
      if (removals.length > 0) await left.replica.replicate({ recorderId, writes: [], removals });
      left.isLeft = segments.length > removalsMax;
    } catch {
      // Asked again later; who was left was so because it did not answer.
    }
  }
}
