/** Storage as a process of its own: the service behind its HTTP door. */
import { createServiceHttp, type ServiceAccess } from '@lucid-sessions/kit';
import type { StorageConfig } from './config.ts';
import type { RecoveryReport } from './recovery.ts';
import { createStorageService, type StorageDeps, type StorageService } from './service.ts';

export interface StorageServer {
  service: StorageService;
  start(): Promise<{ address: string; recovery: RecoveryReport }>;
  dispose(): Promise<void>;
}

export function createStorageServer(
  config: Pick<StorageConfig, 'host' | 'port' | 'serviceSecret' | 'verifyOnPut'> &
    Partial<Pick<StorageConfig, 'scrub'>> &
    Pick<ServiceAccess, 'proof'>,
  deps: Omit<StorageDeps, 'verifyOnPut' | 'scrub'> & { onError?: (where: string, thrown: unknown) => void },
): StorageServer {
  const service = createStorageService({ ...deps, verifyOnPut: config.verifyOnPut, scrub: config.scrub ?? null });
  const app = createServiceHttp({
    name: 'storage',
    port: service,
    serviceSecret: config.serviceSecret,
    ...(config.proof === undefined ? {} : { proof: config.proof }),
    ...(deps.onError === undefined ? {} : { onError: deps.onError }),
  });
  return {
    service,
    async start() {
      const recovery = await service.start();
      return { address: await app.listen({ host: config.host, port: config.port }), recovery };
    },
    async dispose() {
      app.server.closeIdleConnections();
      await app.close();
      await service.dispose();
    },
  };
}
