import { LucidError } from '@lucid-sessions/contract';
import { readBounded } from '@lucid-sessions/node';

/** What the client takes from its surroundings; tests bring their own clock and sleep. */
export interface CallerOptions {
  /** Base address, for example `http://blockchain-core:8085`. */
  baseUrl: string;
  /** `Authorization` header, when the service asks for one. */
  authorization?: string;
  fetch?: typeof fetch;
  sleep?(ms: number): Promise<void>;
  random?(): number;
  nowMs?(): number;
  /** One request. */
  timeoutMs?: number;
  /** Requests per call. */
  attemptsMax?: number;
  backoffBaseMs?: number;
  backoffMaxMs?: number;
  /** A `Retry-After` longer than this ends the call: whoever queued it asks again. */
  waitMsMax?: number;
  /** Failed calls in a row that open the circuit, and for how long. */
  breakerFailuresMax?: number;
  breakerOpenMs?: number;
}

/** An answer below 500 that is not 429: the service has understood. `json` is null when the body was not JSON. */
export interface Answer {
  status: number;
  json: unknown;
}

const ANSWER_BYTES_MAX = 64 * 1024;

/** Full jitter: anything from nothing to the exponential bound, so that many recorders do not come back as one. */
const jitter = (attempt: number, baseMs: number, maxMs: number, random: number): number =>
  random * Math.min(maxMs, baseMs * 2 ** attempt);

/** Seconds or an HTTP date (RFC 9110 section 10.2.3) as milliseconds from now, or null. */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  if (header === null) return null;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - nowMs);
}

async function readJson(response: Response): Promise<unknown> {
  const body = await readBounded(response, ANSWER_BYTES_MAX);
  if (body === null) throw new Error('the answer is too large');
  try {
    return JSON.parse(body.toString());
  } catch {
    return null;
  }
}

/** Opens after failures in a row, lets one call through after a while, closes when that one succeeds. */
class CircuitBreaker {
  readonly #failuresMax: number;
  readonly #openMs: number;
  #failures = 0;
  #openUntilMs = 0;
  #probing = false;

  constructor(failuresMax: number, openMs: number) {
    this.#failuresMax = failuresMax;
    this.#openMs = openMs;
  }

  enter(nowMs: number): void {
    if (this.#failures < this.#failuresMax) return;
    if (nowMs < this.#openUntilMs || this.#probing)
      throw new LucidError('anchoring', 'blockchain core failed several times in a row and is left alone for a while', {
        status: 502,
      });
    this.#probing = true;
  }

  leave(succeeded: boolean, nowMs: number): void {
    this.#probing = false;
    this.#failures = succeeded ? 0 : this.#failures + 1;
    if (this.#failures >= this.#failuresMax) this.#openUntilMs = nowMs + this.#openMs;
  }
}

/** Calls one JSON service: bounded waits and answers, retries with full jitter, `Retry-After`, a circuit breaker. */
export class JsonCaller {
  readonly #options: Required<Omit<CallerOptions, 'authorization'>> & Pick<CallerOptions, 'authorization'>;
  readonly #breaker: CircuitBreaker;

  constructor(options: CallerOptions) {
    this.#options = {
      fetch,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      random: Math.random,
      nowMs: Date.now,
      timeoutMs: 10_000,
      attemptsMax: 4,
      backoffBaseMs: 500,
      backoffMaxMs: 10_000,
      waitMsMax: 30_000,
      breakerFailuresMax: 5,
      breakerOpenMs: 60_000,
      ...options,
    };
    this.#breaker = new CircuitBreaker(this.#options.breakerFailuresMax, this.#options.breakerOpenMs);
  }

  /**
   * Asks until there is an answer. For calls that may be repeated freely; `beforeRepeat` is asked first before a call
   * goes out again, and its answer, when it is not null, stands for the call's.
   */
  async call(
    method: 'GET' | 'POST',
    path: string,
    body?: object,
    beforeRepeat?: () => Promise<Answer | null>,
  ): Promise<Answer> {
    this.#breaker.enter(this.#options.nowMs());
    let succeeded = false;
    try {
      const answer = await this.#attempts(method, path, body, beforeRepeat);
      succeeded = true;
      return answer;
    } finally {
      this.#breaker.leave(succeeded, this.#options.nowMs());
    }
  }

  async #attempts(
    method: 'GET' | 'POST',
    path: string,
    body: object | undefined,
    beforeRepeat: (() => Promise<Answer | null>) | undefined,
  ): Promise<Answer> {
    const { attemptsMax, backoffBaseMs, backoffMaxMs, random, sleep, waitMsMax } = this.#options;
    let problem = 'no attempt was made';
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const known = attempt > 0 ? await beforeRepeat?.() : null;
      if (known !== null && known !== undefined) return known;
      const result = await this.#once(method, path, body);
      if ('answer' in result) return result.answer;
      problem = result.problem;
      const waitMs = Math.max(result.waitMs ?? 0, jitter(attempt, backoffBaseMs, backoffMaxMs, random()));
      if (waitMs > waitMsMax) break;
      if (attempt < attemptsMax - 1) await sleep(waitMs);
    }
    throw new LucidError('anchoring', `blockchain core can not be used now: ${problem}`, { status: 502 });
  }

  /** One request without retries, for asking before repeating. Null: no usable answer. */
  async ask(method: 'GET' | 'POST', path: string, body?: object): Promise<Answer | null> {
    const result = await this.#once(method, path, body);
    return 'answer' in result ? result.answer : null;
  }

  async #once(
    method: 'GET' | 'POST',
    path: string,
    body?: object,
  ): Promise<{ answer: Answer } | { problem: string; waitMs: number | null }> {
    const { authorization, baseUrl, nowMs, timeoutMs } = this.#options;
    try {
      const response = await this.#options.fetch(`${baseUrl}${path}`, {
        method,
        headers: {
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(authorization === undefined ? {} : { authorization }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      const json = await readJson(response);
      if (response.status !== 429 && response.status < 500) return { answer: { status: response.status, json } };
      return {
        problem: `it answered ${response.status}`,
        waitMs: retryAfterMs(response.headers.get('retry-after'), nowMs()),
      };
    } catch (error) {
      return { problem: error instanceof Error ? error.message : 'the request failed', waitMs: null };
    }
  }
}
