/** The pipeline manager as a process of its own: the service behind its HTTP door. */
import { createServiceHttp, type LogFileReader, type ServiceAccess, serveLog } from '@lucid-sessions/kit';
import type { PipelineConfig } from './config.ts';
import type { PipelineDeps } from './context.ts';
import { createPipelineService, type PipelineService } from './service.ts';

export interface PipelineServer {
  service: PipelineService;
  start(): Promise<{ address: string }>;
  dispose(): Promise<void>;
}

export function createPipelineServer(
  config: Pick<PipelineConfig, 'host' | 'port' | 'serviceSecret' | 'limits'> & Pick<ServiceAccess, 'proof'>,
  deps: PipelineDeps & {
    /** Files of the log, for everyone who can reach this door. */
    readLogFile?: LogFileReader;
    /** More metrics in Prometheus' text format. */
    moreMetrics?: () => Promise<string>;
  },
): PipelineServer {
  const service = createPipelineService(deps, config.limits);
  const app = createServiceHttp({
    name: 'pipeline',
    port: service,
    serviceSecret: config.serviceSecret,
    ...(config.proof === undefined ? {} : { proof: config.proof }),
    metrics: async () => [await service.metrics(), (await deps.moreMetrics?.()) ?? ''].join('\n'),
    ...(deps.onError === undefined ? {} : { onError: deps.onError }),
  });
  if (deps.readLogFile !== undefined) serveLog(app, deps.readLogFile);
  return {
    service,
    async start() {
      await service.run();
      return { address: await app.listen({ host: config.host, port: config.port }) };
    },
    async dispose() {
      app.server.closeIdleConnections();
      await app.close();
      await service.dispose();
    },
  };
}
