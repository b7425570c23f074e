/** Rules over what happens in sessions: what is to be judged, what was found, and that no session is forgotten. */
import {
  type AlertProgress,
  type AlertRules,
  type AlertsFound,
  type Entry,
  LucidError,
  noAlertProgress,
  type SessionDocument,
} from '@lucid-sessions/contract';
import { Counter, type Registry } from 'prom-client';
import { type Context, loadSession } from '../context.ts';
import type { JobHandler, JobOutcome } from '../job-runner.ts';
import type { Job } from '../ports.ts';
import { isSaidOfBeginning } from './beginning.ts';
import { isOfBeginning, type KnownRule, rulesInForce } from './known-rules.ts';
import { raise, summarise } from './raise.ts';

/** How far a session was judged, as its entry of kind `alert_state` keeps it. */
interface Judged {
  next: number;
  last: boolean;
  progress: AlertProgress;
}

const dayUs = 86_400_000_000;
const stateDays = 30;
/** A client says who it is soon after it has joined, or not at all. */
const personWaitUs = 10_000_000;
const personLookMs = 500;
const judgeLookMs = 2000;
/** Longer than an index takes; where this host has no key to the recording there never is one. */
const judgeWaitUs = 600_000_000;
const swapsMax = 10;

const nothing: AlertRules = { rules: [], next: 0, progress: noAlertProgress };

async function judgedOf(
  { deps }: Pick<Context, 'deps'>,
  sessionId: string,
): Promise<(Entry & { value: Judged }) | null> {
  const { entry } = await deps.storage.getEntry({ kind: 'alert_state', id: sessionId });
  return entry as (Entry & { value: Judged }) | null;
}

async function putJudged({ deps }: Context, sessionId: string, judged: Judged): Promise<void> {
  for (let swap = 0; swap < swapsMax; swap++) {
    const known = await judgedOf({ deps }, sessionId);
    // Another process was faster, and found the same.
    if (known !== null && known.value.next >= judged.next) return;
    const { stored } = await deps.storage.putEntry({
      kind: 'alert_state',
      id: sessionId,
      owner: null,
      value: { ...judged },
      version: (known?.version ?? 0) + 1,
      untilUs: deps.nowUs() + stateDays * dayUs,
    });
    if (stored) return;
  }
  throw new LucidError('conflict', 'the session is being judged by others all the time; try again');
}

type Step = 'began' | 'stored';

/** Looks at a session as soon as it has begun, and once more when all of it is stored. */
export async function enqueueAlerts(context: Context, sessionId: string, step: Step): Promise<void> {
  const rules = await rulesInForce(context);
  if (!rules.some((rule) => isOfBeginning(rule) === (step === 'began'))) return;
  const { queue, nowUs } = context.deps;
  await queue.enqueue({
    jobId: `alerts:${step}:${sessionId}`,
    kind: 'alerts',
    sessionId,
    payload: { step, sinceUs: nowUs() },
    runAtUs: nowUs(),
    retriesMax: context.limits.retriesMax,
  });
  context.kick();
}

export class Alerts {
  readonly #context: Context;
  readonly #raised: Counter;
  readonly #skipped: Counter;
  readonly #unjudged: Counter;

  constructor(context: Context, registry: Registry) {
    this.#context = context;
    const registers = [registry];
    this.#raised = new Counter({
      name: 'lucid_pipeline_alerts_total',
      help: 'Alerts that rules over sessions have raised.',
      labelNames: ['severity'],
      registers,
    });
    this.#skipped = new Counter({
      name: 'lucid_pipeline_alert_texts_skipped_total',
      help: 'Texts no rule looked at, because a chunk held too many.',
      registers,
    });
    this.#unjudged = new Counter({
      name: 'lucid_pipeline_alert_sessions_unjudged_total',
      help: 'Sessions that were not held against the rules to their end: there is no index of them.',
      registers,
    });
    for (const severity of ['low', 'medium', 'high', 'critical']) this.#raised.inc({ severity }, 0);
  }

  async rules(sessionId: string): Promise<AlertRules> {
    const rules = (await rulesInForce(this.#context)).filter((rule) => !isOfBeginning(rule));
    if (rules.length === 0) return nothing;
    const { session } = await this.#context.deps.storage.getSession({ sessionId });
    // What an imported file says happened elsewhere, once.
    if (session === null || session.imported) return nothing;
    const judged = (await judgedOf(this.#context, sessionId))?.value;
    return {
      rules: rules.map(({ ruleId, condition, changed_us: sinceUs }) => ({ ruleId, condition, sinceUs })),
      next: judged?.next ?? 0,
      progress: judged?.progress ?? noAlertProgress,
    };
  }

  async found({ sessionId, chunkIndex, last, progress, hits, skipped }: AlertsFound): Promise<void> {
    if (hits.length > 0) {
      const session = await loadSession(this.#context, sessionId);
      const rules = new Map((await rulesInForce(this.#context)).map((rule) => [rule.ruleId, rule]));
      for (const { ruleId, ...moment } of hits) {
        const rule = rules.get(ruleId);
        if (rule !== undefined) await this.#raise(session, rule, { chunkIndex, ...moment });
      }
      await summarise(this.#context, sessionId);
    }
    this.#skipped.inc(skipped);
    await putJudged(this.#context, sessionId, { next: chunkIndex + 1, last, progress });
  }

  async #raise(session: SessionDocument, rule: KnownRule, moment: Parameters<typeof raise>[3]): Promise<void> {
    if (await raise(this.#context, session, rule, moment)) this.#raised.inc({ severity: rule.severity });
  }

  readonly handler: JobHandler = {
    run: (job) => (job.payload.step === 'began' ? this.#began(job) : this.#stored(job)),
  };

  async #began({ sessionId, payload }: Job): Promise<JobOutcome> {
    const { storage, nowUs } = this.#context.deps;
    const { session } = await storage.getSession({ sessionId });
    if (session?.started_at == null || session.imported) return { done: true };
    if (session.client_user == null && nowUs() < Number(payload.sinceUs) + personWaitUs)
      return { againMs: personLookMs };
    const rules = (await rulesInForce(this.#context)).filter(isOfBeginning);
    const atUs = Date.parse(session.started_at) * 1000;
    for (const rule of rules)
      if (await isSaidOfBeginning(this.#context, session, rule))
        await this.#raise(session, rule, { chunkIndex: null, timeUs: 0, atUs, more: 0 });
    await summarise(this.#context, sessionId);
    return { done: true };
  }

  /** An index forgets what it is told to follow when its process dies. */
  async #stored({ sessionId, payload }: Job): Promise<JobOutcome> {
    const { processor, nowUs, onError } = this.#context.deps;
    const { rules } = await this.rules(sessionId);
    const judged = await judgedOf(this.#context, sessionId);
    if (rules.length === 0 || judged?.value.last === true) return { done: true };
    if (nowUs() > Number(payload.sinceUs) + judgeWaitUs) {
      this.#unjudged.inc();
      onError?.('alerts', new Error('the session was not held against the rules to its end: it has no index here'), {
        session: sessionId,
      });
      return { done: true };
    }
    await processor.follow({ sessionId });
    return { againMs: judgeLookMs };
  }
}
