/** Pipeline Manager: owns every session's life and its place in the log. */
import type { PipelinePort, ServiceHealth } from '@lucid-sessions/contract';
import { KeyedQueue } from '@lucid-sessions/kit';
import { admit, find } from './admit.ts';
import { Alerts } from './alerts/alerts.ts';
import { anchorHandler } from './anchor-jobs.ts';
import { anchoringStates, recheckHandler } from './anchor-rechecks.ts';
import { Approvals, approval, decideApproval } from './approvals.ts';
import { AttemptAudit } from './attempt-audit.ts';
import { attempted } from './attempts.ts';
import { AuditHeads } from './audit-heads.ts';
import { BrowserTokens, issueBrowserToken } from './browser-tokens.ts';
import { create, message, pause, remove, resume, start, steer, stop } from './commands.ts';
import { defaultLimits, type PipelineLimits } from './config.ts';
import { ConnectedSessions } from './connected-sessions.ts';
import { auditAttempt } from './connection-audit.ts';
import { type Context, loadJournal, loadSession, type PipelineDeps } from './context.ts';
import { credentialsFor, dropTargetSecret, keepTargetSecret, sweepCredentials } from './credentials.ts';
import { custodyAdded, custodyHandler, logLateCustody } from './custody-heads.ts';
import { erase, eraseHandler } from './erase.ts';
import { examined, replayHandler } from './examined.ts';
import { finaliseHandler } from './finalise.ts';
import { forwardHandler, forwardJobOf } from './forward.ts';
import { issueCredential, logonAccount, logonTried } from './gateway-credentials.ts';
import { clearHold, holdHandler, setHold } from './holds.ts';
import { beginImport } from './imports.ts';
import { JobMetrics } from './job-metrics.ts';
import { JobRunner } from './job-runner.ts';
import { Leases } from './leases.ts';
import { logProof, logProofs } from './log-proofs.ts';
import { MemoryCoordination } from './memory-coordination.ts';
import { PendingLogons } from './pending-logons.ts';
import { Progress } from './progress.ts';
import { Reconciler } from './reconcile.ts';
import { Recorders, recorderOf } from './recorders.ts';
import { Renewals } from './renewals.ts';
import { ProgressClock, report } from './reports.ts';
import { Reservations } from './reservations.ts';
import { purgeHandler, retentionHandler } from './retention.ts';
import { control, pipelineStatus } from './status.ts';
import { tracedHandlers, tracedQueue } from './traced-jobs.ts';
import { ViewingRequests } from './viewings.ts';
import { wakingQueue } from './waking-queue.ts';
import { witnessHandler } from './witnessed.ts';

/** Calls about one session that may wait for each other. */
const waitingMax = 1000;

export interface PipelineService extends PipelinePort {
  /** Takes up what an earlier process left, jobs and sessions whose recorder may be gone, and keeps doing so. */
  run(): Promise<void>;
  /** Of jobs, in Prometheus' text format. */
  metrics(): Promise<string>;
  /** Logs the heads of sessions under way and of the audit chain now; also runs by itself. */
  logProgress(): Promise<void>;
  /** Compares with the recorders now; also runs by itself. */
  reconcile(): Promise<void>;
  dispose(): Promise<void>;
}

async function goneWithSessions({ connected, recorders }: Context): Promise<string[]> {
  const gone = await recorders.gone();
  if (gone.length === 0) return [];
  const holding = await connected.recorderIds();
  return gone.filter((recorderId) => holding.has(recorderId));
}

async function health(context: Context): Promise<ServiceHealth> {
  const { queue, storage } = context.deps;
  try {
    const [jobs, stored, connectedSessions, gone] = await Promise.all([
      queue.countByState(),
      storage.health(),
      context.connected.count(),
      goneWithSessions(context),
    ]);
    const failed = jobs.failed ?? 0;
    const held = context.deps.log.problem?.() ?? null;
    const isDown = stored.status === 'unhealthy' || held !== null;
    const message =
      stored.status === 'unhealthy'
        ? 'storage is not well'
        : held !== null
          ? held
          : gone.length > 0
            ? `recorders with sessions have not been heard of: ${gone.join(', ').slice(0, 300)}`
            : failed > 0
              ? 'jobs have failed: `sessions pipeline ID` says why, with `--resume` they are tried again'
              : null;
    return {
      service: 'pipeline',
      status: isDown ? 'unhealthy' : message === null ? 'healthy' : 'degraded',
      message,
      details: {
        connectedSessions,
        concurrentSessionsMax: context.limits.concurrentSessionsMax,
        jobsWaiting: jobs.waiting ?? 0,
        jobsRunning: jobs.running ?? 0,
        jobsFailed: failed,
      },
    };
  } catch {
    return {
      service: 'pipeline',
      status: 'unhealthy',
      message: 'storage or the job queue does not answer',
      details: {},
    };
  }
}

