import { setTimeout as sleep } from 'node:timers/promises';
import { readBounded } from '@lucid-sessions/node';

export interface VaultServer {
  /** Where Vault or OpenBao is, without `/v1`. */
  url: string;
  namespace?: string;
  fetch?: typeof fetch;
  /** Of one call with all its tries. */
  timeoutMs?: number;
}

export interface VaultAnswer {
  status: number;
  text: string;
}

export interface VaultCall {
  method: 'GET' | 'POST';
  /** Below `/v1/`. */
  path: string;
  token: string | null;
  fields?: Record<string, string>;
  /** Of a call that must not be made twice: 1. */
  triesMax?: number;
}

/** Why there is no answer, in words behind "Vault". */
export class VaultAway extends Error {
  override readonly name = 'VaultAway';
}

const ANSWER_BYTES_MAX = 64 * 1024;
const TRIES_MAX = 3;
const BACKOFF_MS = 100;
const TOKEN_CHARACTERS_MAX = 8192;

/** The HTTP of HashiCorp Vault and OpenBao: bounded, patient for a while, and nothing that was sent or answered in an error. */
export class VaultHttp {
  readonly #server: Required<Omit<VaultServer, 'namespace'>> & Pick<VaultServer, 'namespace'>;

  constructor(server: VaultServer) {
    this.#server = { fetch, timeoutMs: 5000, ...server };
  }

  /** What is only for now (429, 5xx) is asked again, and answered as it is in the end. */
  async ask(call: VaultCall): Promise<VaultAnswer> {
    const signal = AbortSignal.timeout(this.#server.timeoutMs);
    for (let tries = 1; ; tries += 1) {
      const answer = await this.#try(call, signal);
      const passing = typeof answer === 'string' || answer.status === 429 || answer.status >= 500;
      if (!passing) return answer;
      if (tries === (call.triesMax ?? TRIES_MAX) || signal.aborted) {
        if (typeof answer === 'string') throw new VaultAway(answer);
        return answer;
      }
      // Cut short by the signal the next try says so.
      await sleep(Math.random() * BACKOFF_MS * 2 ** tries, undefined, { signal }).catch(() => {});
    }
  }

  /** The answer, or what kept it away. */
  async #try({ method, path, token, fields }: VaultCall, signal: AbortSignal): Promise<VaultAnswer | string> {
    const { url, namespace, timeoutMs } = this.#server;
    const headers = {
      'x-vault-request': 'true',
      ...(fields === undefined ? {} : { 'content-type': 'application/json' }),
      ...(token === null ? {} : { 'x-vault-token': token }),
      ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
    };
    const body = fields === undefined ? {} : { body: JSON.stringify(fields) };
    try {
      const request = { method, headers, ...body, redirect: 'error', signal } as const;
      const response = await this.#server.fetch(`${url}/v1/${path}`, request);
      const answered = await readBounded(response, ANSWER_BYTES_MAX);
      if (answered === null) return 'sent too large an answer';
      return { status: response.status, text: answered.toString() };
    } catch (error) {
      return signal.aborted ? `did not answer within ${timeoutMs} ms` : `can not be reached${codeOf(error)}`;
    }
  }
}

/** Checked here because fetch quotes a header it refuses. */
export const isVaultToken = (token: string): boolean =>
  token.length <= TOKEN_CHARACTERS_MAX && /^[\x21-\x7e]+$/.test(token);

/** ` (ECONNREFUSED)`: the system's code alone, the rest may hold an address with a secret in it. */
function codeOf(error: unknown): string {
  const code = ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  return /^[A-Z0-9_]{1,40}$/.test(code) ? ` (${code})` : '';
}
