/** A job queue that tells other pipelines of each job that waits. The job is stored first: what is told of it may be lost. */
import type { JobQueue, JobWaker } from './ports.ts';

export function wakingQueue(queue: JobQueue, waker: JobWaker, nowUs: () => number): JobQueue {
  const told = (jobId: string, runAtUs: number) => waker.wake(jobId, Math.max(0, (runAtUs - nowUs()) / 1000));
  const telling: Partial<JobQueue> = {
    async enqueue(job) {
      const isNew = await queue.enqueue(job);
      if (isNew) told(job.jobId, job.runAtUs);
      return isNew;
    },
    async again(job, runAtUs, payload) {
      const isOurs = await queue.again(job, runAtUs, payload);
      if (isOurs) told(job.jobId, runAtUs);
      return isOurs;
    },
    async retry(job, runAtUs, error) {
      const isOurs = await queue.retry(job, runAtUs, error);
      if (isOurs) told(job.jobId, runAtUs);
      return isOurs;
    },
    async setPaused(sessionId, paused) {
      const count = await queue.setPaused(sessionId, paused);
      if (!paused && count > 0) told(`resumed:${sessionId}`, 0);
      return count;
    },
    async revive(sessionId, atUs) {
      const count = await queue.revive(sessionId, atUs);
      if (count > 0) told(`revived:${sessionId}`, atUs);
      return count;
    },
  };
  return new Proxy(queue, {
    get(target, name) {
      const value: unknown = Reflect.get(telling, name) ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
