/**
 * Node's ciphers give every result memory of its own. Left alone, the spool thread would wait for full collections to get
 * it back (and take it fresh from the kernel until then, which costs as much as the encryption); a young collection every
 * few MiB keeps reusing the same memory for a third of a millisecond each.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const bytesBetween = 3 * 1024 * 1024;

/** Call with the bytes of every result that is not needed any more. Does nothing where V8 lends no collector. */
export function createReclaimer(): (bytes: number) => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  if (typeof collect !== 'function') return () => {};
  let dead = 0;
  return (bytes) => {
    dead += bytes;
    if (dead < bytesBetween) return;
    dead = 0;
    collect({ type: 'minor' });
  };
}
