/**
 * One client of the REST contract: parameters, query, body and answer of every operation are typed from `restRoutes`. How a request is
 * sent (token, time limits, what a refusal becomes) is its owner's. No schema is needed at run time.
 */
import type { z } from 'zod';
import { basePath, type RestOperation, restOperations } from './operations.ts';
import type { OperationId, restRoutes } from './routes.ts';

export { basePath } from './operations.ts';

type Route<K extends OperationId> = (typeof restRoutes)[K];
type Names<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;

/** As it stands in a query a number is text, and a switch `true` or `false`. */
type QueryField<Text> =
  | Text
  | undefined
  | ([string] extends [Exclude<Text, undefined>] ? number : ['true'] extends [Text] ? boolean : never);

export type RestQuery<K extends OperationId> =
  Route<K> extends { query: infer Q extends z.ZodType }
    ? { [F in keyof z.input<Q>]: QueryField<z.input<Q>[F]> }
    : never;
export type RestBody<K extends OperationId> = Route<K> extends { body: infer B extends z.ZodType } ? z.input<B> : never;
/** What a file is in is the response itself: it may be long. */
export type RestAnswer<K extends OperationId> = Route<K>['answer'] extends { schema: infer S extends z.ZodType }
  ? z.output<S>
  : Response;

type Part<Name extends string, T> = [T] extends [never]
  ? unknown
  : Partial<T> extends T
    ? { [N in Name]?: T }
    : { [N in Name]: T };
type ParamsOf<Path extends string> = [Names<Path>] extends [never] ? never : { [N in Names<Path>]: string };

export type RestRequest<K extends OperationId> = Part<'params', ParamsOf<Route<K>['path']>> &
  Part<'query', RestQuery<K>> &
  Part<'body', RestBody<K>> &
  (Route<K> extends { upload: unknown } ? { file: Uint8Array<ArrayBuffer> } : unknown) & {
    signal?: AbortSignal | undefined;
  };

export type RestClient = {
  [K in OperationId]: (
    ...request: Partial<RestRequest<K>> extends RestRequest<K> ? [RestRequest<K>?] : [RestRequest<K>]
  ) => Promise<RestAnswer<K>>;
};

/** A request as it goes out. */
export interface RestCall {
  operation: OperationId;
  method: RestOperation['method'];
  /** With `basePath` and query. */
  path: string;
  body?: string | Uint8Array<ArrayBuffer>;
  contentType?: string;
  signal?: AbortSignal;
}

export interface RestTransport {
  /** Answers what succeeded; everything else it throws. */
  send(call: RestCall): Promise<Response>;
  /** Of an answer in JSON. */
  read?(response: Response, call: RestCall): Promise<unknown>;
}

interface AnyRequest {
  params?: Record<string, string>;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  file?: Uint8Array<ArrayBuffer>;
  signal?: AbortSignal | undefined;
}

/** `?a=1&b=2` of what is set; empty when nothing is. */
export function queryText(fields: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(fields))
    if (value !== undefined && value !== '') parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}

function callOf(operation: OperationId, request: AnyRequest): RestCall {
  const { method, path, sends }: RestOperation = restOperations[operation];
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = request.params?.[name] ?? '';
    // An empty one would lead to another route.
    if (value === '') throw new RangeError(`${operation} needs ${name}`);
    return encodeURIComponent(value);
  });
  const json =
    request.body === undefined ? {} : { body: JSON.stringify(request.body), contentType: 'application/json' };
  return {
    operation,
    method,
    path: `${basePath}${filled}${queryText(request.query ?? {})}`,
    ...json,
    ...(request.file === undefined || sends === undefined ? {} : { body: request.file, contentType: sends }),
    ...(request.signal === undefined ? {} : { signal: request.signal }),
  };
}

export function restClient(transport: RestTransport): RestClient {
  const read = transport.read?.bind(transport) ?? ((response: Response) => response.json() as Promise<unknown>);
  const invoke = async (operation: OperationId, request: AnyRequest = {}): Promise<unknown> => {
    const call = callOf(operation, request);
    const response = await transport.send(call);
    const { answers }: RestOperation = restOperations[operation];
    return answers === 'file' ? response : read(response, call);
  };
  const operations = Object.keys(restOperations) as OperationId[];
  const client = operations.map((operation) => [operation, (request?: AnyRequest) => invoke(operation, request)]);
  return Object.fromEntries(client) as RestClient;
}
