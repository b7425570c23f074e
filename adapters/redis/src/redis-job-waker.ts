/**
 * Wake-ups of pipelines by a BullMQ queue: one for each job that waits in the database, taken by one of the pipelines when the
 * job is due. Names of jobs are all that is in it, and it is gone when it was heard; nothing here is waited for.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { JobWaker } from '@lucid-sessions/pipeline';
import { Queue, Worker } from 'bullmq';
import type { Cluster, Redis } from 'ioredis';

export interface RedisJobWakerOptions {
  /** Answers soon or fails. */
  redis: Redis | Cluster;
  /** May wait at the server (`waits`); one for this waker, which ends it. */
  waiting: Redis | Cluster;
  /** What all pipelines of the installation call it, and no other installation does. */
  installation: string;
  /** What an operator should see: when Redis is lost, and when it is back. */
  say: (line: string) => void;
}

const queueName = 'wake-ups';
/** Jobs of a later time are found by whoever looks: a second is nothing after a minute. So what is in Redis stays little. */
const aheadMsMax = 60_000;
/** Those that lay so long, because no pipeline had room, were answered by every look since. */
const staleMs = 60_000;
/** Told at the same moment; the job of one more is found by whoever looks. */
const tellingMax = 256;
/** After a failure Redis is left alone for so long. */
const restMs = 1000;
const closeMsMax = 1000;
const nameCharsMax = 512;
/** A wake-up whose pipeline died before it had heard it goes to another after twice that at most. */
const lockMs = 3000;
const deathsMax = 3;

const dueMs = (name = '') => Number(name.slice(name.lastIndexOf('.') + 1));

export class RedisJobWaker implements JobWaker {
  readonly #options: RedisJobWakerOptions;
  readonly #prefix: string;
  readonly #queue: Queue;
  #worker: Worker | null = null;
  #telling = 0;
  #restUntilMs = 0;
  #isLost = false;
  #isOver = false;

  constructor(options: RedisJobWakerOptions) {
    this.#options = options;
    const name = createHash('sha256').update(options.installation).digest('hex').slice(0, 32);
    // In braces: a cluster keeps all keys of the queue at one of its nodes.
    this.#prefix = `{lucid:jobs:${name}}`;
    this.#queue = new Queue(queueName, {
      connection: options.redis,
      prefix: this.#prefix,
      // Each of them is a call that would be waited for when Redis is away at the start.
      skipVersionCheck: true,
      skipMetasUpdate: true,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
    });
    this.#queue.on('error', () => {});
  }

  wake(jobId: string, inMs: number): void {
    if (this.#isOver || !(inMs <= aheadMsMax) || this.#telling >= tellingMax) return;
    if (performance.now() < this.#restUntilMs) return;
    this.#telling += 1;
    void this.#tell(jobId, Math.ceil(inMs)).finally(() => {
      this.#telling -= 1;
    });
  }

  async #tell(jobId: string, delay: number): Promise<void> {
    const { redis, say } = this.#options;
    try {
      if (redis.status !== 'ready') throw new Error('not connected');
      // With its time: an earlier wake-up of the same job that lies there must not take this one's place.
      const name = `${jobId.slice(0, nameCharsMax).replaceAll(':', '.')}.${Date.now() + delay}`;
      await this.#queue.add('wake-up', null, { jobId: name, delay });
      if (this.#isLost) say('redis: it is back; pipelines are woken for jobs');
      this.#isLost = false;
    } catch {
      if (this.#isOver) return;
      if (!this.#isLost) say('redis: it takes no wake-ups; pipelines find jobs when they look, until it does');
      this.#isLost = true;
      this.#restUntilMs = performance.now() + restMs;
    }
  }

  listen(woken: () => Promise<void>): void {
    this.#worker = new Worker(queueName, null, {
      connection: this.#options.waiting,
      prefix: this.#prefix,
      autorun: false,
      lockDuration: lockMs,
      stalledInterval: lockMs,
      maxStalledCount: deathsMax,
    });
    this.#worker.on('error', () => {});
    void this.#worker.startStalledCheckTimer();
    void this.#hear(this.#worker, woken);
  }

  /** One at a time: a pipeline that has no room leaves the next ones to others. */
  async #hear(worker: Worker, woken: () => Promise<void>): Promise<void> {
    for (let token = 0; !this.#isOver; token += 1) {
      try {
        const name = `${worker.id}:${token}`;
        const job = await worker.getNextJob(name);
        if (job === undefined) continue;
        const heard = dueMs(job.id) < Date.now() - staleMs ? null : woken();
        await job.moveToCompleted(null, name, false);
        await heard;
      } catch {
        // A full memory refuses also to take what lies there.
        if (!this.#isOver) await sleep(restMs, undefined, { ref: false });
      }
    }
  }

  /** Redis is not waited for: it may hang. */
  async dispose(): Promise<void> {
    this.#isOver = true;
    const closed = Promise.all([this.#worker?.close(true), this.#queue.close()]).catch(() => {});
    await Promise.race([closed, sleep(closeMsMax, undefined, { ref: false })]);
    this.#options.waiting.disconnect();
  }
}
