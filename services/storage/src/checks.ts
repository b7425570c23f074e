/** Bounds of what other services may ask of storage. They are trusted, but a bug there must not reach the disk here. */
import { LucidError, rpcChunkBytesMax, sessionIdSchema } from '@lucid-sessions/contract';

export const listLimitMax = 1000;
export const recordBytesMax = 16 * 1024 * 1024;
export const sidecarBytesMax = rpcChunkBytesMax - 1024 * 1024;
export const chunkIndexMax = 2 ** 31;
const wrapsMax = 100;
const wrapBytesMax = 64 * 1024;

const refuse = (message: string) => new LucidError('invalidRequest', message);

export function checkSessionId(sessionId: unknown): asserts sessionId is string {
  if (!sessionIdSchema.safeParse(sessionId).success)
    throw refuse('a session id is 1–100 characters of A–Z a–z 0–9 _ -');
}

export function checkIndex(index: unknown): asserts index is number {
  if (!(Number.isSafeInteger(index) && (index as number) >= 0 && (index as number) <= chunkIndexMax))
    throw refuse(`a chunk index is a whole number from 0 to ${chunkIndexMax}`);
}

export function checkPage(page: { limit: number; offset: number }): void {
  if (!(Number.isSafeInteger(page.limit) && page.limit >= 1 && page.limit <= listLimitMax))
    throw refuse(`limit is a whole number from 1 to ${listLimitMax}`);
  if (!(Number.isSafeInteger(page.offset) && page.offset >= 0)) throw refuse('offset is a whole number from 0');
}

export function checkBytes(bytes: unknown, bytesMax: number, what: string): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw refuse(`${what} must be bytes`);
  if (!(bytes.length <= bytesMax)) throw new LucidError('tooLarge', `${what} is at most ${bytesMax} bytes`);
}

/** Names become file names: no dots in front, no separators. */
export function checkSidecarName(name: unknown): asserts name is string {
  if (!(typeof name === 'string' && /^[a-z0-9][a-z0-9._-]{0,99}$/.test(name) && !name.includes('..')))
    throw refuse('a sidecar name is 1–100 characters of a–z 0–9 . _ - and begins with a letter or digit');
}

export function checkWraps(wraps: unknown): void {
  if (!(Array.isArray(wraps) && wraps.length <= wrapsMax)) throw refuse(`wraps are a list of at most ${wrapsMax}`);
  for (const wrap of wraps) checkBytes((wrap as { wrapped: unknown }).wrapped, wrapBytesMax, 'a wrapped key');
}
