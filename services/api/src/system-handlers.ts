/** Statistics, health, the audit log. */
import {
  type AuditEventType,
  isoOf,
  type ServiceHealth,
  type SessionStatus,
  type StoragePort,
  sessionStatuses,
} from '@lucid-sessions/contract';
import { exportAudit } from './audit-export.ts';
import { type Api, type Call, type Handlers, loadSession } from './call.ts';
import { isScoped, needVisible, wholeRefused, withinQuery } from './scope-gate.ts';
import { auditView, paginationOf, sessionNotFound, storedRatio } from './views.ts';

const healthTimeoutMs = 3000;
const toUs = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time) * 1000);

const meanSeconds = (line: Awaited<ReturnType<StoragePort['statistics']>>['lineSeconds']) =>
  line === undefined || line.count === 0 ? 0 : line.sum / line.count;

const detailOf = (health: ServiceHealth, name: string) => {
  const value = health.details[name];
  return typeof value === 'number' ? value : 0;
};

/** A service that does not answer in time is unhealthy; it must not keep the answer waiting. */
async function askHealth(service: ServiceHealth['service'], ask: () => Promise<ServiceHealth>): Promise<ServiceHealth> {
  const down: ServiceHealth = { service, status: 'unhealthy', message: 'does not answer', details: {} };
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<ServiceHealth>((resolve) => {
    timer = setTimeout(() => resolve(down), healthTimeoutMs);
  });
  try {
    return await Promise.race([ask(), late]);
  } catch {
    return down;
  } finally {
    clearTimeout(timer);
  }
}

const worst = (all: readonly Pick<ServiceHealth, 'status'>[]): ServiceHealth['status'] =>
  all.some(({ status }) => status === 'unhealthy')
    ? 'unhealthy'
    : all.some(({ status }) => status === 'degraded')
      ? 'degraded'
      : 'healthy';

function ownHealth({ outbox }: Api): { status: ServiceHealth['status']; message: string | null } {
  if (outbox.length === 0) return { status: 'healthy', message: null };
  return { status: 'degraded', message: `${outbox.length} audit entries wait until storage takes them` };
}

export async function healthOf(api: Api) {
  const { deps, config } = api;
  const [pipeline, recorder, processor, storage] = await Promise.all([
    askHealth('pipeline', () => deps.pipeline.health()),
    askHealth('recorder', () => deps.recorder.health()),
    askHealth('processor', () => deps.processor.health()),
    askHealth('storage', () => deps.storage.health()),
  ]);
  const view = ({ status, message }: ServiceHealth) => ({ status, message });
  const total = detailOf(storage, 'totalBytes');
  return {
    status: worst([ownHealth(api), pipeline, recorder, processor, storage]),
    timestamp: isoOf(deps.nowUs()),
    version: config.version,
    services: {
      api: ownHealth(api),
      pipeline: view(pipeline),
      recorder: view(recorder),
      processor: view(processor),
      storage: view(storage),
    },
    database: { status: storage.status === 'unhealthy' ? 'unhealthy' : 'healthy' },
    storage: {
      status: storage.status,
      free_percent: total > 0 ? Number(((detailOf(storage, 'freeBytes') * 100) / total).toFixed(1)) : null,
    },
  };
}

/** Of the sessions somebody sees, counted by the store. */
async function scopedStatistics(call: Call<'systemStatistics'>) {
  const { deps, startedUs } = call.api;
  const within = await withinQuery(call);
  const counted: [SessionStatus, number][] = [];
  for (const status of sessionStatuses) {
    const { total } = await deps.storage.listSessions({ ...within, status, limit: 0, offset: 0 });
    if (total > 0) counted.push([status, total]);
  }
  const of = (...some: SessionStatus[]): number =>
    counted.reduce((sum, [status, count]) => sum + (some.includes(status) ? count : 0), 0);
  return {
    system_stats: {
      sessions_total: of(...sessionStatuses.filter((status) => status !== 'deleted')),
      sessions_by_status: Object.fromEntries(counted),
      sessions_live: of('recording', 'paused'),
      sessions_max: detailOf(await deps.pipeline.health(), 'concurrentSessionsMax'),
      uptime_seconds: Math.floor((deps.nowUs() - startedUs) / 1_000_000),
    },
    performance_stats: null,
    storage_stats: null,
  };
}

