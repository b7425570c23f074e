/** The OpenAPI 3.1 document, made from the route table. */
import { z } from 'zod';
import { type ErrorName, errorNames, errorTable } from '../errors.ts';
import { csrfHeader, providerIdPattern, userIdPattern } from '../people.ts';
import { chunkDetail, chunkSchema } from './chunk-schemas.ts';
import { basePath } from './operations.ts';
import { type RestRoute, restRoutes } from './routes.ts';
import { sessionSchema, sessionStatisticsSchema } from './session-schemas.ts';
import { errorAnswer } from './system-schemas.ts';

type Json = Record<string, unknown>;

/** Schemas that get a name of their own; everything else stands where it is used. */
const named = {
  Session: sessionSchema,
  SessionStatistics: sessionStatisticsSchema,
  Chunk: chunkSchema,
  ChunkDetail: chunkDetail,
  Error: errorAnswer,
};

const reference = (id: string) => `#/components/schemas/${id}`;

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _dialect, ...bare } = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ jsonSchema: made }) => {
      if (made.pattern !== undefined) made.pattern = portable(made.pattern);
      const [first, ...others] = (made.prefixItems ?? []) as Json[];
      const text = JSON.stringify(first);
      if (first === undefined || others.some((other) => JSON.stringify(other) !== text)) return;
      // So many of one kind: that every reader of schemas knows how to say.
      delete made.prefixItems;
      Object.assign(made, { items: first, minItems: others.length + 1, maxItems: others.length + 1 });
    },
  }) as Json;
  return bare;
}

/** Control characters by their numbers: many readers of patterns know no classes of Unicode. */
const portable = (pattern: string): string =>
  pattern
    .replaceAll('[^\\p{Cc}]', String.raw`[^\u0000-\u001f\u007f-\u009f]`)
    .replaceAll('\\P{Cc}', String.raw`[^\u0000-\u001f\u007f-\u009f]`);

function answerSchema(schema: z.ZodType): Json {
  const id = Object.entries(named).find(([, known]) => known === schema)?.[0];
  return id === undefined ? jsonSchema(schema, 'output') : { $ref: reference(id) };
}

const parameterDescriptions: Record<string, string> = {
  session_id: 'Id of the session.',
  chunk_id: 'Id of the chunk, as the list of chunks names it.',
  target_id: 'Id of the target.',
  user_id: 'Name of the account.',
  provider_id: 'Id of the provider, as `GET /auth/ways` names it.',
  token_id: 'Id of the API token, as the list names it.',
  sign_in_id: 'Id of the signed-in browser, as the list names it.',
  passkey_id: 'Id of the passkey, as the account names it.',
  keyframe: 'Number of the keyframe, as the list of keyframes names it.',
  viewing_id: 'Id of the request, as asking answered it.',
  rule_id: 'Id of the rule, as the list of rules names it.',
};

const parameterPatterns: Record<string, string> = {
  session_id: '^[A-Za-z0-9_-]{1,100}$',
  chunk_id: '^[A-Za-z0-9_.-]{1,120}$',
  target_id: '^[A-Za-z0-9_-]{1,64}$',
  user_id: userIdPattern.source,
  provider_id: providerIdPattern.source,
  token_id: '^[A-Za-z0-9_-]{1,100}$',
  sign_in_id: '^[0-9a-f]{64}$',
  passkey_id: '^[0-9a-f]{64}$',
  keyframe: '^[1-9][0-9]{0,5}$',
  viewing_id: '^[0-9a-f-]{36}$',
  rule_id: '^[0-9a-f-]{36}$',
};

function parametersOf(route: RestRoute): Json[] {
  const parameters: Json[] = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => ({
    name,
    in: 'path',
    required: true,
    description: parameterDescriptions[name],
    schema: { type: 'string', pattern: parameterPatterns[name] },
  }));
  if (route.query === undefined) return parameters;
  const { properties } = jsonSchema(route.query, 'output') as { properties: Record<string, Json> };
  const { required = [] } = jsonSchema(route.query, 'input') as { required?: string[] };
  for (const [name, schema] of Object.entries(properties))
    parameters.push({ name, in: 'query', required: required.includes(name), schema });
  return parameters;
}

function errorAnswers(route: RestRoute): Json {
  const always: ErrorName[] = ['storage', 'unavailable', 'internal'];
  const authenticated: ErrorName[] =
    route.permissions === null
      ? route.rateLimit === null
        ? []
        : ['forbidden', 'rateLimited']
      : ['unauthenticated', 'forbidden', 'rateLimited'];
  const answers = new Map<number, string[]>();
  for (const name of new Set<ErrorName>([...route.errors, ...authenticated, ...always])) {
    const code = errorNames[name];
    for (const status of errorTable[code].statuses)
      answers.set(status, [...(answers.get(status) ?? []), `${code}: ${errorTable[code].meaning}`]);
  }
  return Object.fromEntries(
    [...answers]
      .sort(([a], [b]) => a - b)
      .map(([status, meanings]) => [
        String(status),
        { description: meanings.join('; '), content: { 'application/json': { schema: { $ref: reference('Error') } } } },
      ]),
  );
}

function operationOf(operationId: string, route: RestRoute): Json {
  const { answer } = route;
  const content =
    'schema' in answer
      ? { 'application/json': { schema: answerSchema(answer.schema) } }
      : { [answer.contentType.split(';')[0]!]: { schema: { type: 'string', format: 'binary' } } };
  return {
    operationId,
    summary: route.summary,
    tags: [route.tag],
    security: route.permissions === null ? [] : [{ bearer: [] }, { session: [] }],
    ...(route.permissions === null
      ? {}
      : {
          description:
            route.permissions.length === 0
              ? 'Of whoever is signed in.'
              : `Needs the right ${route.permissions.map((name) => `\`${name}\``).join(' or ')}.`,
        }),
    parameters: parametersOf(route),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !route.body.safeParse(undefined).success,
            content: { 'application/json': { schema: jsonSchema(route.body, 'input') } },
          },
        }),
    ...(route.upload === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            description: `At most ${route.upload.bytesMax / 1024} KiB.`,
            content: { [route.upload.contentType]: { schema: { type: 'string', format: 'binary' } } },
          },
        }),
    responses: { [answer.status]: { description: 'Done.', content }, ...errorAnswers(route) },
  };
}

export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const [operationId, route] of Object.entries<RestRoute>(restRoutes)) {
    const operations = paths[basePath + route.path] ?? {};
    operations[route.method.toLowerCase()] = operationOf(operationId, route);
    paths[basePath + route.path] = operations;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Lucid Sessions: Session API',
      version,
      description:
        'Recorded RDP sessions, their chunks and their evidence. Times are RFC 3339 in UTC, bounds inclusive.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: ['sessions', 'targets', 'recording', 'chunks', 'pipeline', 'evidence', 'people', 'system'].map((name) => ({
      name,
    })),
    paths,
    components: {
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'An access token (JWT), or an API token (lst_…)' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'lucid-session',
          description: `A browser that is signed in; \`__Host-lucid-session\` under HTTPS. Whatever changes something sends \`${csrfHeader}\` too.`,
        },
      },
      schemas: Object.fromEntries(Object.entries(named).map(([id, schema]) => [id, jsonSchema(schema, 'output')])),
    },
  };
}
