/** Heads of the chains of custody in the log: what somebody did with a recording can't be taken out of its chain afterwards. */
import { type Context, logRecord } from './context.ts';
import type { JobHandler } from './job-runner.ts';

/** Views come in rows: of each half minute the last is logged. */
const everyUs = 30_000_000;

/** One job for each half minute, which runs when it is over: a record that comes meanwhile is another's. */
export async function custodyAdded(context: Context, { sessionId }: { sessionId: string }): Promise<void> {
  const { queue, nowUs } = context.deps;
  const span = Math.floor(nowUs() / everyUs) + 1;
  await queue.enqueue({
    jobId: `custody:${sessionId}:${span}`,
    kind: 'custody',
    sessionId,
    payload: {},
    runAtUs: span * everyUs,
    retriesMax: context.limits.retriesMax,
  });
  context.kick();
}

export function custodyHandler(context: Context): JobHandler {
  return {
    async run({ sessionId }) {
      const { records } = await context.deps.storage.getRecords({ sessionId, kind: 'custody' });
      const head = records.at(-1);
      // Gone with the session.
      if (head !== undefined) await logRecord(context, sessionId, 'custody', head.record);
      return { done: true };
    },
  };
}
