/** The HTTP side of the Session API: every route of the contract's table behind the same gate. */
import type { ServerOptions } from 'node:http';
import { Readable } from 'node:stream';
import {
  basePath,
  importBytesMax,
  isoOf,
  isStorable,
  LucidError,
  type OperationId,
  openApiDocument,
  parseRequest,
  type RestRoute,
  restRoutes,
  sessionIdSchema,
  toLucidError,
} from '@lucid-sessions/contract';
import {
  beginSpan,
  fromFastify,
  type OpenSpan,
  prometheusType,
  SpanKind,
  serveLog,
  traceOf,
  within,
} from '@lucid-sessions/kit';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { alertHandlers } from './alert-handlers.ts';
import { auditedOperations, tellAudit, writeAudit } from './audit.ts';
import { AuditCounts } from './audit-counts.ts';
import { AuditOutbox } from './audit-outbox.ts';
import { authenticator } from './auth.ts';
import { type Api, type ApiDeps, type Call, FileAnswer, type Handler } from './call.ts';
import { chunkHandlers } from './chunk-handlers.ts';
import { addressGroup, clientAddress } from './client-address.ts';
import type { ApiConfig } from './config.ts';
import { connectHandlers } from './connect-handlers.ts';
import { Custody } from './custody.ts';
import { type DoorRequest, PublicDoors } from './doors.ts';
import { evidenceHandlers } from './evidence-handlers.ts';
import { grantHandlers } from './grant-handlers.ts';
import { holdHandlers } from './hold-handlers.ts';
import { createApiHttpServer } from './http-server.ts';
import { importHandlers } from './import-handlers.ts';
import { indexHandlers } from './index-handlers.ts';
import { endLiveStreams, liveHandlers } from './live-handler.ts';
import { type ApiMetrics, apiMetrics } from './metrics.ts';
import { oidcHandlers } from './oidc/oidc-handlers.ts';
import { accountHandlers } from './people/account-handlers.ts';
import { authHandlers } from './people/auth-handlers.ts';
import { browserOf, isForeign } from './people/browser.ts';
import { Callers, mayDo, nobody, type User } from './people/callers.ts';
import { People } from './people/people.ts';
import { userHandlers } from './people/user-handlers.ts';
import { pictureHandlers } from './picture-handlers.ts';
import { MemoryRateLimiter, type RateLimiter, type RateState } from './rate-limiter.ts';
import { takeRdgConnections } from './rdg/http-or-rdg.ts';
import { redactionHandlers } from './redaction-handlers.ts';
import { replayHandlers } from './replay-handlers.ts';
import { admitScope } from './scope-gate.ts';
import { searchHandlers } from './search-handlers.ts';
import { sessionHandlers } from './session-handlers.ts';
import { consoleDocument, serveConsole } from './static-files.ts';
import { healthOf, systemHandlers } from './system-handlers.ts';
import { targetHandlers } from './target-handlers.ts';
import { Targets } from './targets.ts';
import { Unlocker } from './unlocker.ts';
import { admitViewing } from './viewing-gate.ts';
import { viewingHandlers } from './viewing-handlers.ts';
import { Viewings } from './viewings.ts';
import { sessionNotFound } from './views.ts';

const bodyBytesMax = 64 * 1024;
const headerBytesMax = 16 * 1024;
/** Refused tokens per address and minute. */
const refusalsPerMinute = 60;
const refusalCountersMax = 20_000;

const handlers = {
  ...sessionHandlers,
  ...targetHandlers,
  ...grantHandlers,
  ...connectHandlers,
  ...importHandlers,
  ...chunkHandlers,
  ...evidenceHandlers,
  ...holdHandlers,
  ...liveHandlers,
  ...indexHandlers,
  ...searchHandlers,
  ...replayHandlers,
  ...pictureHandlers,
  ...systemHandlers,
  ...viewingHandlers,
  ...authHandlers,
  ...accountHandlers,
  ...userHandlers,
  ...oidcHandlers,
  ...redactionHandlers,
  ...alertHandlers,
};
type GatedOperation = keyof typeof handlers;

const serverOptions: ServerOptions = {
  // A capture of 64 MiB over a slow line; who has no right is refused, and let go, before its body.
  requestTimeout: 300_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: headerBytesMax,
  headersTimeout: 20_000,
  shouldUpgradeCallback: PublicDoors.isFor,
};

