/** The client half of RPC: the same interface as the port itself, over HTTP. */
import { LucidError } from './errors.ts';
import { decodeRpc, encodeRpc, rpcContentType } from './rpc-codec.ts';
import { type PortName, type Ports, type RpcMethod, rpcPath, rpcPorts } from './rpc-ports.ts';

/** What calls need of `fetch`. */
export type RpcFetch = (
  url: string,
  request: {
    method: 'POST';
    headers: Record<string, string>;
    body: Uint8Array<ArrayBuffer>;
    redirect: 'error';
    signal: AbortSignal;
  },
) => Promise<RpcResponse>;

export interface RpcResponse {
  status: number;
  headers: { get(name: string): string | null };
  body: (AsyncIterable<Uint8Array> & { cancel(): Promise<unknown> }) | null;
}

export interface RpcClientOptions {
  /** Sent as bearer token: the services' shared secret, or one for this call of this path. Empty: none. */
  token: string | ((path: string) => Promise<string>);
  /** Node's and the browser's own by default. */
  fetch?: RpcFetch;
  /** More headers of this call: the trace it belongs to. */
  headers?: () => Record<string, string>;
  /** Shortens the time limits of `rpcPorts`; never lengthens them. */
  timeoutMsMax?: number;
}

const unavailable = (port: PortName, message: string, status: number, cause?: unknown) =>
  new LucidError('unavailable', `${port}: ${message}`, { status, details: { service: port }, cause });

/** Reads a body, giving up as soon as it is longer than allowed. */
async function readBounded(response: RpcResponse, bytesMax: number): Promise<Uint8Array> {
  const announced = Number(response.headers.get('content-length') ?? Number.NaN);
  if (announced > bytesMax) throw new LucidError('tooLarge', `the answer is longer than ${bytesMax} bytes`);
  if (response.body === null) return new Uint8Array(0);
  // A known length is filled in place; chunks are kept only when the server did not say.
  const whole = Number.isSafeInteger(announced) ? new Uint8Array(announced) : null;
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body) {
    if (length + piece.length > (whole?.length ?? bytesMax))
      throw new LucidError('tooLarge', `the answer is longer than ${whole?.length ?? bytesMax} bytes`);
    if (whole === null) pieces.push(piece);
    else whole.set(piece, length);
    length += piece.length;
  }
  if (whole !== null) return whole.subarray(0, length);
  const joined = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    joined.set(piece, at);
    at += piece.length;
  }
  return joined;
}

async function call(
  port: PortName,
  method: string,
  limits: RpcMethod,
  base: string,
  options: RpcClientOptions,
  request: unknown,
): Promise<unknown> {
  const body = encodeRpc(request);
  if (body.length > limits.requestBytesMax)
    throw new LucidError('tooLarge', `a request of ${method} is at most ${limits.requestBytesMax} bytes`);
  const timeoutMs = Math.min(limits.timeoutMs, options.timeoutMsMax ?? limits.timeoutMs);
  let answer: unknown;
  try {
    const path = rpcPath(port, method);
    const token = typeof options.token === 'string' ? options.token : await options.token(path);
    const response = await (options.fetch ?? fetch)(base + path, {
      method: 'POST',
      headers: {
        ...options.headers?.(),
        'content-type': rpcContentType,
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (response.headers.get('content-type') !== rpcContentType) {
      await response.body?.cancel();
      throw unavailable(port, `answered HTTP ${response.status} that is no RPC answer`, 503);
    }
    answer = decodeRpc(await readBounded(response, limits.responseBytesMax));
  } catch (thrown) {
    if (thrown instanceof LucidError) throw thrown;
    const late = thrown instanceof DOMException && thrown.name === 'TimeoutError';
    if (late) throw unavailable(port, `${method} was not answered within ${timeoutMs} ms`, 504, thrown);
    throw unavailable(port, `${method} could not be sent or its answer was cut off`, 503, thrown);
  }
  if (typeof answer !== 'object' || answer === null) throw unavailable(port, 'answered without a result', 503);
  if ('error' in answer) throw LucidError.fromWire(answer.error);
  return (answer as { result?: unknown }).result;
}

export function rpcClient<P extends PortName>(port: P, baseUrl: string, options: RpcClientOptions): Ports[P] {
  const base = baseUrl.replace(/\/+$/, '');
  const methods: Record<string, RpcMethod> = rpcPorts[port];
  const client = Object.fromEntries(
    Object.entries(methods).map(([method, limits]) => [
      method,
      (request: unknown) => call(port, method, limits, base, options, request),
    ]),
  );
  return client as unknown as Ports[P];
}

/**
 * One port offered by several processes: a call goes to the one that answered last, and on to the next where it is out of
 * reach or says that another one holds what the call is about. Every call of a port is idempotent, so asking twice is safe.
 * Throws what the last one said when none of them could help.
 */
export function rpcFailoverClient<P extends PortName>(
  port: P,
  baseUrls: readonly string[],
  options: RpcClientOptions,
): Ports[P] {
  const clients = baseUrls.map((url) => rpcClient(port, url, options) as unknown as UntypedPort);
  let preferred = 0;
  const ask = async (method: string, request: unknown): Promise<unknown> => {
    const first = preferred;
    for (let tried = 0; ; tried += 1) {
      const at = (first + tried) % clients.length;
      try {
        const answer = await clients[at]![method]!(request);
        preferred = at;
        return answer;
      } catch (thrown) {
        const elsewhere = thrown instanceof LucidError && failoverStatuses.has(thrown.status);
        if (!elsewhere || tried + 1 >= clients.length) throw thrown;
      }
    }
  };
  const methods = Object.keys(rpcPorts[port]).map((method) => [method, (request: unknown) => ask(method, request)]);
  return Object.fromEntries(methods) as unknown as Ports[P];
}

type UntypedPort = Record<string, (request: unknown) => Promise<unknown>>;
const failoverStatuses: ReadonlySet<number> = new Set([503, 504]);
