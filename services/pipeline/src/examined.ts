/** What somebody who walked through a recording saw becomes a signed record beside the manifest, and a word in lists. */
import { isoOf, LucidError, type PipelinePort } from '@lucid-sessions/contract';
import { type ReplayBody, readRecord, replaySummary } from '@lucid-sessions/evidence';
import { type Context, editSession, stateOf } from './context.ts';
import type { JobHandler } from './job-runner.ts';
import { onSession } from './session-work.ts';
import type { PipelineState } from './state-machine.ts';

/** The manifest comes soon behind the last chunk, or never. */
const manifestWaitMs = 2000;
const overStates: readonly PipelineState[] = ['stopped', 'error', 'cleanup', 'destroyed'];

type Examined = Parameters<PipelinePort['examined']>[0];

/** A job, because decoding may end before the manifest is signed; a later report replaces it. */
export async function examined(context: Context, { sessionId, software, counted }: Examined): Promise<void> {
  const { queue, nowUs, storage } = context.deps;
  if ((await storage.getSession({ sessionId })).session === null)
    throw new LucidError('sessionNotFound', 'there is no such session');
  const payload = { software, counted };
  const retriesMax = context.limits.retriesMax;
  await queue.enqueue({
    jobId: `replay:${sessionId}`,
    kind: 'replay',
    sessionId,
    payload,
    runAtUs: nowUs(),
    retriesMax,
  });
  context.kick();
}

/** What a record says, but when and by which version. */
function said(body: ReplayBody): string {
  const { examined_us: _, software: __, ...rest } = body;
  return JSON.stringify(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The latest replay record; null where there is none that this version reads. */
async function latest(context: Context, sessionId: string): Promise<ReplayBody | null> {
  const { records } = await context.deps.storage.getRecords({ sessionId, kind: 'replay' });
  const last = records.at(-1);
  const body = last === undefined ? null : readRecord(last.record).body;
  return body?.kind === 'replay' ? body : null;
}

async function sign(context: Context, sessionId: string, manifest: Uint8Array, job: Examined): Promise<void> {
  const { processor, storage, nowUs } = context.deps;
  const { sha256, body: closed } = readRecord(manifest);
  const { record } = await processor.signRecord({
    sessionId,
    kind: 'replay',
    body: { ...job.counted, manifest_sha256: sha256, examined_us: nowUs(), software: job.software },
  });
  const made = readRecord(record).body as ReplayBody;
  const known = await latest(context, sessionId);
  const isNews = known === null || said(known) !== said(made);
  if (isNews) await storage.putRecord({ sessionId, kind: 'replay', record });
  const body = isNews ? made : known;
  const chunksCount = closed.kind === 'manifest' ? closed.chunks_count : body.chunks_count;
  const { state, detail } = replaySummary(body, chunksCount);
  const replay = { state, detail: detail.slice(0, 2000), examined_at: isoOf(body.examined_us) };
  await editSession(context, sessionId, (session) => ({ ...session, replay }));
}

export function replayHandler(context: Context): JobHandler {
  return {
    run: (job) =>
      onSession(context, job.sessionId, async (context) => {
        const { sessionId } = job;
        const { session } = await context.deps.storage.getSession({ sessionId });
        if (session === null) return { done: true };
        const { records } = await context.deps.storage.getRecords({ sessionId, kind: 'manifest' });
        const manifest = records.at(-1)?.record;
        if (manifest === undefined)
          return overStates.includes(stateOf(session)) ? { done: true } : { againMs: manifestWaitMs };
        await sign(context, sessionId, manifest, { ...(job.payload as unknown as Examined), sessionId });
        return { done: true };
      }),
  };
}
