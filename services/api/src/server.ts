/** Session API as a server: create, start, dispose. */
import type { FastifyInstance } from 'fastify';
import type { ApiDeps } from './call.ts';
import type { ApiConfig } from './config.ts';
import { createApiHttp } from './http.ts';

export interface ApiServer {
  start(): Promise<{ address: string }>;
  dispose(): Promise<void>;
}

export function createApiServer(config: ApiConfig, deps: ApiDeps): ApiServer {
  let app: FastifyInstance | undefined;
  return {
    async start() {
      app = await createApiHttp(config, deps);
      const address = await app.listen({ host: config.host, port: config.port });
      return { address: config.tls === null ? address : address.replace(/^http:/, 'https:') };
    },
    async dispose() {
      app?.server.closeIdleConnections();
      await app?.close();
    },
  };
}
