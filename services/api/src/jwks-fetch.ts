/** Fetching the keys of the identity provider: bounded in size, redirects and rate; jose bounds the time. */
import { LucidError } from '@lucid-sessions/contract';
import { readBounded } from './bounded-fetch.ts';

const keySetBytesMax = 256 * 1024;
const keysMax = 100;
/** A provider that fails is not asked with every request. */
const restMs = 5000;

const unavailable = (why: string, cause?: unknown) =>
  new LucidError('unavailable', `the keys of the identity provider can not be fetched: ${why}`, { cause });

function checkKeySet(text: string): void {
  let keys: unknown;
  try {
    keys = (JSON.parse(text) as { keys?: unknown } | null)?.keys;
  } catch {
    keys = null;
  }
  if (!(Array.isArray(keys) && keys.length <= keysMax)) throw unavailable('the answer is no set of keys (JWKS)');
}

/** As `fetch` to jose. What fails is thrown as `unavailable`, without the address. */
export function keySetFetch(nowMs: () => number = () => performance.now()) {
  let failedMs = Number.NEGATIVE_INFINITY;
  return async (url: string, init: { headers: Headers; signal: AbortSignal }): Promise<Response> => {
    if (nowMs() - failedMs < restMs) throw unavailable('it failed a moment ago');
    try {
      const response = await fetch(url, { headers: init.headers, signal: init.signal, redirect: 'error' });
      if (response.status !== 200) throw unavailable(`it answered HTTP ${response.status}`);
      const text = await readBounded(response, keySetBytesMax);
      checkKeySet(text);
      return new Response(text, { status: 200 });
    } catch (thrown) {
      failedMs = nowMs();
      if (thrown instanceof LucidError) throw thrown;
      throw unavailable(thrown instanceof RangeError ? thrown.message : 'it can not be reached', thrown);
    }
  };
}
