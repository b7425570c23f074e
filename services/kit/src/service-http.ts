/** The HTTP door every internal service has: `/health`, the probes, and its port under `/rpc/`. */
import {
  LucidError,
  type PortName,
  type Ports,
  rpcChunkBytesMax,
  rpcContentType,
  rpcFailure,
  rpcMethod,
  rpcServer,
  type ServiceHealth,
  toLucidError,
} from '@lucid-sessions/contract';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { type Doors, serveDoors } from './doors.ts';
import { serveProbes } from './probes.ts';

export interface ServiceHttpOptions<P extends PortName> {
  name: P;
  port: Ports[P];
  /** Shared secret of the services; at least 32 characters. */
  serviceSecret: string;
  /** What the API passes through to this service. */
  doors?: Doors;
  /** Prometheus text beside what health counts. */
  metrics?: () => Promise<string>;
  /** Sees unexpected errors, before their text is taken out of the answer. */
  onError?: (where: string, thrown: unknown) => void;
}

export const serviceSecretCharactersMin = 32;

const digest = async (text: string) =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));

/** Compares digests, and all their bytes, so neither content nor length of the secret leaks through timing. */
export function bearerGuard(secret: string): (authorization: string | undefined) => Promise<void> {
  if (secret.length < serviceSecretCharactersMin)
    throw new LucidError(
      'invalidRequest',
      `the service secret must have at least ${serviceSecretCharactersMin} characters`,
    );
  const expected = digest(`Bearer ${secret}`);
  return async (authorization) => {
    const [wanted, given] = await Promise.all([expected, digest(authorization ?? '')]);
    let difference = 0;
    for (let at = 0; at < wanted.length; at++) difference |= wanted[at]! ^ given[at]!;
    if (difference !== 0)
      throw new LucidError('unauthenticated', 'this door is for the services; send their shared secret');
  };
}

const httpStatusOf: Record<ServiceHealth['status'], number> = { healthy: 200, degraded: 200, unhealthy: 503 };

/** Not listening yet: the caller does `listen({ host, port })` and `close()`. */
export function createServiceHttp<P extends PortName>(options: ServiceHttpOptions<P>): FastifyInstance {
  const app = fastify({ logger: false, bodyLimit: 1024 * 1024, requestTimeout: 120_000, return503OnClosing: true });
  const guard = bearerGuard(options.serviceSecret);
  const handle = rpcServer(options.name, options.port, options.onError);

  const admit = async (request: FastifyRequest<{ Params: { method: string } }>) => {
    await guard(request.headers.authorization);
    const { method } = request.params;
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
      const answer = await handle(request.params.method, body);
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
  if (options.doors !== undefined) serveDoors(app.server, guard, options.doors);

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
