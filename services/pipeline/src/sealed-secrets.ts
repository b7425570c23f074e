/** What is kept of a session under the seal, as JSON. */
import type { Context } from './context.ts';

/** Sealed texts are whole multiples of this, filled with spaces: how long a password is does not show. */
const padBytes = 512;

/** Names of what is sealed of a session; `kept`: of a target, under the name its credentials are kept by. */
export type SecretName = 'target' | 'target-lease' | 'kept';

/** No session's id holds a space: no two names are the same. */
const sealName = (sessionId: string, name: SecretName): string => `${sessionId} ${name}`;

export async function putSecret(context: Context, sessionId: string, name: SecretName, value: object): Promise<void> {
  const { seal, journal } = context.deps;
  const text = new TextEncoder().encode(JSON.stringify(value));
  const padded = new Uint8Array(padBytes * Math.ceil(text.length / padBytes)).fill(0x20);
  padded.set(text);
  await journal.putSealed(sessionId, name, await seal.seal(sealName(sessionId, name), padded));
}

export async function getSecret<T>(context: Context, sessionId: string, name: SecretName): Promise<T | null> {
  const { seal, journal } = context.deps;
  const sealed = await journal.getSealed(sessionId, name);
  const opened = sealed === null ? null : await seal.open(sealName(sessionId, name), sealed);
  return opened === null ? null : (JSON.parse(new TextDecoder().decode(opened)) as T);
}
