import { setTimeout as delay } from 'node:timers/promises';
import { LucidError } from '@lucid-sessions/contract';

const pausesMs = [50, 250, 1000];

/** Whether asking again can help: a lost answer or a failing disk, not a refusal and not a full disk. */
function mayPass(thrown: unknown): boolean {
  return !(thrown instanceof LucidError) || (thrown.status >= 500 && thrown.status !== 507);
}

/**
 * Asks storage, and asks again when the answer was lost: every call of its port is idempotent. What is thrown at the end is
 * storage's own error, or `storage` around anything else.
 */
export async function persist<T>(what: string, call: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call();
    } catch (thrown) {
      const pauseMs = pausesMs[attempt];
      if (pauseMs === undefined || !mayPass(thrown)) {
        if (thrown instanceof LucidError) throw thrown;
        throw new LucidError('storage', `storage did not ${what}`, { cause: thrown });
      }
      await delay(pauseMs);
    }
  }
}
