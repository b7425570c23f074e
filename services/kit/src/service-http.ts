/** The HTTP door every internal service has: `/health`, the probes, and its port under `/rpc/`. */
import {
  LucidError,
  mayCall,
  type PortName,
  type Ports,
  rpcChunkBytesMax,
  rpcContentType,
  rpcFailure,
  rpcMethod,
  rpcPath,
  rpcServer,
  type ServiceHealth,
  toLucidError,
} from '@lucid-sessions/contract';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { type Doors, serveDoors } from './doors.ts';
import { serveProbes } from './probes.ts';
import { type ServiceAccess, ServiceGate } from './service-gate.ts';
import { serviceTlsSettings } from './service-tls.ts';
import { SpanKind, traced, traceOf } from './tracing.ts';

export interface ServiceHttpOptions<P extends PortName> extends ServiceAccess {
  name: P;
  port: Ports[P];
  /** What the API passes through to this service. */
  doors?: Doors;
  /** Prometheus text beside what health counts. */
  metrics?: () => Promise<string>;
  /** Sees unexpected errors, before their text is taken out of the answer. */
  onError?: (where: string, thrown: unknown) => void;
}

const renewMs = 1000;

/** TLS asks for a certificate and takes also who has none: probes of those who run it have none, and the gate turns the others away. */
function serverFor(gate: ServiceGate): FastifyInstance {
  const common = { logger: false, bodyLimit: 1024 * 1024, requestTimeout: 120_000, return503OnClosing: true } as const;
  if (gate.tls === null) return fastify(common);
  let used = gate.tls.value;
  const https = { ...serviceTlsSettings, ...used, requestCert: true, rejectUnauthorized: false };
  const app = fastify({ ...common, https });
  const timer = setInterval(() => {
    const now = gate.tls?.value ?? used;
    if (now === used) return;
    used = now;
    app.server.setSecureContext({ ...serviceTlsSettings, ...now });
    app.server.closeIdleConnections();
  }, renewMs);
  timer.unref();
  app.addHook('onClose', async () => clearInterval(timer));
  return app as unknown as FastifyInstance;
}

const httpStatusOf: Record<ServiceHealth['status'], number> = { healthy: 200, degraded: 200, unhealthy: 503 };

/** Not listening yet: the caller does `listen({ host, port })` and `close()`. */
export function createServiceHttp<P extends PortName>(options: ServiceHttpOptions<P>): FastifyInstance {
  const gate = new ServiceGate(options.name, options);
  const app = serverFor(gate);
  const handle = rpcServer(options.name, options.port, options.onError);

  const admit = async (request: FastifyRequest<{ Params: { method: string } }>) => {
    const { method } = request.params;
    const path = rpcPath(options.name, method);
    await gate.admit(request.raw, path, (callers) => mayCall(callers, options.name, method));
    const bytesMax = rpcMethod(options.name, method)?.requestBytesMax ?? rpcChunkBytesMax;
    if (Number(request.headers['content-length'] ?? 0) > bytesMax)
      throw new LucidError('tooLarge', `a request of ${method} is at most ${bytesMax} bytes`);
  };

  // The body is parsed by the handler, after the secret was checked and with the limit of its method.
  app.addContentTypeParser(rpcContentType, { parseAs: 'buffer', bodyLimit: rpcChunkBytesMax }, (_request, body, done) =>
    done(null, body),
  );
  app.post<{ Params: { method: string } }>(
    `/rpc/${options.name}/:method`,
    { bodyLimit: rpcChunkBytesMax, onRequest: admit },
    async (request, reply) => {
      const body = request.body instanceof Uint8Array ? request.body : new Uint8Array(0);
      const { method } = request.params;
      const answer = await traced(`${options.name}.${method}`, () => handle(method, body), {
        kind: SpanKind.SERVER,
        parent: traceOf(request.headers.traceparent),
      });
      return reply.status(answer.status).type(rpcContentType).send(Buffer.from(answer.body.buffer));
    },
  );
  const { health } = options.port as { health(): Promise<ServiceHealth> };
  const askHealth = () => health.call(options.port);
  app.get('/health', async (_request, reply) => {
    const answer = await askHealth();
    return reply.status(httpStatusOf[answer.status]).send(answer);
  });
  serveProbes(app, { health: askHealth, ...(options.metrics === undefined ? {} : { metrics: options.metrics }) });
  if (options.doors !== undefined) serveDoors(app.server, gate, options.doors);

  app.setNotFoundHandler(async (_request, reply) => {
    const answer = rpcFailure(new LucidError('noSuchRoute', 'this service has no such route'));
    return reply.status(answer.status).type(rpcContentType).send(Buffer.from(answer.body.buffer));
  });
  app.setErrorHandler(async (thrown: unknown, _request, reply) => {
    const answer = rpcFailure(fromFastify(thrown) ?? toLucidError(thrown));
    if (!(thrown instanceof LucidError)) options.onError?.('http', thrown);
    return reply.status(answer.status).type(rpcContentType).send(Buffer.from(answer.body.buffer));
  });
  return app;
}

/** Fastify's own refusals in terms of the closed table; null when it is none of them. */
export function fromFastify(thrown: unknown): LucidError | null {
  const code = (thrown as { code?: unknown } | null)?.code;
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new LucidError('tooLarge', 'the request body is too large');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new LucidError('mediaType', 'this content type is not supported here');
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new LucidError('invalidRequest', 'the request body is not valid JSON');
    default: {
      const status = (thrown as { statusCode?: unknown } | null)?.statusCode;
      return typeof status === 'number' && status >= 400 && status < 500
        ? new LucidError('invalidRequest', 'the request is not valid')
        : null;
    }
  }
}
