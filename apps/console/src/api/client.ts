import type { ErrorCode } from '@lucid-sessions/contract';
import { csrfHeader } from '@lucid-sessions/contract/people';
import {
  basePath,
  queryText,
  type RestAnswer,
  type RestBody,
  type RestClient,
  type RestQuery,
  restClient,
} from '@lucid-sessions/contract/rest-client';
import type { Credentials } from './credentials.ts';
import type {
  AuditList,
  Chunk,
  ChunkList,
  Facts,
  FoundRecordings,
  SearchQuestion,
  Session,
  SessionList,
} from './types.ts';

/** A refusal or failure of the API, in its own words. `status` 0: the API could not be reached. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly code: ErrorCode | null;
  readonly requestId: string | null;
  /** What the API says about single fields of a refused request. */
  readonly details: unknown;

  constructor(status: number, code: ErrorCode | null, message: string, requestId: string | null, details: unknown) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.details = details;
  }
}

export type SessionFilter = RestQuery<'listSessions'>;
export type AuditFilter = RestQuery<'listAudit'>;

export type Command = 'start' | 'stop' | 'pause' | 'resume';

/** A limit is per minute: what says to wait longer is something else. */
const waitSecondsMax = 65;
const attemptsMax = 4;

/** The Session API as the console uses it. What proves who calls goes into cookie and headers, never into an address. */
export class ApiClient {
  readonly #baseUrl: string;
  readonly #credentials: () => Credentials;
  readonly #ask: typeof globalThis.fetch;
  /** Called on 401: the caller shows the sign-in page. */
  onUnauthenticated: () => void = () => {};
  /** Called when the API limits the rate, and it is waited for so long. */
  onRateLimited: (seconds: number) => void = () => {};