async function systemStatistics({ deps, startedUs }: Api) {
  const [{ byStatus }, stored, pipeline] = await Promise.all([
    deps.storage.countSessions(),
    deps.storage.statistics(),
    deps.pipeline.health(),
  ]);
  const sessions = Object.entries(byStatus).filter(([status]) => status !== 'deleted');
  return {
    system_stats: {
      sessions_total: sessions.reduce((sum, [, count]) => sum + count, 0),
      sessions_by_status: byStatus,
      sessions_live: detailOf(pipeline, 'connectedSessions'),
      sessions_max: detailOf(pipeline, 'concurrentSessionsMax'),
      uptime_seconds: Math.floor((deps.nowUs() - startedUs) / 1_000_000),
    },
    performance_stats: {
      jobs_waiting: detailOf(pipeline, 'jobsWaiting'),
      jobs_running: detailOf(pipeline, 'jobsRunning'),
      jobs_failed: detailOf(pipeline, 'jobsFailed'),
      chunks_stored_since_start: stored.lineSeconds?.count ?? 0,
      average_chunk_seconds: meanSeconds(stored.lineSeconds),
    },
    storage_stats: {
      chunks_count: stored.chunksCount,
      size_bytes: stored.storedBytes,
      recorded_bytes: stored.payloadBytes,
      compression_ratio: storedRatio(stored.storedBytes, stored.payloadBytes),
      free_bytes: stored.freeBytes,
      total_bytes: stored.totalBytes,
    },
  };
}

/** What accounts and targets leave under their own ids: whoever makes a session may choose its id, and could choose one of those. */
const notOfSessions = ['user_created', 'user_login', 'target_created'] as const satisfies AuditEventType[];

/** To who sees a part the log of one session alone. */
async function needSessionAlone(call: Call<'listAudit'>, resourceId: string): Promise<void> {
  await needVisible(call, resourceId);
  for (const eventType of notOfSessions) {
    const { total } = await call.api.deps.storage.listAudit({ resourceId, eventType, limit: 1, offset: 0 });
    if (total > 0) throw sessionNotFound(resourceId);
  }
}

type SystemOperations = 'systemStatistics' | 'sessionStatistics' | 'listAudit' | 'exportAudit';

export const systemHandlers: Handlers<SystemOperations> = {
  systemStatistics: (call) => (isScoped(call.user) ? scopedStatistics(call) : systemStatistics(call.api)),

  async sessionStatistics(call) {
    const { sessionId, api } = call;
    const session = await loadSession(call);
    const totals = await api.deps.storage.sessionTotals({ sessionId });
    const { statistics } = session;
    const seconds = statistics.duration_seconds;
    const all = (statistics.frame_count ?? 0) + statistics.dropped_frames;
    const lost = all > 0 ? Number((statistics.dropped_frames / all).toFixed(4)) : 0;
    return {
      session_id: sessionId,
      time_range: { start: session.started_at, end: session.stopped_at, duration_seconds: seconds },
      recording_stats: {
        frame_count: statistics.frame_count,
        update_count: totals.updatesCount,
        dropped_frames: statistics.dropped_frames,
        error_count: statistics.error_count,
        average_fps: statistics.average_fps,
      },
      storage_stats: {
        chunks_count: totals.chunksCount,
        size_bytes: totals.storedBytes,
        recorded_bytes: totals.payloadBytes,
        compression_ratio: storedRatio(totals.storedBytes, totals.payloadBytes),
      },
      quality_stats: { quality_score: Number(((1 - lost) * 100).toFixed(2)), dropped_frame_ratio: lost },
      performance_stats: {
        average_chunk_seconds: totals.chunksCount > 0 ? totals.lineUs / totals.chunksCount / 1_000_000 : 0,
        bytes_per_second: seconds > 0 ? Math.round(totals.payloadBytes / seconds) : 0,
      },
    };
  },

  async listAudit(call) {
    const { api, query } = call;
    const { event_type, user_id, resource_id, start_time, end_time, limit, offset } = query;
    if (isScoped(call.user)) {
      if (resource_id === undefined) throw wholeRefused();
      await needSessionAlone(call, resource_id);
    }
    const fromUs = toUs(start_time);
    const untilUs = toUs(end_time);
    const { events, total } = await api.deps.storage.listAudit({
      limit,
      offset,
      ...(event_type === undefined ? {} : { eventType: event_type }),
      ...(user_id === undefined ? {} : { userId: user_id }),
      ...(resource_id === undefined ? {} : { resourceId: resource_id }),
      ...(fromUs === undefined ? {} : { fromUs }),
      ...(untilUs === undefined ? {} : { toUs: untilUs }),
    });
    return { events: events.map(auditView), pagination: paginationOf(total, query) };
  },
  exportAudit,
};