interface Gate {
  api: Api;
  callers: Callers;
  limiter: RateLimiter;
  /** Of refused tokens, by address: whoever sends many must not push users' counters out. */
  refusals: RateLimiter;
  counts: AuditCounts;
  metrics: ApiMetrics;
}

function rateHeaders(reply: FastifyReply, state: RateState): void {
  reply.header('x-ratelimit-limit', state.limit);
  reply.header('x-ratelimit-remaining', state.remaining);
  reply.header('x-ratelimit-reset', state.resetSeconds);
}

function tooMany(state: RateState): LucidError {
  return new LucidError('rateLimited', `too many requests; try again in ${state.retryAfterSeconds} s`, {
    details: { retry_after_seconds: state.retryAfterSeconds },
  });
}

/** Guessing tokens is limited by address: a refused caller has no name. */
async function authenticated(gate: Gate, request: FastifyRequest, reply: FastifyReply): Promise<User> {
  try {
    return await gate.callers.identify(request);
  } catch (thrown) {
    if (request.headers.authorization !== undefined)
      await gate.counts.note(addressGroup(request.clientAddress), {
        event: 'token_refused',
        userId: null,
        resourceId: resourceOf(request),
        ...callerOf(request),
        success: false,
        errorMessage: toLucidError(thrown).message,
        details: { operation: request.routeOptions.config.operation ?? 'other' },
      });
    const nowMs = gate.api.deps.nowUs() / 1000;
    const state = await gate.refusals.take(addressGroup(request.clientAddress), refusalsPerMinute, nowMs);
    if (!state.allowed) throw tooMany(state);
    reply.header('www-authenticate', 'Bearer');
    throw thrown;
  }
}

/** Only what is an id: anything else is somebody's text. */
function resourceOf(request: FastifyRequest): string | null {
  const id = sessionIdSchema.safeParse((request.params as { session_id?: string }).session_id);
  return id.success ? id.data : null;
}

const callerOf = (request: FastifyRequest) => ({
  ipAddress: request.clientAddress,
  userAgent: request.headers['user-agent'] ?? null,
});

async function permitted(gate: Gate, operation: OperationId, user: User, request: FastifyRequest): Promise<void> {
  const route: RestRoute = restRoutes[operation];
  if (route.permissions?.length === 0 || route.permissions?.some((permission) => mayDo(user, permission))) return;
  await writeAudit(gate.api, {
    event: 'permission_denied',
    userId: user.userId,
    resourceId: resourceOf(request),
    ...callerOf(request),
    success: false,
    errorMessage: 'not permitted',
    details: { operation },
  });
  throw new LucidError('forbidden', `this needs the right ${route.permissions?.join(' or ')}`, {
    details: { permissions: [...(route.permissions ?? [])] },
  });
}

function callOf(gate: Gate, operation: OperationId, request: FastifyRequest, reply: FastifyReply): Call {
  const route: RestRoute = restRoutes[operation];
  const {
    session_id: sessionId = '',
    chunk_id: chunkId = '',
    keyframe = '',
    viewing_id: viewingId = '',
  } = request.params as Record<string, string>;
  if (route.path.includes('{session_id}') && !sessionIdSchema.safeParse(sessionId).success)
    throw sessionNotFound(sessionId.slice(0, 100));
  if (!Object.values(request.params as Record<string, string>).every(isStorable))
    throw new LucidError('notFound', 'nothing has this name');
  const upload = request.body instanceof Readable ? request.body : null;
  if ((route.upload === undefined) !== (upload === null)) {
    const wanted = route.upload?.contentType ?? 'application/json';
    throw new LucidError('mediaType', `this call takes a body of the type ${wanted}`);
  }
  const hasBody = request.body !== undefined && request.body !== null && upload === null;
  if (route.body === undefined && hasBody && Object.keys(request.body as object).length > 0)
    throw new LucidError('invalidRequest', 'this call takes no body');
  if (route.query === undefined && Object.keys(request.query as object).length > 0)
    throw new LucidError('invalidRequest', 'this call takes no query');
  return {
    api: gate.api,
    user: request.user ?? nobody,
    browser: browserOf(gate.api.config, request, reply),
    params: request.params as Record<string, string>,
    sessionId,
    chunkId,
    keyframe,
    viewingId,
    viewing: null,
    query: route.query === undefined ? undefined : parseRequest(route.query, request.query, 'query'),
    body: route.body === undefined ? undefined : parseRequest(route.body, request.body, 'body'),
    upload,
    told: {},
  } as Call;
}

