/** Work that one of several pipelines does at a time: under a lease that is extended while it lasts. */
import { setTimeout as delay } from 'node:timers/promises';
import { LucidError } from '@lucid-sessions/contract';
import type { Coordination } from './ports.ts';

/** A pipeline that died holds others up as long as this. */
export const leaseMs = 10_000;
const waitMsMax = 25_000;
const pollMs = { first: 2, longest: 100 };

/** Throws `unavailable` when another pipeline may have taken the work over. */
export type LeaseCheck = () => Promise<void>;

export interface LeasesOptions {
  coordination: Coordination;
  nowUs: () => number;
  /** 0 ≤ x < 1. */
  random: () => number;
  /** Of this process, unlike any other's. */
  processId: string;
}

export class Leases {
  readonly #options: LeasesOptions;
  #count = 0;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** Waits for the lease, at most 25 s. What the work writes it writes behind a `check`. */
  async run<T>(name: string, work: (check: LeaseCheck) => Promise<T>): Promise<T> {
    const { coordination, processId } = this.#options;
    // Each piece of work is an owner: of a lease that was lost nothing passes on to the next one.
    const owner = `${processId}/${++this.#count}`;
    const lease = new HeldLease(this.#options, name, owner);
    await this.#take(lease);
    const timer = setInterval(() => void lease.extend().catch(() => {}), leaseMs / 3);
    timer.unref();
    try {
      return await work(() => lease.check());
    } finally {
      clearInterval(timer);
      // Not let go now, it ends by itself.
      await coordination.release(name, owner).catch(() => {});
    }
  }

  async #take(lease: HeldLease): Promise<void> {
    const untilMs = performance.now() + waitMsMax;
    for (let waitMs = pollMs.first; !(await lease.take()); waitMs = Math.min(2 * waitMs, pollMs.longest)) {
      if (performance.now() > untilMs)
        throw new LucidError('unavailable', 'another pipeline has been working on this for long; ask again');
      await delay(waitMs * (0.5 + this.#options.random() / 2));
    }
  }

  /** Whether this process is the one that does work of this kind, from now on for `ms` at least; asked again it stays. */
  async isMine(kind: string, ms: number): Promise<boolean> {
    const { coordination, nowUs, processId } = this.#options;
    return (await coordination.acquire(`kind/${kind}`, processId, nowUs() + ms * 1000, nowUs())).acquired;
  }

  async letGo(kind: string): Promise<void> {
    const { coordination, processId } = this.#options;
    await coordination.release(`kind/${kind}`, processId);
  }
}

class HeldLease {
  readonly #options: LeasesOptions;
  readonly #name: string;
  readonly #owner: string;
  #epoch: number | null = null;
  #untilUs = 0;

  constructor(options: LeasesOptions, name: string, owner: string) {
    this.#options = options;
    this.#name = name;
    this.#owner = owner;
  }

  async take(): Promise<boolean> {
    const { coordination, nowUs } = this.#options;
    const { acquired, lease } = await coordination.acquire(this.#name, this.#owner, nowUs() + leaseMs * 1000, nowUs());
    if (!acquired) return false;
    this.#epoch = lease.epoch;
    this.#untilUs = lease.expiresUs;
    return true;
  }

  async extend(): Promise<void> {
    const epoch = this.#epoch;
    if (epoch === null) return;
    // Another epoch: somebody had it in between.
    if (!(await this.take()) || this.#epoch !== epoch) this.#epoch = null;
  }

  async check(): Promise<void> {
    if (this.#untilUs <= this.#options.nowUs()) await this.extend();
    if (this.#epoch === null)
      throw new LucidError('unavailable', 'another pipeline took this work over meanwhile; ask again');
  }
}
