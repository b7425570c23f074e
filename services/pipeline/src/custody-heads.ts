/** Heads of the chains of custody in the log: what somebody did with a recording can't be taken out of its chain afterwards. */
import { readRecordOf } from '@lucid-sessions/evidence';
import { type Context, entryOf, loggedSessionOf, logRecord, readable } from './context.ts';
import type { JobHandler } from './job-runner.ts';

/** Views come in rows: of each half minute the last is logged. */
const everyUs = 30_000_000;

/** Who reads the evidence asks for a proof of what is an hour older than the last. */
const lateUs = 600_000_000;

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
      if (head !== undefined)
        await logRecord(context, await loggedSessionOf(context, sessionId), 'custody', head.record);
      return { done: true };
    },
  };
}

/** Logs a head that is long overdue: whoever added it could not reach a pipeline then. */
export async function logLateCustody(context: Context, sessionId: string): Promise<void> {
  const { storage, log } = context.deps;
  const { records } = await storage.getRecords({ sessionId, kind: 'custody' });
  if (records.length === 0) return;
  const session = await loggedSessionOf(context, sessionId);
  const unlogged: Uint8Array[] = [];
  for (const { record } of records.toReversed()) {
    if ((await log.find(entryOf(session, 'custody', record))) !== null) break;
    unlogged.push(record);
  }
  const [last] = unlogged;
  const oldest = unlogged.at(-1);
  if (last === undefined || oldest === undefined || atUs(last) - atUs(oldest) < lateUs) return;
  await logRecord(context, session, 'custody', last);
}

/** 0: nobody can read it. */
const atUs = (record: Uint8Array): number => readable(() => readRecordOf('custody', record).body.at_us) ?? 0;