const detailsOf = ({ chunkId, keyframe, told }: Call): Record<string, unknown> => ({
  ...(chunkId === '' ? {} : { chunk_id: chunkId.slice(0, 120) }),
  ...(keyframe === '' ? {} : { keyframe: keyframe.slice(0, 120) }),
  ...told,
});

/** What a call is about: a session, a target or an account, of which its own person's has no name in the path. */
const resourceIn = ({ sessionId, params, user }: Call): string | null =>
  sessionId || (params.user_id ?? params.target_id ?? (user.browser === null ? null : user.userId));

function madeBy(answer: unknown): string | null {
  const made = answer as { session_id?: string; user_id?: string; target_id?: string };
  return made.session_id ?? made.user_id ?? made.target_id ?? null;
}

async function audited(
  gate: Gate,
  operation: OperationId,
  call: Call,
  request: FastifyRequest,
  work: () => Promise<unknown>,
) {
  const rule = auditedOperations[operation];
  if (rule === undefined) return work();
  const facts = {
    event: rule.event,
    userId: call.user.userId,
    ...callerOf(request),
  };
  let answer: unknown;
  try {
    answer = await work();
  } catch (thrown) {
    const errorMessage = toLucidError(thrown).message;
    const details = detailsOf(call);
    await tellAudit(gate.api, {
      ...facts,
      resourceId: resourceIn(call),
      success: false,
      errorMessage,
      details,
    });
    throw thrown;
  }
  const resourceId =
    call.sessionId || (call.params.user_id ?? call.params.target_id ?? madeBy(answer) ?? resourceIn(call));
  const details = detailsOf(call);
  const done = { ...facts, resourceId, success: true, errorMessage: null, details };
  if (rule.often === true) await gate.counts.note(call.user.userId, done);
  else if (rule.read) await writeAudit(gate.api, done);
  else await tellAudit(gate.api, done);
  return answer;
}

function sendFile(reply: FastifyReply, file: FileAnswer, contentType: string): FastifyReply {
  for (const [name, value] of Object.entries(file.headers)) reply.header(name, value);
  // Names are made of ids: letters, digits, dots, dashes.
  if (file.fileName !== null) reply.header('content-disposition', `attachment; filename="${file.fileName}"`);
  reply.type(contentType);
  if (file.content instanceof Uint8Array)
    return reply.send(Buffer.from(file.content.buffer, file.content.byteOffset, file.content.byteLength));
  const { content } = file;
  return reply.send(content instanceof Readable ? content : Readable.from(content, { objectMode: false }));
}

function addRoute(app: FastifyInstance, gate: Gate, operation: GatedOperation): void {
  const route: RestRoute = restRoutes[operation];
  const handle = handlers[operation] as Handler<OperationId>;
  app.route({
    method: route.method,
    url: basePath + route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
    config: { operation },
    // Before the body is read: nobody without a right gets memory from us.
    onRequest: async (request, reply) => {
      const isAsked = route.permissions !== null || (operation === 'whoAmI' && gate.callers.hasProof(request));
      const user = isAsked ? await authenticated(gate, request, reply) : null;
      const limitClass = route.rateLimit!;
      const limit = gate.api.config.rateLimits[limitClass];
      const nowMs = gate.api.deps.nowUs() / 1000;
      const counted = user === null ? addressGroup(request.clientAddress) : user.userId;
      const state = await gate.limiter.take(`${limitClass}:${counted}`, limit, nowMs);
      rateHeaders(reply, state);
      if (!state.allowed) throw tooMany(state);
      if (user === null && isForeign(gate.api.config, request))
        throw new LucidError('forbidden', 'another site’s page asked for this');
      if (user !== null && route.permissions !== null) await permitted(gate, operation, user, request);
      request.user = user;
    },
    handler: async (request, reply) => {
      const call = callOf(gate, operation, request, reply);
      const answer = await audited(gate, operation, call, request, async () => {
        await admitScope(call, operation);
        await admitViewing(call, operation);
        return handle(call);
      });
      reply.status(route.answer.status);
      if (answer instanceof FileAnswer)
        return sendFile(reply, answer, 'contentType' in route.answer ? route.answer.contentType : '');
      return answer;
    },
  });
}

