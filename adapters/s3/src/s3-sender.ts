/**
 * Sends commands to an object store: bounded at once, each try timed, and asked again with full-jitter back-off while what fails
 * is passing (cut, slow, 5xx, conflict). Every command sent here may be sent twice.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { S3Client } from '@aws-sdk/client-s3';
import { LucidError } from '@lucid-sessions/contract';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { isPassing } from './s3-errors.ts';
import type { S3Limits } from './s3-limits.ts';

export interface S3Place {
  bucket: string;
  /** Before every key; '' or ends with `/`. */
  prefix: string;
  /** URL of a store that isn't Amazon's. */
  endpoint?: string;
  region?: string;
  /** `endpoint/bucket/key` in place of `bucket.endpoint/key`. */
  isPathStyle?: boolean;
  /** Of the shared AWS configuration; else the SDK's chain finds credentials by itself. */
  profile?: string;
}

const waitingMax = 10_000;
const connectMsMax = 3000;
const mebibyte = 1024 * 1024;

export interface Sent<T> {
  answer: T;
  /** Tries before this one failed, and one of them may have taken effect. */
  isRepeated: boolean;
}

export class S3Sender {
  readonly client: S3Client;
  readonly #limits: S3Limits;
  readonly #stop = new AbortController();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(place: S3Place, limits: S3Limits) {
    this.#limits = limits;
    const agent = { keepAlive: true, maxSockets: limits.requestsMax };
    this.client = new S3Client({
      ...(place.endpoint === undefined ? {} : { endpoint: place.endpoint }),
      ...(place.region === undefined ? {} : { region: place.region }),
      ...(place.profile === undefined ? {} : { profile: place.profile }),
      forcePathStyle: place.isPathStyle ?? false,
      // Bytes are hashed here once, for signature, checksum and comparison together.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 1,
      requestHandler: new NodeHttpHandler({
        connectionTimeout: connectMsMax,
        httpAgent: new HttpAgent(agent),
        httpsAgent: new HttpsAgent(agent),
      }),
    });
  }

  /** `once` gets a signal that ends when its time is over; what it throws last is thrown. `bytes`: how much it carries. */
  async send<T>(once: (signal: AbortSignal) => Promise<T>, bytes = 0): Promise<Sent<T>> {
    await this.#enter();
    try {
      return await this.#tries(once, this.#limits.tryMsMax + (bytes / mebibyte) * 1000);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #tries<T>(once: (signal: AbortSignal) => Promise<T>, msMax: number): Promise<Sent<T>> {
    const { giveUpMs, backOffMs } = this.#limits;
    const startedMs = performance.now();
    for (let tries = 1; ; tries++) {
      // A timer of our own: one of AbortSignal.timeout is forgotten while nothing else refers to it.
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(new Error('no answer in time')), msMax);
      try {
        const answer = await once(AbortSignal.any([late.signal, this.#stop.signal]));
        return { answer, isRepeated: tries > 1 };
      } catch (thrown) {
        const waitMs = Math.random() * Math.min(backOffMs.most, backOffMs.first * 2 ** tries);
        const isOver = performance.now() - startedMs + waitMs > giveUpMs;
        if (!isPassing(thrown) || isOver || this.#stop.signal.aborted) throw withTries(thrown, tries);
        await delay(waitMs, undefined, { signal: this.#stop.signal }).catch(() => {});
      } finally {
        clearTimeout(timer);
      }
    }
  }

  async #enter(): Promise<void> {
    if (this.#stop.signal.aborted) throw new LucidError('unavailable', 'the object store is closed');
    if (this.#waiting.length >= waitingMax)
      throw new LucidError('unavailable', `at most ${waitingMax} calls may wait for the object store; ask again later`);
    this.#running += 1;
    if (this.#running > this.#limits.requestsMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  dispose(): void {
    this.#stop.abort();
    this.client.destroy();
  }
}

const triesOf = new WeakMap<object, number>();

function withTries(thrown: unknown, tries: number): unknown {
  if (typeof thrown === 'object' && thrown !== null) triesOf.set(thrown, tries);
  return thrown;
}

/** Whether earlier tries of the call that threw this may have taken effect. */
export const wasRepeated = (thrown: unknown): boolean =>
  typeof thrown === 'object' && thrown !== null && (triesOf.get(thrown) ?? 1) > 1;