async function anchor(context: Context, sessionId: string): ReturnType<PipelinePort['anchor']> {
  await loadSession(context, sessionId);
  const { manifestLogIndex } = await loadJournal(context, sessionId);
  return {
    log: manifestLogIndex === null ? null : await logProof(context, manifestLogIndex),
    receipts: await context.deps.journal.listReceipts(sessionId),
    anchoring: await anchoringStates(context, sessionId),
  };
}

/**
 * Above the connections a recorder lets wait (RDP_WAITING_CONNECTIONS, 8 for each session unless set): it shares those out by
 * client address, and a few addresses that took every reservation would keep all others out.
 */
const reservationsMin = 20_000;

const attemptAuditMs = 60_000;

export function createPipelineService(given: PipelineDeps, limits: Partial<PipelineLimits> = {}): PipelineService {
  const { waker } = given;
  const queue = tracedQueue(waker === undefined ? given.queue : wakingQueue(given.queue, waker, given.nowUs));
  const deps = { ...given, queue };
  const allLimits = { ...defaultLimits, ...limits };
  const { nowUs } = deps;
  const isAlone = deps.coordination === undefined;
  const coordination = deps.coordination ?? new MemoryCoordination();
  const processId = Buffer.from(deps.randomBytes(12)).toString('hex');
  const leases = new Leases({ ...deps, coordination, processId });
  const { concurrentSessionsMax } = allLimits;
  const context: Context = {
    deps,
    limits: allLimits,
    locks: new KeyedQueue(waitingMax),
    leases,
    connected: new ConnectedSessions(coordination, leases, concurrentSessionsMax, nowUs),
    reservations: new Reservations(coordination, Math.max(reservationsMin, 16 * concurrentSessionsMax), nowUs),
    attemptAudit: new AttemptAudit({
      ...deps,
      coordination,
      perMinute: allLimits.attemptsAuditedPerMinute,
      append: (attempt) => auditAttempt(deps, attempt),
    }),
    recorders: new Recorders(coordination, nowUs),
    approvals: new Approvals(coordination, nowUs),
    viewings: new ViewingRequests(coordination, nowUs),
    pendingLogons: new PendingLogons(coordination, nowUs),
    browserTokens: new BrowserTokens(coordination, nowUs),
    kick: () => runner.kick(),
    kickCredentials: () => void sweep(),
  };
  const jobMetrics = new JobMetrics();
  const alerts = new Alerts(context, jobMetrics.registry);
  const counted = jobMetrics.counted({
    alerts: alerts.handler,
    finalise: finaliseHandler(context),
    anchor: anchorHandler(context),
    anchor_recheck: recheckHandler(context),
    erase: eraseHandler(context),
    hold: holdHandler(context),
    custody: custodyHandler(context),
    witness: witnessHandler(context),
    replay: replayHandler(context),
    retention: retentionHandler(context),
    purge: purgeHandler(context),
    forward: forwardHandler(context, deps.eventSinks ?? [], jobMetrics),
  });
  const runner = new JobRunner(context, tracedHandlers(counted));
  let reconciler = new Reconciler(context);
  const clock = new ProgressClock();
  let timer: NodeJS.Timeout | undefined;
  let attemptTimer: NodeJS.Timeout | undefined;
  let reconciling: Promise<void> = Promise.resolve();
  const reconcile = () => {
    reconciling = reconciling.then(() =>
      reconciler.run().catch((thrown: unknown) => deps.onError?.('reconcile', thrown)),
    );
    return reconciling;
  };

  let sweeping: Promise<void> = Promise.resolve();
  const sweep = () => {
    sweeping = sweeping.then(() =>
      sweepCredentials(context).catch((thrown: unknown) => deps.onError?.('credentials', thrown)),
    );
    return sweeping;
  };

  /** Of several pipelines one looks after what none was asked for; when it dies, another. */
  let wasMine = false;
  const lookAfter = async () => {
    try {
      const isMine = await leases.isMine('look-after', 3 * allLimits.reconcileMs);
      // What it saw of the recorders before is old.
      if (isMine && !wasMine) reconciler = new Reconciler(context);
      wasMine = isMine;
      if (!isMine) return;
      await reconcile();
      await sweep();
      await coordination.sweep(nowUs());
    } catch (thrown) {
      deps.onError?.('looking after sessions', thrown);
    }
  };
  let lookingAfter: Promise<void> = Promise.resolve();

  const auditHeads = new AuditHeads(deps);
  const progress = new Progress(deps, allLimits.headsMs);
  let headsTimer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();
  const lookAtHeads = () => {
    looking = looking.then(() => progress.look()).then(() => auditHeads.look());
    return looking;
  };

  const renewals = new Renewals(context, jobMetrics);
  let renewalTimer: NodeJS.Timeout | undefined;

  const tellAttempts = () =>
    context.attemptAudit.flush().catch((thrown: unknown) => deps.onError?.('telling of attempts', thrown));

  return {
    recorderHere: (recorder) => context.recorders.hear(recorder),
    takeOverSpool: (request) => context.recorders.takeOverSpool(request),
    recorders: async () => ({ recorders: await context.recorders.here() }),
    recorderOf: ({ sessionId }) => recorderOf(context, sessionId),
    create: (request) => create(context, request),
    keepTargetSecret: (request) => keepTargetSecret(context, request),
    dropTargetSecret: (request) => dropTargetSecret(context, request),
    find: (request) => find(context, request),
    approval: (request) => approval(context, request),
    approvals: async () => ({ waiting: await context.approvals.waiting() }),
    decideApproval: (request) => decideApproval(context, request),
    askViewing: async (request) => ({ viewing: await context.viewings.ask(request) }),
    viewings: async ({ sessionId }) => ({ viewings: await context.viewings.list(sessionId) }),
    decideViewing: async (request) => ({ viewing: await context.viewings.decide(request) }),
    giveShare: async (request) => ({ viewing: await context.viewings.share(request) }),
    useViewing: async (request) => ({ viewing: await context.viewings.use(request) }),
    unlockerHere: async (request) => ({ untilUs: await context.viewings.unlockerHere(request) }),
    unlockers: async () => ({ recipients: await context.viewings.unlockers() }),
    targetCredentials: (request) => credentialsFor(context, request),
    issueCredential: (request) => issueCredential(context, request),
    issueBrowserToken: (request) => issueBrowserToken(context, request),
    logonAccount: (request) => logonAccount(context, request),
    logonTried: (request) => logonTried(context, request),
    admit: (request) => admit(context, request),
    beginImport: (request) => beginImport(context, request),
    attempted: (attempt) => attempted(context, attempt),
    report: (said) => report(context, clock, said),
    start: (request) => start(context, request),
    stop: ({ sessionId, reason }) => stop(context, sessionId, reason),
    pause: ({ sessionId }) => pause(context, sessionId),
    resume: ({ sessionId }) => resume(context, sessionId),
    message: (request) => message(context, request),
    steer: (request) => steer(context, request),
    remove: (request) => remove(context, request),
    erase: (request) => erase(context, request),
    setHold: (request) => setHold(context, request),
    clearHold: (request) => clearHold(context, request),
    examined: (request) => examined(context, request),
    alertRules: ({ sessionId }) => alerts.rules(sessionId),
    alertsFound: (request) => alerts.found(request),
    async status({ sessionId }) {
      const { session } = await deps.storage.getSession({ sessionId });
      return { status: session === null ? null : await pipelineStatus(context, sessionId) };
    },
    control: ({ sessionId, action }) => control(context, sessionId, action),
    anchor: ({ sessionId }) => anchor(context, sessionId),
    logProofs: async ({ sessionId }) => {
      // A log that takes nothing now still proves what it has.
      await logLateCustody(context, sessionId).catch((thrown: unknown) => deps.onError?.('log', thrown));
      return logProofs(deps, sessionId);
    },
    custodyAdded: (request) => custodyAdded(context, request),
    renew: () => renewals.now(),
    auditProof: async () => ({ proven: await auditHeads.proof() }),
    async logCheckpoint() {
      return { checkpoint: await deps.log.checkpoint(), publicKey: deps.log.publicKey };
    },
    health: () => health(context),

    async run() {
      // Where there are others, what runs may be theirs.
      if (isAlone) await deps.queue.takeUp?.(nowUs());
      await lookAfter();
      for (const sink of deps.eventSinks ?? []) await deps.queue.enqueue(forwardJobOf(sink, nowUs()));
      runner.start();
      timer = setInterval(() => {
        lookingAfter = lookingAfter.then(lookAfter);
      }, allLimits.reconcileMs);
      timer.unref();
      attemptTimer = setInterval(tellAttempts, attemptAuditMs);
      attemptTimer.unref();
      headsTimer = setInterval(lookAtHeads, allLimits.headsMs);
      headsTimer.unref();
      void renewals.look();
      renewalTimer = setInterval(() => void renewals.look(), allLimits.renewalLookMs);
      renewalTimer.unref();
    },
    reconcile,
    logProgress: lookAtHeads,
    metrics: () => jobMetrics.text(),
    async dispose() {
      clearInterval(timer);
      clearInterval(attemptTimer);
      clearInterval(headsTimer);
      clearInterval(renewalTimer);
      await renewals.idle();
      await tellAttempts();
      await looking;
      await lookingAfter;
      await reconciling;
      await sweeping;
      await waker?.dispose();
      await runner.stop();
      await Promise.all((deps.eventSinks ?? []).map((sink) => sink.dispose()));
      await context.locks.idle();
      await leases.letGo('look-after').catch(() => {});
      await Promise.all([deps.queue.dispose(), deps.journal.dispose(), deps.coordination?.dispose()]);
    },
  };
}
