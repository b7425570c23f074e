/** The doors that those ask who run a service: is it alive, may it be given work, what does it count. */
import type { ServiceHealth } from '@lucid-sessions/contract';
import type { FastifyInstance } from 'fastify';
import { healthMetrics, processMetrics } from './metrics.ts';

export interface ProbeDoors {
  health(): Promise<ServiceHealth>;
  /** Prometheus text beside what health counts. */
  metrics?: () => Promise<string>;
}

export const prometheusType = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * `GET /livez` (200 as long as the process answers), `GET /readyz` (503 while the service is unhealthy, or a recorder takes no new
 * sessions) and `GET /metrics`. Open to everyone who reaches the door, like `/health`.
 */
export function serveProbes(app: FastifyInstance, { health, metrics }: ProbeDoors): void {
  app.get('/livez', async () => ({ live: true }));
  app.get('/readyz', async (_request, reply) => {
    const now = await health();
    const isReady = now.status !== 'unhealthy' && now.details.draining !== true;
    const message = isReady ? null : (now.message ?? 'takes no new work');
    return reply.status(isReady ? 200 : 503).send({ service: now.service, ready: isReady, message });
  });
  app.get('/metrics', async (_request, reply) => {
    const parts = await Promise.all([health().then(healthMetrics), metrics?.() ?? '', processMetrics()]);
    return reply.type(prometheusType).send(parts.filter((part) => part !== '').join('\n'));
  });
}