declare module 'fastify' {
  interface FastifyRequest {
    span: OpenSpan | null;
    user: User | null;
    /** Where the caller is; never what a header alone says. */
    clientAddress: string;
  }
  interface FastifyContextConfig {
    operation?: OperationId;
  }
}

const securityHeaders: Record<string, string> = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cache-control': 'no-store',
};

function addressOf(request: DoorRequest, { trustProxy }: ApiConfig): string {
  const forwarded = request.headers['x-forwarded-for'];
  return clientAddress(
    request.socket.remoteAddress,
    Array.isArray(forwarded) ? forwarded.join(',') : forwarded,
    trustProxy,
  );
}

function addHooks(app: FastifyInstance, { api, metrics }: Gate): void {
  app.decorateRequest('user', null);
  app.decorateRequest('clientAddress', 'unknown');
  app.decorateRequest('span', null);
  app.addHook('onRequest', (request, _reply, done) => {
    const operation = request.routeOptions.config.operation ?? 'other';
    const attributes = { 'http.request.method': request.method, 'lucid.request.id': request.id };
    const parent = traceOf(request.headers.traceparent);
    request.span = beginSpan(`api.${operation}`, { kind: SpanKind.SERVER, attributes, parent });
    within(request.span.context, done);
  });
  app.addHook('onRequest', async (request, reply) => {
    request.clientAddress = addressOf(request.raw, api.config);
    reply.header('x-request-id', request.id);
    reply.headers(securityHeaders);
  });
  app.addHook('onResponse', async (request, reply) => {
    const operation = request.routeOptions.config.operation ?? 'other';
    metrics.observe(operation, reply.statusCode, reply.elapsedTime / 1000);
    request.span?.set({ 'http.response.status_code': reply.statusCode });
    request.span?.end(reply.statusCode >= 500 ? new Error() : undefined);
    api.deps.onRequest?.({
      request: request.id,
      operation,
      method: request.method,
      path: request.url.split('?')[0]!.slice(0, 300),
      status: reply.statusCode,
      user: request.user?.userId ?? null,
      client: request.clientAddress,
      milliseconds: Math.round(reply.elapsedTime),
    });
  });
}

function sendError(api: Api, request: FastifyRequest, reply: FastifyReply, thrown: unknown): FastifyReply {
  const error = fromFastify(thrown) ?? toLucidError(thrown);
  // Nobody waits for a body that is not read.
  if (!request.raw.complete) reply.header('connection', 'close');
  const { retry_after_seconds: retryAfter } = error.details;
  if (error.status === 429 && typeof retryAfter === 'number') reply.header('retry-after', retryAfter);
  if (error.status >= 500) api.deps.onError?.('request', thrown, { request: request.id });
  return reply
    .status(error.status)
    .type('application/json; charset=utf-8')
    .send({
      error: {
        code: error.code,
        message: error.message,
        details: error.details,
        request_id: request.id,
        timestamp: isoOf(api.deps.nowUs()),
      },
    });
}

/** An empty body with the content type of JSON is no body: clients send that with commands. */
function addJsonParser(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, null);
    else parse(request, body as string, done);
  });
  // Files are read by who wants them, after everything else was checked.
  app.addContentTypeParser('application/gzip', { bodyLimit: importBytesMax }, (_request, payload, done) =>
    done(null, payload),
  );
  app.addContentTypeParser(restRoutes.endOidc.sends, (_request, payload, done) => done(null, payload));
}

async function addOpenRoutes(app: FastifyInstance, { api, metrics }: Gate): Promise<void> {
  const document = openApiDocument(api.config.version);
  app.get('/openapi.json', async () => document);
  // Without a look at the other services: an API that can't reach them says so to who asks it.
  for (const path of ['/livez', '/readyz']) app.get(path, async () => ({ service: 'api', ready: true, message: null }));
  for (const prefix of ['', basePath]) {
    app.get(`${prefix}/health`, { config: { operation: 'health' } }, async (_request, reply) => {
      const health = await healthOf(api);
      return reply.status(health.status === 'unhealthy' ? 503 : 200).send(health);
    });
    app.get(`${prefix}/metrics`, { config: { operation: 'metrics' } }, async (_request, reply) =>
      reply.type(prometheusType).send(await metrics.text()),
    );
  }
}

const openPaths = ['/openapi.json', '/livez', '/readyz', '/health', '/metrics'];