  /** Every operation of the contract. */
  readonly rest: RestClient = restClient({
    send: ({ method, path, body, signal }) =>
      this.#send(path.slice(basePath.length), {
        method,
        ...(body === undefined ? {} : { body }),
        ...withSignal(signal),
      }),
  });

  /** `fetch`: what answers in the network's place, where the recording is at hand. */
  constructor(baseUrl: string, credentials: () => Credentials, fetch: typeof globalThis.fetch = globalThis.fetch) {
    this.#baseUrl = baseUrl;
    this.#credentials = credentials;
    // The browser's own wants to be called on nothing.
    this.#ask = (input, init) => fetch(input, init);
  }

  get baseUrl(): string {
    return this.#baseUrl;
  }
  get credentials(): Credentials {
    return this.#credentials();
  }

  /** An answer with status 2xx; anything else is thrown as `ApiError`. A rate limit is waited for, within reason. */
  async #send(path: string, init: RequestInit): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      const response = await this.#fetch(path, init);
      if (response.ok) return response;
      const waitSeconds = Number(response.headers.get('Retry-After') ?? Number.NaN);
      const worthWaiting = response.status === 429 && attempt < attemptsMax && waitSeconds <= waitSecondsMax;
      if (!worthWaiting) throw await this.#refusal(response);
      this.onRateLimited(waitSeconds);
      await new Promise((resolve) => setTimeout(resolve, waitSeconds * 1000));
    }
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    const held = this.#credentials();
    const isBrowser = !('token' in held);
    const credentials = isBrowser ? 'same-origin' : 'omit';
    if (!isBrowser) headers.set('Authorization', `Bearer ${held.token}`);
    else if (held.csrfToken !== null) headers.set(csrfHeader, held.csrfToken);
    if (init.body !== undefined && init.body !== null) headers.set('Content-Type', 'application/json');
    try {
      return await this.#ask(this.#baseUrl + path, { ...init, headers, credentials, cache: 'no-store' });
    } catch (cause) {
      if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
      throw new ApiError(0, null, 'the Session API can not be reached', null, null);
    }
  }

  async #refusal(response: Response): Promise<ApiError> {
    const error = await readError(response);
    if (error.status === 401) this.onUnauthenticated();
    return error;
  }

  listSessions(filter: SessionFilter = {}, signal?: AbortSignal): Promise<SessionList> {
    return this.rest.listSessions({ query: filter, signal });
  }
  getSession(sessionId: string, signal?: AbortSignal): Promise<Session> {
    return this.rest.getSession({ params: { session_id: sessionId }, signal });
  }
  /** A session as the list knows it: reading it again and again this way leaves no trail of accesses in the audit log. */
  async refreshSession(sessionId: string, signal?: AbortSignal): Promise<Session | null> {
    const { sessions } = await this.listSessions({ search: sessionId, limit: 100 }, signal);
    return sessions.find((session) => session.session_id === sessionId) ?? null;
  }
  /** What a form holds is the API's to judge. */
  createSession(body: Facts): Promise<Session> {
    return this.rest.createSession({ body: body as RestBody<'createSession'> });
  }
  /** A fresh .rdp file; it replaces the ones given out before. `warning`: where it can not be right; empty where nothing is known. */
  async rdpFile(
    sessionId: string,
    via: 'listener' | 'gateway',
    logon?: 'credential',
  ): Promise<{ file: Blob; warning: string }> {
    const query = { via, ...(logon === undefined ? {} : { logon }) };
    const answer = await this.rest.rdpFile({ params: { session_id: sessionId }, query });
    return { file: await answer.blob(), warning: answer.headers.get('x-lucid-warning') ?? '' };
  }
  /** Shown once: nothing can ask for it again. */
  issueCredential(sessionId: string): Promise<RestAnswer<'issueCredential'>> {
    return this.rest.issueCredential({ params: { session_id: sessionId } });
  }
  deleteSession(sessionId: string, consent: { confirm: string; reason: string }): Promise<Facts> {
    return this.rest.deleteSession({ params: { session_id: sessionId }, body: consent });
  }
  message(sessionId: string, text: string): Promise<{ shown_until: string }> {
    return this.rest.messageSession({ params: { session_id: sessionId }, body: { text } });
  }
  command(sessionId: string, command: Command): Promise<Facts> {
    return this.rest[`${command}Session`]({ params: { session_id: sessionId } });
  }
  listChunks(sessionId: string, limit: number, offset: number, signal?: AbortSignal): Promise<ChunkList> {
    return this.rest.listChunks({ params: { session_id: sessionId }, query: { limit, offset }, signal });
  }
  getChunk(sessionId: string, chunkId: string): Promise<Chunk & Facts> {
    return this.rest.getChunk({ params: { session_id: sessionId, chunk_id: chunkId } });
  }
  search(question: SearchQuestion, signal?: AbortSignal): Promise<FoundRecordings> {
    return this.rest.searchRecordings({ body: question, signal });
  }
  listAudit(filter: AuditFilter, signal?: AbortSignal): Promise<AuditList> {
    return this.rest.listAudit({ query: filter, signal });
  }
  /** Health of the services. Bad health comes with status 503 and says what is wrong: that is an answer, not a failure. */
  async health(signal?: AbortSignal): Promise<Facts> {
    const response = await fetch(`${this.#baseUrl}/health`, {
      ...withSignal(signal),
      credentials: 'omit',
      cache: 'no-store',
    });
    const answer: unknown = await response.json().catch(() => null);
    if (isFacts(answer) && isFacts(answer.services)) return answer;
    throw new ApiError(response.status, null, `the Session API answered ${response.status}`, null, null);
  }
}

const withSignal = (signal: AbortSignal | undefined): RequestInit => (signal ? { signal } : {});

export { queryText as query };

async function readError(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const error = isFacts(body) && isFacts(body.error) ? body.error : {};
  const message = typeof error.message === 'string' ? error.message : `the Session API answered ${response.status}`;
  const requestId = typeof error.request_id === 'string' ? error.request_id : response.headers.get('X-Request-ID');
  return new ApiError(
    response.status,
    (error.code as ErrorCode | undefined) ?? null,
    message,
    requestId,
    error.details,
  );
}

function isFacts(value: unknown): value is Facts {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
