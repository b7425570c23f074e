/** The doors that those ask who run a service: is it alive, may it be given work, what does it count. */
import type { ServiceHealth } from '@lucid-sessions/contract';
import type { FastifyInstance } from 'fastify';

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
    const more = (await metrics?.()) ?? '';
    return reply.type(prometheusType).send(`${healthMetrics(await health())}${more}`);
  });
}

const statusNumbers: Record<ServiceHealth['status'], number> = { healthy: 0, degraded: 1, unhealthy: 2 };

/** Numbers and switches of a service's health as gauges (`lucid_recorder_spooled_bytes`), and what its process uses. */
export function healthMetrics({ service, status, details }: ServiceHealth): string {
  const { user, system } = process.cpuUsage();
  const counted: [string, number][] = [[`lucid_${service}_health`, statusNumbers[status]]];
  for (const [name, value] of Object.entries(details))
    if (typeof value !== 'string') counted.push([`lucid_${service}_${snake(name)}`, Number(value)]);
  const lines = counted.flatMap(([name, value]) => [`# TYPE ${name} gauge`, `${name} ${value}`]);
  return [
    ...lines,
    '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${process.memoryUsage.rss()}`,
    '# TYPE process_cpu_seconds_total counter',
    `process_cpu_seconds_total ${(user + system) / 1e6}`,
    '',
  ].join('\n');
}

const snake = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replaceAll(/[^a-z0-9_]/g, '_');