/** A path of the contract asked by a method it does not have: 405, with those it has. */
function refuseOtherMethods(app: FastifyInstance, api: Api): void {
  const methods = new Map<string, string[]>(openPaths.map((path) => [path, ['GET']]));
  for (const { method, path } of Object.values<RestRoute>(restRoutes))
    methods.set(basePath + path, [...(methods.get(basePath + path) ?? []), method]);
  const known = [...methods].map(([path, allowed]) => ({
    form: new RegExp(`^${path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`),
    allowed,
  }));
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.config.operation !== undefined) return;
    const path = request.url.split('?')[0] ?? '';
    // /users/setup is a path of its own, and has the form of /users/{user_id}.
    const allowed = new Set(methods.get(path) ?? known.find(({ form }) => form.test(path))?.allowed);
    if (allowed.size === 0 || allowed.has(request.method)) return;
    const list = [...allowed].join(', ');
    reply.header('allow', list);
    const error = new LucidError('noSuchRoute', `this path takes ${list}`, { status: 405 });
    return sendError(api, request, reply, error);
  });
}

export async function createApiHttp(config: ApiConfig, deps: ApiDeps): Promise<FastifyInstance> {
  const outbox = new AuditOutbox({
    store: (event) => deps.storage.appendAudit(event),
    say: (where, thrown) => deps.onError?.(where, thrown),
  });
  const bearer = authenticator(config.jwt);
  const people = new People({
    ...{ storage: deps.storage, nowUs: deps.nowUs, times: config.signIn },
    ...{ seal: deps.accountSeal ?? null, signInBy: config.signInBy, publicUrl: config.publicUrl },
  });
  const api: Api = {
    config,
    people,
    targets: new Targets(deps),
    deps,
    startedUs: deps.nowUs(),
    outbox,
    viewings: new Viewings(),
    custody: new Custody(deps),
    live: { viewers: new Map(), streams: new Set() },
    busy: { verifying: false, importing: false, searching: false },
  };
  const gate: Gate = {
    api,
    callers: new Callers(config, people, bearer, deps.nowUs),
    limiter: deps.rateLimiter ?? new MemoryRateLimiter(),
    refusals: new MemoryRateLimiter(refusalCountersMax),
    counts: new AuditCounts((facts) => tellAudit(api, facts)),
    metrics: apiMetrics(deps, () => ({
      auditWaiting: outbox.length,
      liveViewers: [...api.live.viewers.values()].reduce((sum, count) => sum + count, 0),
    })),
  };
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    bodyLimit: bodyBytesMax,
    routerOptions: { maxParamLength: 200 },
    return503OnClosing: true,
    serverFactory: (handler) => createApiHttpServer(config.tls, serverOptions, handler),
    requestIdHeader: false,
    genReqId: (request) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && /^[A-Za-z0-9._-]{1,100}$/.test(given) ? given : deps.newId();
    },
  });
  const doors = new PublicDoors(app.server, {
    recorder: deps.recorderDoor ?? null,
    publicUrl: config.publicUrl,
    limiter: new MemoryRateLimiter(refusalCountersMax),
    addressOf: (request) => addressOf(request, config),
    nowUs: deps.nowUs,
    onError: (thrown) => deps.onError?.('door', thrown),
  });
  const letGo = takeRdgConnections(app.server, (socket) => doors.takeRdg(socket));
  app.addHook('preClose', async () => {
    endLiveStreams(api);
    letGo();
    doors.close();
  });
  const unlocker = new Unlocker(deps);
  app.addHook('onClose', async () => {
    unlocker.dispose();
    await gate.counts.flush();
    await outbox.dispose();
  });
  addJsonParser(app);
  addHooks(app, gate);
  refuseOtherMethods(app, api);
  app.setErrorHandler(async (thrown: unknown, request, reply) => sendError(api, request, reply, thrown));
  await addOpenRoutes(app, gate);
  for (const operation of Object.keys(handlers) as GatedOperation[]) addRoute(app, gate, operation);
  const { readLogFile, staticDir } = deps;
  if (readLogFile !== undefined) serveLog(app, readLogFile);
  if (staticDir !== undefined) await serveConsole(app, staticDir);
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const document = staticDir !== undefined && request.method === 'GET' ? consoleDocument(path) : null;
    if (document !== null) return reply.sendFile(document);
    return sendError(api, request, reply, new LucidError('noSuchRoute', 'there is nothing at this path'));
  });
  return app;
}
