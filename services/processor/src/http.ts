/** The chunk processor as a process of its own: the service behind its HTTP door. */
import { createServiceHttp } from '@lucid-sessions/kit';
import type { ProcessorConfig } from './config.ts';
import { createProcessor, type ProcessorDeps, type ProcessorService } from './service.ts';

export interface ProcessorServer {
  service: ProcessorService;
  start(): Promise<{ address: string }>;
  dispose(): Promise<void>;
}

export function createProcessorServer(
  config: ProcessorConfig,
  deps: ProcessorDeps & { onError?: (where: string, thrown: unknown) => void },
): ProcessorServer {
  const service = createProcessor(config, deps);
  const app = createServiceHttp({
    name: 'processor',
    port: service,
    serviceSecret: config.serviceSecret,
    ...(config.proof === undefined ? {} : { proof: config.proof }),
    ...(deps.onError === undefined ? {} : { onError: deps.onError }),
  });
  return {
    service,
    start: async () => ({ address: await app.listen({ host: config.host, port: config.port }) }),
    async dispose() {
      app.server.closeIdleConnections();
      await app.close();
      await service.dispose();
    },
  };
}
