import { setTimeout as sleep } from 'node:timers/promises';
import { type RestCall, type RestClient, restClient } from '@lucid-sessions/contract/rest-client';
import { type ApiRefusal, CliError, exitCodes } from './output.ts';

const answerBytesMax = 64 * 1024 * 1024;
const requestTimeoutMs = 60_000;
const uploadTimeoutMs = 600_000;

const pauseSecondsMax = 60;
const pausesMax = 10;

/** The server asks for a pause. */
class RateLimitError extends CliError {
  readonly pauseSeconds: number;

  constructor(message: string, pauseSeconds: number, api: ApiRefusal) {
    super(message, exitCodes.failed, api);
    this.pauseSeconds = pauseSeconds;
  }
}

type Called = Omit<RestCall, 'operation'> & { operation?: RestCall['operation'] };

export interface ApiClientOptions {
  /** Where the Session API is, without `/api/v1`. */
  url: string;
  token: string;
  fetch?: typeof fetch;
  /** Told before each pause the server asks for. */
  onPause?: (seconds: number) => void;
}

/** The CLI's way to the REST contract: bearer token, bounded answers, errors as `CliError` with the server's message. */
export class ApiClient {
  readonly url: string;
  /** Every operation of the contract. No time limit on the body of a file: evidence can be large. */
  readonly rest: RestClient;
  readonly #token: string;
  readonly #fetch: typeof fetch;
  readonly #onPause: (seconds: number) => void;

  constructor(options: ApiClientOptions) {
    const url = URL.parse(options.url);
    // Without quoting it: what is wrong may be a password.
    if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
      throw new CliError(
        '--api (LUCID_API_URL) must be an http:// or https:// address without user and password',
        exitCodes.usage,
      );
    this.url = options.url.replace(/\/+$/, '');
    this.#token = options.token;
    this.#fetch = options.fetch ?? fetch;
    this.#onPause = options.onPause ?? (() => undefined);
    this.rest = restClient({
      send: (call) => this.#patiently(call),
      read: (response, { method, path }) => this.#read(response, method, path),
    });
  }

  /** Makes a call again after every pause the server asks for, within reason. */
  async #patiently(call: RestCall): Promise<Response> {
    for (let pauses = 0; ; pauses += 1)
      try {
        return await this.call(call);
      } catch (error) {
        if (!(error instanceof RateLimitError) || pauses === pausesMax) throw error;
        this.#onPause(error.pauseSeconds);
        await sleep(error.pauseSeconds * 1000);
      }
  }

  async #read(response: Response, method: string, path: string): Promise<unknown> {
    const text = await response.text();
    if (text.length > answerBytesMax) throw new CliError(`the answer to ${method} ${path} is larger than 64 MiB`);
    try {
      return JSON.parse(text);
    } catch {
      throw new CliError(`${this.url} did not answer JSON to ${method} ${path}: is it a Session API?`);
    }
  }

  /** The response of a successful call; any other becomes a `CliError`. */
  protected async call({ operation, method, path, body, contentType }: Called): Promise<Response> {
    const timeoutMs = body instanceof Uint8Array ? uploadTimeoutMs : requestTimeoutMs;
    const headers: Record<string, string> = this.#token === '' ? {} : { authorization: `Bearer ${this.#token}` };
    if (contentType !== undefined) headers['content-type'] = contentType;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), timeoutMs);
    let response: Response;
    try {
      response = await this.#fetch(this.url + path, {
        method,
        headers,
        signal: abort.signal,
        ...(body === undefined ? {} : { body }),
      });
    } catch (cause) {
      throw new CliError(
        `no Session API answers at ${this.url} (${reasonOf(cause, timeoutMs)}): start one with "lucid-sessions up" or name it with --api`,
        exitCodes.unreachable,
      );
    } finally {
      clearTimeout(timer);
    }
    // Bad health is an answer, too.
    if (!response.ok && !(operation === 'health' && response.status === 503)) throw await refusal(response);
    return response;
  }
}

function reasonOf(cause: unknown, timeoutMs: number): string {
  if (!(cause instanceof Error)) return 'unknown error';
  if (cause.name === 'AbortError') return `no answer in ${timeoutMs / 1000} s`;
  const { message, code = '' } = (cause.cause instanceof Error ? cause.cause : cause) as NodeJS.ErrnoException;
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return 'no TLS is spoken there: http:// may be meant';
  if (code === 'UND_ERR_SOCKET') return `${message}; https:// may be meant`;
  if (/CERT|SIGNATURE|ISSUER/.test(code))
    return `its certificate is not trusted, ${code}: NODE_EXTRA_CA_CERTS names its CA`;
  return message;
}

interface RefusalBody {
  code?: string;
  message?: string;
  request_id?: string;
  details?: Record<string, unknown>;
}

async function refusal(response: Response): Promise<CliError> {
  const text = (await response.text()).slice(0, 4096);
  const api: ApiRefusal = {};
  let message = `HTTP ${response.status}`;
  try {
    const { error } = JSON.parse(text) as { error?: RefusalBody };
    if (typeof error?.code === 'string') api.code = error.code;
    if (typeof error?.request_id === 'string') api.reference = error.request_id;
    if (typeof error?.details === 'object' && error.details !== null) api.details = error.details;
    // What went wrong there is looked for in its log.
    const where = response.status >= 500 && api.reference !== undefined ? `, request ${api.reference}` : '';
    if (error?.message) message = `${error.message} (${error.code}${where})`;
  } catch {
    // Not the contract's error body: the status is all there is to say.
  }
  const pauseSeconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  if (response.status === 429 && pauseSeconds >= 0 && pauseSeconds <= pauseSecondsMax)
    return new RateLimitError(message, pauseSeconds, api);
  const refused = response.status === 401 || response.status === 403;
  return new CliError(message, refused ? exitCodes.refused : exitCodes.failed, api);
}
