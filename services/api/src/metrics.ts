/** Metrics in Prometheus' text format: what storage counts, and how this API answers. */
import { sessionStatuses, spaceBounds } from '@lucid-sessions/contract';
import { healthMetrics, processMetrics } from '@lucid-sessions/kit';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ApiDeps } from './call.ts';
import { doorMetrics } from './door-metrics.ts';

export interface ApiMetrics {
  observe(operation: string, status: number, seconds: number): void;
  text(): Promise<string>;
}

/** What this API itself has in hand. */
export interface ApiLoad {
  auditWaiting: number;
  liveViewers: number;
}

export function apiMetrics(
  deps: Pick<ApiDeps, 'storage' | 'recorder' | 'moreMetrics'>,
  load: () => ApiLoad,
): ApiMetrics {
  const registry = new Registry();
  const registers = [registry];
  const sessions = new Gauge({
    name: 'sessions_total',
    help: 'Sessions by status.',
    labelNames: ['status'],
    registers,
  });
  const bytes = new Gauge({ name: 'storage_bytes', help: 'Bytes of stored chunk files.', registers });
  const space = new Gauge({
    name: 'storage_space_bytes',
    help: 'Of the disk that is worst off: free, total, and what has to be free for anything to be recorded.',
    labelNames: ['what'],
    registers,
  });
  const copies = new Gauge({
    name: 'storage_copies',
    help: 'Chunks that wait for being copied to the second store, and those copied since storage started.',
    labelNames: ['state'],
    registers,
  });
  const chunks = new Counter({
    name: 'chunks_processed_total',
    help: 'Chunks by status.',
    labelNames: ['status'],
    registers,
  });
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Requests of the Session API.',
    labelNames: ['operation', 'status'],
    registers,
  });
  return {
    observe: (operation, status, seconds) => requests.observe({ operation, status: String(status) }, seconds),
    async text() {
      const [{ byStatus }, stored, door] = await Promise.all([
        deps.storage.countSessions(),
        deps.storage.statistics(),
        doorMetrics(deps.recorder),
      ]);
      for (const status of sessionStatuses) sessions.set({ status }, byStatus[status] ?? 0);
      bytes.set(stored.storedBytes);
      space.set({ what: 'free' }, stored.freeBytes);
      space.set({ what: 'total' }, stored.totalBytes);
      if (stored.copies !== undefined) {
        copies.set({ state: 'waiting' }, stored.copies.waitingChunks);
        copies.set({ state: 'copied' }, stored.copies.copiedChunks);
      }
      space.set({ what: 'recording_min' }, spaceBounds(stored.totalBytes).recordingBytesMin);
      chunks.reset();
      chunks.inc({ status: 'stored' }, stored.chunksCount);
      const parts = [
        await registry.metrics(),
        lineHistogram(stored.lineSeconds),
        door,
        healthMetrics({ service: 'api', status: 'healthy', message: null, details: { ...load() } }),
        (await deps.moreMetrics?.()) ?? '',
        await processMetrics(),
      ];
      return `${parts
        .filter((part) => part !== '')
        .join('\n')
        .trimEnd()}\n`;
    },
  };
}

function lineHistogram(line: { bounds: number[]; counts: number[]; sum: number; count: number } | undefined): string {
  if (line === undefined) return '';
  const name = 'processing_duration_seconds';
  return [
    `# HELP ${name} From the closing of a chunk until it is stored.`,
    `# TYPE ${name} histogram`,
    ...line.bounds.map((bound, at) => `${name}_bucket{le="${bound}"} ${line.counts[at] ?? 0}`),
    `${name}_bucket{le="+Inf"} ${line.count}`,
    `${name}_sum ${line.sum}`,
    `${name}_count ${line.count}`,
  ].join('\n');
}
